"""One recipient's verdict: what was found, weighed by that recipient's rules.

The nearest scope decides, within it the most particular rule, then the later one. A rule that
blocks, holds or junks decides by itself; one that lets through switches checks off, all of them or
those it names. What is left is weighed by how each check is treated, and the gravest wins.

"Couldn't tell" is never "fail": it becomes "not now" only where a fail would refuse for this
recipient, and only if nothing graver was found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from postern.mail.finding import Finding, Result, Whose
from postern.policy.rules.book import Book
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import (
    FOR_NOW,
    LOCKED,
    NOTED_UNKNOWN,
    Action,
    Rule,
    Scope,
    Treatment,
    family_of,
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
    """One finding and what was made of it; ``waived_by`` names the rule that switched it off."""

    finding: Finding
    gravity: Gravity
    waived_by: Rule | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a message for one recipient, and why.

    Attributes:
        because: the finding that decided; None for ACCEPT.
        rule: the rule that decided, or that let through what would have been refused.
        awaits: a rule that could still lift the refusal once the header is there.
        weighed: every finding, in the order it was found, for whoever explains.
    """

    gravity: Gravity
    because: Finding | None
    rule: Rule | None
    awaits: Rule | None
    weighed: tuple[Weighed, ...]


_BY_TREATMENT = {
    Treatment.OFF: Gravity.ACCEPT,
    Treatment.NOTE: Gravity.ACCEPT,
    Treatment.JUNK: Gravity.JUNK,
    Treatment.HOLD: Gravity.HOLD,
    Treatment.REFUSE: Gravity.REFUSE,
}
_BY_ACTION = {
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
    fitting = tuple(book.fitting(facts))
    waivers, deciding = _until_one_decides(fitting)
    weighed = tuple(_weigh(finding, waivers, facts, book) for finding in findings)
    worst = max(weighed, key=lambda one: one.gravity, default=None)
    gravity = Gravity.ACCEPT if worst is None else worst.gravity
    because = None if worst is None or not gravity else worst.finding
    if deciding is not None and deciding.action is not Action.ALLOW:
        by_rule = _BY_ACTION[deciding.action]
        if by_rule >= gravity:
            return Judgement(by_rule, _said_by(deciding), deciding, None, weighed)
    if because is None:
        return Judgement(gravity, None, _lifter(weighed), None, weighed)
    awaits = _awaited(because, facts, book) if gravity >= Gravity.REFUSE_FOR_NOW else None
    return Judgement(gravity, because, None, awaits, weighed)


def _until_one_decides(fitting: Iterable[Rule]) -> tuple[list[Rule], Rule | None]:
    """Rules that let through, up to the first that decides by itself.

    What lets everything through decides too: a wider rule that blocks is not asked any more.
    """
    waivers: list[Rule] = []
    for rule in fitting:
        if rule.action is not Action.ALLOW:
            return waivers, rule
        waivers.append(rule)
        if not rule.waives:
            return waivers, rule
    return waivers, None


def _weigh(finding: Finding, waivers: Iterable[Rule], facts: Facts, book: Book) -> Weighed:
    if finding.result not in {Result.FAIL, Result.COULDNT_TELL}:
        return Weighed(finding, Gravity.ACCEPT)
    family = family_of(finding.check)
    gravity = _gravity(finding, family, facts, book)
    if not gravity:
        return Weighed(finding, gravity)
    # What a domain set for itself, the system's rules do not switch off: the nearer one decides.
    reach = _NEARNESS[book.setting(finding.check).scope]
    for rule in waivers:
        if rule.waives_family(family) and _NEARNESS[rule.scope] <= reach:
            return Weighed(finding, Gravity.ACCEPT, rule)
    return Weighed(finding, gravity)


_NEARNESS = {scope: place for place, scope in enumerate(Scope)}


def _gravity(finding: Finding, family: str, facts: Facts, book: Book) -> Gravity:
    """How grave it is before anybody waives it."""
    if finding.result is Result.COULDNT_TELL:
        return _gravity_of_unknown(family, book)
    gravity = _BY_TREATMENT[book.setting(finding.check).treatment]
    if facts.is_known and family == "greylist":
        return Gravity.ACCEPT
    if gravity is not Gravity.REFUSE:
        return gravity
    if finding.check in FOR_NOW:
        return Gravity.REFUSE_FOR_NOW
    # Whom somebody has written to is not turned away by a machine's suspicion.
    if facts.is_known and family not in LOCKED and family not in _OF_FORM:
        return Gravity.HOLD
    return gravity


_OF_FORM = frozenset({"standards", "loop", "auth", "ban", "system"})
"""Families about the form of a session, not about who is behind it."""


def _gravity_of_unknown(family: str, book: Book) -> Gravity:
    """How grave it is not to know: it holds up only where a fail would refuse."""
    if family in NOTED_UNKNOWN:
        return Gravity.ACCEPT
    if family in LOCKED:
        return Gravity.REFUSE_FOR_NOW
    graver = any(
        book.setting(check).treatment is Treatment.REFUSE for check in _CHECKS_OF.get(family, ())
    )
    return Gravity.REFUSE_FOR_NOW if graver else Gravity.ACCEPT


_CHECKS_OF = {
    "ptr": ("ptr.missing",),
    "helo": ("helo.unresolvable",),
    "mailfrom": ("mailfrom.no-domain", "mailfrom.no-mx"),
    "spf": ("spf.fail",),
    "dkim": ("dkim.fail",),
    "dmarc": ("dmarc.reject",),
    "content": ("content.attachment",),
    "command": ("command.found",),
}
"""What a family that could not be told might have said."""


def _said_by(rule: Rule) -> Finding:
    """A rule's decision as a finding: every refusal names a check."""
    check = {Action.BLOCK: "rule.block", Action.HOLD: "rule.hold"}.get(rule.action, "rule.junk")
    where = f"of {rule.place}" if rule.place else "of this server"
    text = f"rule {rule.label} {where} says so for {rule.match}"
    return Finding(check, Result.FAIL, text, Whose.RECIPIENT)


def _lifter(weighed: Iterable[Weighed]) -> Rule | None:
    """The rule to thank for mail that is accepted though something spoke against it."""
    return next((one.waived_by for one in weighed if one.waived_by is not None), None)


def _awaited(because: Finding, facts: Facts, book: Book) -> Rule | None:
    return book.may_yet_allow(family_of(because.check), facts)
