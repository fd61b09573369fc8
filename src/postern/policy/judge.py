"""One recipient's verdict: what was found, weighed by that recipient's rules.

The nearest scope decides, within it the most particular rule, then the later one. A rule that
blocks, holds or junks decides by itself; one that lets through switches checks off, all of them or
those it names. What is left is weighed by how each check is treated, and the gravest wins.

"Couldn't tell" is never "fail": it becomes "not now" only where a fail would refuse for this
recipient, and only if nothing graver was found. What scanners could not tell somebody may have held
or passed on with a mark instead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from postern.mail.finding import Finding, Result, Whose
from postern.policy.rules.book import Book, nearness, rank
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import (
    FOR_NOW,
    LOCKED,
    NOTED_UNKNOWN,
    UNTOLD,
    Action,
    Rule,
    Treatment,
    checks_of,
    family_of,
    is_locked,
)


class Gravity(IntEnum):
    """What becomes of the mail, the graver the higher."""

    ACCEPT = 0
    JUNK = 1
    HOLD = 2
    REFUSE_FOR_NOW = 3
    REFUSE = 4


@dataclass(frozen=True, slots=True)
class Weighed:
    """One finding and what was made of it.

    ``reach``: nearness of whoever set how it is treated; a rule from farther away can't waive it.
    ``waived_by``: the rule that switched it off.
    """

    finding: Finding
    gravity: Gravity
    reach: int
    waived_by: Rule | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a message for one recipient, and why.

    Attributes:
        because: the finding that decided; None for ACCEPT.
        rule: the rule that decided, or that let through what would not have been accepted.
        awaits: a rule that could still lift the refusal once the header is there.
        weighed: every finding, in the order it was found, for whoever explains.
        is_known: its recipient has written to the sender, who is proven.
        awaits_proof: its recipient has written to the sender, whom DKIM could still prove.
    """

    gravity: Gravity
    because: Finding | None
    rule: Rule | None
    awaits: Rule | None
    weighed: tuple[Weighed, ...]
    awaits_proof: bool = False
    is_known: bool = False

    @property
    def waits(self) -> bool:
        """True when the refusal is not to be said before the header has come."""
        return self.awaits is not None or self.awaits_proof


@dataclass(frozen=True, slots=True)
class _Decided:
    """What the rules that fit came to."""

    waivers: tuple[Rule, ...]
    deciding: Rule | None
    overruled: Rule | None


_BY_TREATMENT = {
    Treatment.OFF: Gravity.ACCEPT,
    Treatment.NOTE: Gravity.ACCEPT,
    Treatment.JUNK: Gravity.JUNK,
    Treatment.HOLD: Gravity.HOLD,
    Treatment.REFUSE: Gravity.REFUSE,
}
_BY_ACTION = {
    Action.ALLOW: Gravity.ACCEPT,
    Action.BLOCK: Gravity.REFUSE,
    Action.HOLD: Gravity.HOLD,
    Action.JUNK: Gravity.JUNK,
}


def judge(findings: Sequence[Finding], facts: Facts, book: Book) -> Judgement:
    """The verdict on a message for the recipient whose rules are in ``book``.

    Args:
        findings: what was found so far, in the order it was found.
        facts: what is known of the message so far; without a header a refusal that a rule could
            still lift names that rule in ``awaits``.
        book: what was decided for the recipient.
    """
    decided = _decide(book.fitting(facts))
    weighed = tuple(_weigh(finding, decided.waivers, facts, book) for finding in findings)
    worst = max(weighed, key=lambda one: one.gravity, default=None)
    found = Gravity.ACCEPT if worst is None else worst.gravity
    rule = decided.deciding
    by_rule = Gravity.ACCEPT if rule is None else _BY_ACTION[rule.action]
    gravity = max(found, by_rule)
    awaits = None
    if gravity >= Gravity.REFUSE_FOR_NOW:
        awaits = _awaited(weighed, rule if by_rule is Gravity.REFUSE else None, facts, book)
    if rule is not None and by_rule and by_rule >= found:
        return Judgement(gravity, _said_by(rule), rule, awaits, weighed)
    if worst is not None and found:
        return Judgement(gravity, worst.finding, None, awaits, weighed)
    return Judgement(gravity, None, _to_thank(weighed, decided), None, weighed)


def _decide(fitting: Iterable[Rule]) -> _Decided:
    """Go through the rules that fit, the nearest first.

    The first that does not only waive some checks decides. What waives, and is not farther away
    than a rule that blocks, waives: a mild rule in front of it does not make anything harsher.
    """
    waivers: list[Rule] = []
    deciding: Rule | None = None
    overruled: Rule | None = None
    for rule in fitting:
        is_waiver = rule.action is Action.ALLOW
        if deciding is None and not (is_waiver and rule.waives):
            deciding = rule
        elif deciding is not None and not is_waiver and overruled is None:
            overruled = rule
        if is_waiver and (deciding is None or deciding.action is not Action.BLOCK):
            waivers.append(rule)
    return _Decided(tuple(waivers), deciding, overruled)


def _weigh(finding: Finding, waivers: Iterable[Rule], facts: Facts, book: Book) -> Weighed:
    family = family_of(finding.check)
    gravity, reach = _gravity(finding, family, facts, book)
    if not gravity or is_locked(finding.check):
        return Weighed(finding, gravity, reach)
    # What a domain set for itself, the system's rules do not switch off: the nearer one decides.
    for rule in waivers:
        if rule.waives_family(family) and nearness(rule.scope) <= reach:
            return Weighed(finding, Gravity.ACCEPT, reach, rule)
    return Weighed(finding, gravity, reach)


def _gravity(finding: Finding, family: str, facts: Facts, book: Book) -> tuple[Gravity, int]:
    """How grave it is before anybody waives it, and from how near that was set."""
    if finding.result is Result.FAIL:
        return _gravity_of_fail(finding.check, facts, book)
    if finding.result is not Result.COULDNT_TELL:
        return Gravity.ACCEPT, 0
    might_be = finding.could_be or checks_of(family)
    fails = [_gravity_of_fail(check, facts, book) for check in might_be]
    gravity, reach = max(fails, default=(Gravity.ACCEPT, 0))
    said = book.said(finding.check) if finding.check in UNTOLD else None
    if said is not None:
        # Where a fail leads to nothing, there is nothing to be unsure of.
        asked = min(_BY_TREATMENT[said.treatment], Gravity.REFUSE_FOR_NOW)
        return (asked if gravity else Gravity.ACCEPT), nearness(said.scope)
    if family in NOTED_UNKNOWN:
        return Gravity.ACCEPT, 0
    # "Couldn't tell" holds up only where what it might have been would refuse.
    if family in LOCKED or gravity >= Gravity.REFUSE_FOR_NOW:
        return Gravity.REFUSE_FOR_NOW, reach
    return Gravity.ACCEPT, reach


def _gravity_of_fail(check: str, facts: Facts, book: Book) -> tuple[Gravity, int]:
    setting, family = book.setting(check), family_of(check)
    gravity, reach = _BY_TREATMENT[setting.treatment], nearness(setting.scope)
    if facts.is_known and family == "greylist":
        return Gravity.ACCEPT, reach
    if gravity is not Gravity.REFUSE:
        return gravity, reach
    if check in FOR_NOW:
        return Gravity.REFUSE_FOR_NOW, reach
    # Whom somebody has written to is not turned away by a machine's suspicion.
    if facts.is_known and family not in LOCKED and family != "standards":
        return Gravity.HOLD, reach
    return gravity, reach


def _awaited(
    weighed: Iterable[Weighed], blocking: Rule | None, facts: Facts, book: Book
) -> Rule | None:
    """The rule to wait for; None as soon as anything refuses that no rule could lift any more."""
    candidates = book.not_yet_allowing(facts)
    awaited: Rule | None = None
    if blocking is not None:
        # Only what lets everything through, and decides before it, overrules a rule that blocks.
        limit = rank(blocking)
        candidates = [rule for rule in candidates if rank(rule) < limit]
        awaited = next((rule for rule in candidates if not rule.waives), None)
        if awaited is None:
            return None
    for one in weighed:
        if one.gravity < Gravity.REFUSE_FOR_NOW:
            continue
        family = family_of(one.finding.check)
        lifting = (
            rule
            for rule in candidates
            if rule.waives_family(family) and nearness(rule.scope) <= one.reach
        )
        rule = next(lifting, None)
        if rule is None:
            return None
        awaited = awaited or rule
    return awaited


def _said_by(rule: Rule) -> Finding:
    """A rule's decision as a finding: every refusal names a check.

    The text is for strangers: it says nothing of whose rule it is, or what it is about.
    """
    check = {Action.BLOCK: "rule.block", Action.HOLD: "rule.hold"}.get(rule.action, "rule.junk")
    text = f"rule {rule.label} of this recipient says so"
    return Finding(check, Result.FAIL, text, Whose.RECIPIENT)


def _to_thank(weighed: Iterable[Weighed], decided: _Decided) -> Rule | None:
    """The rule that let through what a finding or a wider rule would have stopped."""
    if decided.overruled is not None:
        return decided.deciding
    return next((one.waived_by for one in weighed if one.waived_by is not None), None)
