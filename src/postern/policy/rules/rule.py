"""What a rule does, and how a check is treated where no rule says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from postern.policy.rules.match import SAID_KINDS, Match


class Scope(Enum):
    """Whose mail a rule is about; the nearer one decides. The letters begin a rule's label."""

    MAILBOX = "M"
    DOMAIN = "D"
    SYSTEM = "S"


class Action(Enum):
    """What a rule does with the mail it is about."""

    ALLOW = "allow"
    BLOCK = "block"
    HOLD = "hold"
    JUNK = "junk"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, as its author meant it.

    Attributes:
        label: ``M1``, ``D2``, ``S3``: how people name it.
        place: the mailbox or domain it is for; empty for the system's.
        waives: families of checks (``spf``, ``dnsbl``) that ALLOW switches off; none named: all
            that are not locked.
        unproven: it fits whoever only says to be that sender.
        serial: order of making; of two that are equally particular the later one decides.
        until: seconds since 1970 when it ends by itself; None: somebody has to end it.
        id: of its ``Temporary``, which holds reason, author and use.
    """

    label: str
    scope: Scope
    place: str
    match: Match
    action: Action
    waives: frozenset[str] = frozenset()
    unproven: bool = False
    serial: int = 0
    until: float | None = None
    id: str = ""

    def is_over(self, now: float) -> bool:
        """True once its time has passed."""
        return self.until is not None and self.until <= now

    @property
    def needs_proof(self) -> bool:
        """True for what would let a liar in: an ALLOW by what anyone can say."""
        return self.action is Action.ALLOW and not self.unproven and self.match.kind in SAID_KINDS

    def waives_family(self, family: str) -> bool:
        """True when it switches off the checks of ``family`` for the mail it is about."""
        if self.action is not Action.ALLOW or family in LOCKED:
            return False
        return not self.waives or family in self.waives


class Treatment(Enum):
    """What a check's fail leads to; the words of ``postern rule system``, mildest first."""

    OFF = "off"
    NOTE = "note"
    JUNK = "junk"
    HOLD = "hold"
    REFUSE = "refuse"


MILD = frozenset({Treatment.OFF, Treatment.NOTE})
"""What a check's fail leads to where it leads to nothing."""

LOCKED = frozenset({"virus", "rcpt", "quota", "size", "loop"})
"""Families that no rule can waive, nor any setting make milder."""

ALWAYS = frozenset({"standards.bare-lf"})
"""Checks that are no matter of taste though their family is: what is let in could smuggle mail."""

DEFAULTS: Mapping[str, Treatment] = {
    "ptr.missing": Treatment.REFUSE,
    "ptr.mismatch": Treatment.NOTE,
    "helo.invalid": Treatment.REFUSE,
    "helo.unresolvable": Treatment.NOTE,
    "helo.own-name": Treatment.REFUSE,
    "dnsbl.listed": Treatment.REFUSE,
    "mailfrom.no-domain": Treatment.REFUSE,
    "mailfrom.no-mx": Treatment.REFUSE,
    "spf.fail": Treatment.JUNK,
    "spf.softfail": Treatment.NOTE,
    "greylist.wait": Treatment.REFUSE,
    "standards.bare-lf": Treatment.REFUSE,
    "standards.header": Treatment.REFUSE,
    "standards.long-line": Treatment.NOTE,
    "standards.early-talk": Treatment.REFUSE,
    "dkim.fail": Treatment.NOTE,
    "dmarc.reject": Treatment.REFUSE,
    "dmarc.quarantine": Treatment.JUNK,
    "virus.found": Treatment.REFUSE,
    "spam.score": Treatment.JUNK,
    "content.attachment": Treatment.REFUSE,
    "command.found": Treatment.REFUSE,
    "rcpt.unknown": Treatment.REFUSE,
    "rcpt.relay-denied": Treatment.REFUSE,
    "quota.full": Treatment.REFUSE,
    "size.too-big": Treatment.REFUSE,
    "loop.detected": Treatment.REFUSE,
    "rate.exceeded": Treatment.REFUSE,
}
"""What a check's fail leads to where nobody set anything; a check that is not here is noted."""

FOR_NOW = frozenset({"greylist.wait", "rate.exceeded", "quota.full"})
"""Refused as "not now": the same mail may be taken later."""

NOTED_UNKNOWN = frozenset({"dnsbl", "greylist", "spam"})
"""Families whose "couldn't tell" never holds a message up: they are one hint among others."""

UNTOLD: Mapping[str, Treatment] = {
    "virus.couldnt-tell": Treatment.REFUSE,
    "command.couldnt-tell": Treatment.REFUSE,
    "spam.couldnt-tell": Treatment.NOTE,
}
"""What becomes of mail that a scanner could not look at, where nobody set anything; refused is "not
now". Unlike a fail this can be set for locked families too: it is about us, not about the message.
"""
FOR_UNTOLD = (Treatment.NOTE, Treatment.HOLD, Treatment.REFUSE)
"""Passed on with a mark, held, refused for now; never in silence."""


def checks_of(family: str) -> tuple[str, ...]:
    """The checks of a family that can fail."""
    return tuple(check for check in DEFAULTS if family_of(check) == family)


def is_locked(check: str) -> bool:
    """True for what no rule can waive, nor any setting make milder.

    What a scanner could not tell is no rule's to waive in a family that is locked, but can be set.
    """
    return check in ALWAYS or (family_of(check) in LOCKED and check not in UNTOLD)


def family_of(check: str) -> str:
    """``mailfrom`` of ``mailfrom.no-mx``."""
    return check.partition(".")[0]
