"""Rules and settings for whoever asks of many at once.

What there is, and the rule that is none yet, for whoever tries a change; what goes with a mailbox.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from postern.directory.model import Problem, Refused
from postern.directory.store.changes import Writing
from postern.measures import store as measures
from postern.policy.rules.draft import Draft, flaw_of
from postern.policy.rules.rule import DEFAULTS, MILD, Action, Rule, Scope, Treatment
from postern.policy.rules.store import measured, place_of, rule_table, treatment_table
from postern.runtime.clock import Instant
from postern.runtime.database.engine import Database

TRIED = "the new rule"
"""The label of a rule that nobody has made yet."""
_LAST = 1 << 62
"""Its serial: of equals the later rule decides."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is, for whoever looks at everybody's mail at once.

    Attributes:
        places: who has rules that hold now.
        treated_domains: which domains treat a check in a way of their own.
        weighing: checks whose fail leads to something anywhere.
        has_harsh: a rule that blocks, holds or junks is among them.
    """

    places: frozenset[tuple[Scope, str]]
    treated_domains: frozenset[str]
    weighing: frozenset[str]
    has_harsh: bool


def inventory(database: Database, now: Instant) -> Inventory:
    """What there is at ``now``.

    Raises:
        DatabaseTroubleError: the database could not answer.
    """
    rule, treated = rule_table.c, treatment_table.c
    with database.read() as connection:
        rules = connection.execute(
            sa.select(rule.scope, rule.place, rule.action)
            .distinct()
            .select_from(measured.joined)
            .where(*measures.holding(now))
        ).all()
        settings = connection.execute(
            sa.select(treated.domain, treated.check_id, treated.treatment)
        ).all()
    weighing = {check for check, treatment in DEFAULTS.items() if treatment not in MILD}
    weighing |= {check for _, check, word in settings if Treatment(word) not in MILD}
    return Inventory(
        frozenset((Scope(scope), place) for scope, place, _ in rules),
        frozenset(domain for domain, _, _ in settings if domain),
        frozenset(weighing),
        any(action != Action.ALLOW.value for _, _, action in rules),
    )


def tried(database: Database, draft: Draft, now: Instant) -> Rule | Refused:
    """The rule as it would be made ``now``; nothing is written.

    Raises:
        DatabaseTroubleError: the database could not answer.
    """
    flaw = flaw_of(draft)
    if flaw:
        return Refused(Problem.NOT_ALLOWED, flaw)
    with database.read() as connection:
        place = place_of(connection, draft)
    if isinstance(place, Refused):
        return place
    until = None if draft.lasts_s is None else now + draft.lasts_s
    return Rule(
        TRIED, draft.scope, place, draft.match, draft.action, draft.waives, draft.unproven,
        _LAST, until,
    )  # fmt: skip


def end_rules_of(writing: Writing, place: str) -> None:
    """A mailbox or a domain goes away, and what was decided for it goes with it.

    Else whoever gets that name next would find rules that he never made.
    """
    now, connection = writing.clock.now(), writing.connection
    ids = connection.execute(
        sa.select(rule_table.c.id)
        .select_from(measured.joined)
        .where(rule_table.c.place == place, measures.temporary.c.ended_at.is_(None))
    ).scalars()
    for key in ids.all():
        measures.end(connection, key, now, writing.author)
        writing.log("rule", key, "ended", because=f"{place} was removed")
    connection.execute(treatment_table.delete().where(treatment_table.c.domain == place))
