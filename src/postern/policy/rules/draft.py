"""A rule on its way to be made: what somebody typed, and why it cannot be had like that."""

from dataclasses import dataclass

from postern.measures.temporary import reason_flaw
from postern.policy.rules.match import Match, MatchKind
from postern.policy.rules.rule import (
    DEFAULTS,
    FOR_UNTOLD,
    LOCKED,
    UNTOLD,
    Action,
    Scope,
    Treatment,
    family_of,
    is_locked,
)

MAX_LASTS_S = 100 * 365 * 86_400.0

FAMILIES = frozenset(family_of(check) for check in DEFAULTS)
"""What ``--waive`` takes."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule that has no name yet.

    ``place``: the mailbox or domain as typed, empty for the system. ``lasts_s`` None: no end.
    """

    action: Action
    match: Match
    scope: Scope
    place: str
    reason: str
    waives: frozenset[str] = frozenset()
    unproven: bool = False
    lasts_s: float | None = None


def flaw_of(draft: Draft) -> str:
    """Why the rule cannot be made: one sentence without a full stop; empty when it can."""
    if not draft.reason.strip():
        return "a rule needs a reason, for whoever finds it in a year: --reason TEXT"
    flaw = reason_flaw(draft.reason)
    if flaw:
        return flaw
    if draft.lasts_s is not None and not 0 < draft.lasts_s < MAX_LASTS_S:
        return "a rule lasts some time, and no longer than a hundred years"
    if draft.action is not Action.ALLOW:
        return "only a rule that allows can waive checks" if draft.waives else ""
    locked = sorted(draft.waives & LOCKED)
    if locked:
        return f"{', '.join(locked)} cannot be waived by anybody"
    unknown = sorted(draft.waives - FAMILIES)
    if unknown:
        known = ", ".join(sorted(FAMILIES - LOCKED))
        return f"there is no check called {', '.join(unknown)}; there are {known}"
    if draft.scope is Scope.SYSTEM and not draft.waives and _is_everybody(draft.match):
        return "that would switch every check off for everybody; name the checks with --waive"
    return ""


def _is_everybody(match: Match) -> bool:
    return match.kind is MatchKind.ALL or match.value in {"0.0.0.0/0", "::/0"}


def treatment_flaw(check: str, treatment: Treatment | None) -> str:
    """Why a check cannot be treated so; empty when it can. None: as where nobody said anything."""
    if treatment is None:
        known = check in DEFAULTS or check in UNTOLD
        return "" if known else f"there is no check called {check}; see docs/checks.md"
    if check in UNTOLD:
        words = ", ".join(one.value for one in FOR_UNTOLD)
        return "" if treatment in FOR_UNTOLD else f"{check} can be: {words}"
    if check not in DEFAULTS:
        return f"there is no check called {check}; see docs/checks.md"
    if is_locked(check) and treatment is not DEFAULTS[check]:
        return f"{check} is locked: it always refuses"
    return ""
