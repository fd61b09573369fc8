"""Header and MIME rules that matter: what programs read differently is how people are deceived.

Only what hides or doubles the author, or hides parts of the message from whoever looks, is a fail.
Mail with a missing Date, two Subjects or a boundary that is never closed is sent by honest programs
every day, and is noted.

Source: RFC 5322 §3.6 (how often each field may stand), §3.3 (dates), §2.1.1 (998 octets a line),
RFC 6532 §3.2 (octets beyond ASCII only in mail that says SMTPUTF8), RFC 2045 §6.4, RFC 2046 §5.1.
"""

import re
from collections import Counter
from collections.abc import Iterator
from email.utils import parsedate_tz

from postern.mail.dmarc.evaluate import MAX_AUTHORS
from postern.mail.finding import Finding, Result
from postern.mail.message.header import fields_pattern
from postern.mail.mime.part import Fault
from postern.policy.checks.check import Found
from postern.policy.checks.letter import Letter

ONCE = (
    b"date", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"message-id", b"in-reply-to",
    b"references", b"subject",
)  # fmt: skip
"""From is looked at apart: it must stand once."""
_COUNTED = fields_pattern(b"from", *ONCE)
_DATE = re.compile(
    rb"\s*(?:[A-Z][a-z]{2},)?\s*[0-3]?\d [A-Z][a-z]{2} [12]\d{3} [0-2]\d:[0-5]\d(?::[0-6]\d)?"
    rb" [+-]\d{4}(?:\s*\([^()]*\))?\s*"
)
"""Nearly every one; the rest is read with more patience."""
_MAX_DATE_BYTES = 200

FAILS = {
    Fault.TOO_DEEP: "its parts lie deeper in one another than is looked into",
    Fault.TOO_MANY_PARTS: "it has more parts than are looked at",
    Fault.HEADER_TOO_LONG: "the header of a part is longer than is read",
    Fault.MANY_NAMES: "a part has more names than are looked at",
    Fault.TWO_BOUNDARIES: "it names two boundaries: readers would not see the same parts",
}
"""Nobody can say what such a message holds; honest programs send none."""
NOTES = {
    Fault.NO_BOUNDARY: "its parts have no boundary",
    Fault.LONG_BOUNDARY: "a boundary is longer than 70 octets",
    Fault.REPEATED_BOUNDARY: "parts inside one another have the same boundary",
    Fault.LOOSE_BOUNDARY: "a line begins with a boundary and goes on",
    Fault.NOT_CLOSED: "its last boundary is missing",
    Fault.AFTER_CLOSE: "there are parts behind the last boundary",
    Fault.TWO_TYPES: "a part says twice what it is, and not the same",
    Fault.TWO_ENCODINGS: "a part says twice how it is encoded, and not the same",
    Fault.ENCODED_CONTAINER: "parts are encoded as a whole, which they may not be",
    Fault.BROKEN_BASE64: "a part goes on behind its end (base64)",
}


async def check_standards(letter: Letter) -> Found:
    """``standards.header``, ``standards.long-line``, or fine."""
    found = (*_header(letter), *_parts(letter))
    if letter.has_long_line:
        text = "a line is longer than 998 octets; other servers may cut or refuse it"
        found += (Finding("standards.long-line", Result.FAIL, text),)
    return Found(found or (Finding("standards.header", Result.PASS, "the header is in order"),))


def _header(letter: Letter) -> Iterator[Finding]:
    fields = letter.scan.pick(_COUNTED)
    counts = Counter(name.lower() for name, _ in fields)
    authors = counts[b"from"]
    if authors > 1:
        yield _fail(f"the message has {authors} From lines: readers would not see the same author")
    elif not authors:
        yield _fail("the message has no From line")
    elif letter.authors is None:
        # Mail programs show something of it all the same, and nobody can say whose it is.
        yield _fail("its From line is not a proper list of mail addresses")
    elif len({author.domain for author in letter.authors}) > MAX_AUTHORS:
        yield _fail(f"its From line names authors of more than {MAX_AUTHORS} domains")
    date = next((value for name, value in fields if name.lower() == b"date"), None)
    if date is None:
        yield _note("the message has no Date line")
    elif not _is_date(date):
        yield _note("its Date line can't be read")
    doubled = [name.decode().title() for name in ONCE if counts[name] > 1]
    if doubled:
        yield _note(f"more than one line called {', '.join(doubled)}")
    if not letter.is_utf8 and not letter.head.isascii():
        yield _note("its header has octets beyond ASCII")


def _is_date(value: bytes) -> bool:
    if _DATE.fullmatch(value):
        return True
    try:
        return parsedate_tz(value[:_MAX_DATE_BYTES].decode("latin-1")) is not None
    except (ValueError, IndexError, OverflowError):  # it was written for friendly input
        return False


def _parts(letter: Letter) -> Iterator[Finding]:
    faults = letter.structure.faults
    if not faults:
        return
    for fault, text in FAILS.items():
        if fault in faults:
            yield _fail(text)
    noted = [text for fault, text in NOTES.items() if fault in faults]
    if noted:
        yield _note("; ".join(noted))


def _fail(text: str) -> Finding:
    return Finding("standards.header", Result.FAIL, text)


def _note(text: str) -> Finding:
    return Finding("standards.header", Result.NOTE, text)
