"""The client's word for itself at HELO or EHLO.

Source: RFC 5321 §2.3.5 (a name that resolves, or an address literal), §4.1.4 (a server may look,
and must not refuse for a mismatch alone).
"""

from collections.abc import Sequence
from ipaddress import ip_address

from postern.mail.address import canonical_literal, to_a_labels
from postern.mail.dns import Answer, Question, Status
from postern.mail.finding import Finding, Result
from postern.mail.message.text import clean_text
from postern.policy.checks.check import (
    Found,
    Seen,
    ask_all,
    confirm_all,
    couldnt_tell,
    denied,
    failed,
    passed,
)
from postern.runtime.eager import within
from postern.runtime.resolver.lookup import Lookup

MAX_SHOWN_CHARS = 100
CONFIRM_S = 2.0
"""How long a client waits until another resolver confirms that its name is not there."""


async def check_helo(seen: Seen, lookup: Lookup) -> Found:
    """``helo.invalid``, ``helo.own-name``, ``helo.unresolvable``, or fine."""
    said = clean_text(seen.helo, MAX_SHOWN_CHARS)
    if seen.helo.startswith("["):
        return _literal(seen, said)
    name = to_a_labels(seen.helo)
    if name is None or "." not in name or _is_bare_address(name):
        text = f"your mail server calls itself {said}, which is no full host name"
        return failed("helo.invalid", text)
    if name == seen.hostname.lower():
        return failed("helo.own-name", f"your mail server calls itself {said}: that is our name")
    answers = await ask_all(lookup, [Question.of(name, "A"), Question.of(name, "AAAA")])
    if not any(answer.status is Status.OK for answer in answers):
        answers = await _confirmed(lookup, answers)
    if any(answer.status is Status.OK for answer in answers):
        text = f"{name} is a name with an address{denied(answers)}"
        return passed("helo.unresolvable", text)
    silent = next((answer for answer in answers if not answer.status.is_known), None)
    if silent is not None:
        what = f"the name {name} that it gives itself"
        return couldnt_tell("helo.couldnt-tell", silent, what, ("helo.unresolvable",))
    text = f"your mail server calls itself {name}, a name without an address in DNS"
    return failed("helo.unresolvable", text)


async def _confirmed(lookup: Lookup, answers: Sequence[Answer]) -> Sequence[Answer]:
    """What stands of them once they were asked for elsewhere, within ``CONFIRM_S``.

    By default this is only noted: no client may be kept waiting long for it by a second resolver
    that hangs. It goes on being asked, and what it says is known next time.
    """
    try:
        return await within(confirm_all(lookup, answers), CONFIRM_S)
    except TimeoutError:
        return [_unconfirmed(one) if one.is_negative else one for one in answers]


def _unconfirmed(answer: Answer) -> Answer:
    return Answer(answer.question, Status.TIMEOUT, seconds=CONFIRM_S, denied_by=answer.resolver)


def _literal(seen: Seen, said: str) -> Found:
    literal = canonical_literal(seen.helo) if seen.helo.endswith("]") else None
    if literal is None:
        return failed("helo.invalid", f"your mail server calls itself {said}: no address literal")
    if ip_address(literal.strip("[]").removeprefix("IPv6:")) != ip_address(seen.ip):
        # Behind an address translator that is honest, and RFC 5321 §4.1.4 forbids to refuse it.
        text = f"the client calls itself {said} and comes from {seen.ip}"
        return Found((Finding("helo.unresolvable", Result.NOTE, text),))
    return passed("helo.unresolvable", f"{said} is the client's own address")


def _is_bare_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
