"""What a recipient's rules come to, before any mail, for whoever asks.

Nothing is reckoned here: ``judge`` is asked, as it is for mail, with one finding at a time.
"""

from dataclasses import dataclass, replace

from postern.mail.address import Address
from postern.mail.finding import Finding, Result
from postern.policy.judge import Gravity, Judgement
from postern.policy.recipient import for_outside, is_postmaster, judge_for
from postern.policy.rules.book import Book, Setting
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import DEFAULTS, UNTOLD, Rule, family_of, is_locked


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check as it stands for a recipient and some mail.

    Attributes:
        gravity: what a fail (or not to know) leads to, by itself, for this mail.
        waived_by: the rule that switches it off for this mail.
        elsewhere: rules that switch it off for other mail.
    """

    check: str
    setting: Setting
    gravity: Gravity
    waived_by: Rule | None
    elsewhere: tuple[Rule, ...]

    @property
    def is_locked(self) -> bool:
        """True for what nobody can waive, nor set otherwise."""
        return is_locked(self.check)


@dataclass(frozen=True, slots=True)
class Explanation:
    """All checks, and what the rules say of mail that no check has anything against."""

    checks: tuple[CheckLine, ...]
    clean: Judgement
    fitting: tuple[Rule, ...]


def explain(named: Address, book: Book, facts: Facts, *, is_outside: bool = False) -> Explanation:
    """What the rules in ``book`` make of mail like ``facts`` for the recipient called ``named``.

    ``is_outside``: it is an alias of ours that leads elsewhere.
    """
    fitting = () if is_postmaster(named) else tuple(book.fitting(facts))
    lines = tuple(_line(check, named, book, facts, fitting) for check in (*DEFAULTS, *UNTOLD))
    clean = judge_for(named, (), facts, book)
    if not is_outside:
        return Explanation(lines, clean, fitting)
    held = tuple(
        replace(line, gravity=Gravity.HOLD) if line.gravity is Gravity.JUNK else line
        for line in lines
    )
    return Explanation(held, for_outside(clean), fitting)


def _line(
    check: str, named: Address, book: Book, facts: Facts, fitting: tuple[Rule, ...]
) -> CheckLine:
    result = Result.COULDNT_TELL if check in UNTOLD else Result.FAIL
    judged = judge_for(named, (Finding(check, result, "asked"),), facts, book)
    weighed = judged.weighed[0] if judged.weighed else None
    family = family_of(check)
    elsewhere = tuple(
        rule
        for shelf in (book.mailbox, book.domain, book.system)
        for rule in shelf.rules
        if rule.waives_family(family) and rule not in fitting and not rule.is_over(facts.at)
    )
    gravity = Gravity.ACCEPT if weighed is None else weighed.gravity
    waived_by = None if weighed is None else weighed.waived_by
    return CheckLine(check, book.setting(check), gravity, waived_by, elsewhere)
