"""What an SPF check came to, and everything that led to it.

Source: RFC 7208 §2.6 (the seven results), §4.6.4 (what is counted).
"""

from dataclasses import dataclass
from enum import Enum

from postern.mail.dns import Question


class SpfCode(Enum):
    """The results of RFC 7208 §2.6; the values are its words."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a word of results, not a secret
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"  # couldn't tell: DNS gave no answer
    PERMERROR = "permerror"  # what is published cannot be understood


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way to the record that decided: whose record led on, and by which term."""

    domain: str
    term: str
    is_redirect: bool = False


@dataclass(frozen=True, slots=True)
class SpfResult:
    """The result, with its evidence; every text is one safe line of bounded length.

    Attributes:
        domain: who was asked about.
        decided_by: whose record (or want of one) decided; another than ``domain`` behind ``via``.
        term: the mechanism that matched, or the term that is wrong, as published; empty when no
            mechanism matched (the default) or no record could be read.
        via: the includes and redirects that led from ``domain`` to ``decided_by``.
        problem: why there is none, a temperror or a permerror: one plain clause without full stop.
        lookups: terms that asked DNS, of the 10 that are allowed (RFC 7208 §4.6.4).
        void_lookups: those of them that nothing came of, of the 2 that are allowed.
        explanation: what the domain has to say to a fail, ASCII; empty when it says nothing. These
            are a stranger's words and must be shown as such (RFC 7208 §6.2, §11.5.2).
        unanswered: questions that DNS gave no answer to. With a temperror the last one is its
            cause; with another result they are those that RFC 7208 §5.5 passes over (``ptr``).
    """

    code: SpfCode
    domain: str
    decided_by: str = ""
    term: str = ""
    via: tuple[Step, ...] = ()
    problem: str = ""
    lookups: int = 0
    void_lookups: int = 0
    explanation: str = ""
    unanswered: tuple[Question, ...] = ()

    @property
    def mechanism(self) -> str:
        """The mechanism that decided in the domain's own record (or the one redirected to).

        Where ``term`` was reached by an include, this is the include. Empty for the default.
        """
        return next((step.term for step in self.via if not step.is_redirect), self.term)


def out_of_time(domain: str) -> SpfResult:
    """The result of a check that whoever drives it gave up (RFC 7208 §4.6.4: 20 s or more)."""
    return SpfResult(
        SpfCode.TEMPERROR, domain, decided_by=domain, problem="the check took too long"
    )
