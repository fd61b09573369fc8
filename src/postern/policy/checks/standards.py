"""Header rules that matter: what different programs read differently is how people are deceived.

Only what hides or doubles the author is a fail. Mail with a missing Date or two Subjects is sent by
honest programs every day, and is noted.

Source: RFC 5322 §3.6 (how often each field may stand), §2.1.1 (998 octets a line), RFC 6532 §3.2
(octets beyond ASCII only in mail that says SMTPUTF8).
"""

from collections.abc import Iterator

from postern.mail.dmarc.evaluate import MAX_AUTHORS
from postern.mail.finding import Finding, Result
from postern.policy.checks.check import Found
from postern.policy.checks.letter import Letter

ONCE = (b"date", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"subject", b"references")
"""From is looked at apart: it must stand once."""


async def check_standards(letter: Letter) -> Found:
    """``standards.header``, ``standards.long-line``, or fine."""
    found = tuple(_findings(letter))
    return Found(found or (Finding("standards.header", Result.PASS, "the header is in order"),))


def _findings(letter: Letter) -> Iterator[Finding]:
    authors = letter.scan.count(b"from")
    if authors > 1:
        yield _fail(f"the message has {authors} From lines: readers would not see the same author")
    elif not authors:
        yield _fail("the message has no From line")
    elif letter.authors is None:
        # Mail programs show something of it all the same, and nobody can say whose it is.
        yield _fail("its From line is not a proper list of mail addresses")
    elif len({author.domain for author in letter.authors}) > MAX_AUTHORS:
        yield _fail(f"its From line names authors of more than {MAX_AUTHORS} domains")
    if not letter.scan.count(b"date"):
        yield _note("the message has no Date line")
    doubled = [name.decode().title() for name in ONCE if letter.scan.count(name) > 1]
    if doubled:
        yield _note(f"more than one line called {', '.join(doubled)}")
    if not letter.head.isascii():
        yield _note("its header has octets beyond ASCII")
    if letter.has_long_line:
        text = "a line is longer than 998 octets; other servers may cut or refuse it"
        yield Finding("standards.long-line", Result.FAIL, text)


def _fail(text: str) -> Finding:
    return Finding("standards.header", Result.FAIL, text)


def _note(text: str) -> Finding:
    return Finding("standards.header", Result.NOTE, text)
