"""What can be done about a refusal, as commands to paste; the narrowest first.

Everything in a command is ours or checked: a sender's word never reaches a shell as it came.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from postern.diagnosis.ending import Ending, ending_of
from postern.diagnosis.wording import because_of
from postern.journal.record import Conversation, RecipientRecord, Step
from postern.mail.address import parse_address, to_a_labels
from postern.mail.finding import Result
from postern.policy.rules.rule import family_of, is_locked

MAX_MENDS = 4
_OF_SENDER = frozenset({"mailfrom", "spf", "dkim", "dmarc"})
"""Families that look up the sender's domain."""
_PASSING = frozenset({"greylist", "rate", "quota", "system", "auth", "ban"})
"""Families whose refusals end by themselves, or are no matter of rules."""


_NOTED_OFTEN = frozenset({"spf.fail", "dkim.fail", "dmarc.reject", "standards.header"})
"""Noted of every second message ("not signed"): nothing that anybody need mend."""


@dataclass(frozen=True, slots=True)
class Fix:
    """One thing to do: ``text`` says what it is, ``command`` is empty where there is none."""

    text: str
    command: str = ""


def blocking(c: Conversation) -> tuple[str, ...]:
    """The checks that refused, the first of them first: each that would have refused next."""
    recipient = _refused(c)
    because = because_of(c) if recipient is None else recipient.because or because_of(c)
    if because is None or not because.check:
        return ()
    return (because.check, *(recipient.next if recipient is not None else ()))


def fixes(c: Conversation, code: str, resolvers: Sequence[str]) -> tuple[Fix, ...]:
    """What to do about it.

    Args:
        c: a conversation that came in and was refused; of any other nothing is said.
        code: its trace code, the reason that the commands give.
        resolvers: names of those in postern.toml, home first.
    """
    if c.direction != "in" or ending_of(c) not in {Ending.REFUSED, Ending.REFUSED_FOR_NOW}:
        return ()
    checks = blocking(c)
    if not checks or any(is_locked(check) for check in checks):
        return ()
    if any(family_of(check) in _PASSING for check in checks):
        return ()
    found = [*_rule(c, checks), *_look_up(c, checks, code, resolvers), *_waive(c, checks, code)]
    return (*found, *_mend(c, code))


def is_mendable(step: Step) -> bool:
    """True for a fault that the sender's side can mend, also where it was only noted."""
    if step.result == Result.NOTE.value:
        return step.step not in _NOTED_OFTEN
    return step.result == Result.FAIL.value


def _refused(c: Conversation) -> RecipientRecord | None:
    return next((one for one in c.recipients if one.state.startswith("refused")), None)


def _rule(c: Conversation, checks: tuple[str, ...]) -> list[Fix]:
    recipient = _refused(c)
    if family_of(checks[0]) != "rule" or recipient is None or not recipient.rule.isalnum():
        return []
    text = f"end the rule {recipient.rule}, which says so; first look what it is for: rule list"
    return [Fix(text, f"postern rule end {recipient.rule}")]


def _look_up(
    c: Conversation, checks: tuple[str, ...], code: str, resolvers: Sequence[str]
) -> list[Fix]:
    """Another resolver, where nothing but DNS stands in the way."""
    untold = {s.step for s in c.steps if s.result == Result.COULDNT_TELL.value}
    if not all(check in untold for check in checks):
        return []
    zones = {_zone(c, family_of(check)) for check in checks}
    zone = zones.pop()
    if zones or not zone:
        return []
    if len(resolvers) < 2:
        text = (
            f"home alone looks up {zone}: name a second [[resolver]] in postern.toml,"
            " elsewhere in the world, and reload; it is asked when home couldn't tell"
        )
        return [Fix(text)]
    via = resolvers[1]
    if not via.isascii() or not via.replace("-", "").replace("_", "").isalnum():
        return []
    text = f"look this zone up through {via} first, 30 days; waives nothing"
    command = f"postern resolver add {zone} --via {via} --for 30d --reason {code}"
    return [Fix(text, command)]


def _zone(c: Conversation, family: str) -> str:
    if family in _OF_SENDER:
        address = parse_address(c.mail_from)
        return "" if address is None or address.is_literal else to_a_labels(address.domain) or ""
    if family != "ptr":
        return ""
    try:
        reverse = ipaddress.ip_address(c.client_ip).reverse_pointer
    except ValueError:
        return ""
    keep = 5 if reverse.endswith("in-addr.arpa") else 18  # its /24, its /64
    return ".".join(reverse.split(".")[-keep:])


def _waive(c: Conversation, checks: tuple[str, ...], code: str) -> list[Fix]:
    """Let this server in, for the recipient's domain, past exactly what stands in its way."""
    recipient = _refused(c)
    address = None if recipient is None else parse_address(recipient.address)
    domain = None if address is None else to_a_labels(address.domain)
    if family_of(checks[0]) == "rule" or not domain or not _is_ip(c.client_ip):
        return []
    families = ",".join(dict.fromkeys(family_of(check) for check in checks))
    text = f"waive {families.replace(',', ' and ')} for this server, for {domain}, 14 days"
    command = f"postern rule allow {c.client_ip} --waive {families} --domain {domain}"
    return [Fix(text, f"{command} --for 14d --reason {code}")]


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _mend(c: Conversation, code: str) -> list[Fix]:
    """What the sender's side can mend, noted or not."""
    faults = [
        step.text
        for step in c.steps
        if is_mendable(step) and step.whose == "sender" and step.text and step.step != "command"
    ]
    if not faults:
        return []
    shown = "; ".join(dict.fromkeys(faults[:MAX_MENDS]))
    text = f"tell the sender's side what to mend (a draft, en and zh): {shown}"
    return [Fix(text, f"postern why {code} --letter")]
