"""Rules and treatments in ``site.db``: made, ended, listed, and read as a recipient's book.

A rule is two rows in one transaction: what it does here, why and until when in ``measures``. Every
change is a line of the directory's change log, so that servers elsewhere can follow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa

from postern.directory.model import Problem, Refused
from postern.directory.store import domains, mailboxes
from postern.directory.store.changes import Writing
from postern.directory.store.measured import Measured, Row
from postern.mail.address import Address
from postern.measures import store as measures
from postern.measures.temporary import Kind, Temporary
from postern.policy.rules.book import Book
from postern.policy.rules.draft import Draft, flaw_of, treatment_flaw
from postern.policy.rules.match import Match, MatchKind
from postern.policy.rules.rule import Action, Rule, Scope, Treatment
from postern.policy.rules.shelf import Shelf, particularity
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.engine import Database

MAX_RULES_OF_A_PLACE = 10_000
"""Active rules of one mailbox, one domain, or the system: what a shelf may cost to read."""
MAX_LABEL_DIGITS = 15
CACHED_SHELVES = 4_096
CACHED_SETTINGS = 4_096

metadata = sa.MetaData()

rule_table = sa.Table(
    "rule",
    metadata,
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(26), nullable=False, unique=True),
    sa.Column("scope", sa.String(1), nullable=False),
    sa.Column("place", sa.String(1024), nullable=False),
    sa.Column("match_kind", sa.String(16), nullable=False),
    sa.Column("match_value", sa.String(1024), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("waives", sa.Text, nullable=False),
    sa.Column("unproven", sa.Boolean, nullable=False),
    sa.Index("rule_place", "place", "scope"),
    sqlite_autoincrement=True,
)

treatment_table = sa.Table(
    "treatment",
    metadata,
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("check_id", sa.String(64), primary_key=True),
    sa.Column("treatment", sa.String(16), nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("set_at", sa.Double, nullable=False),
)

measured = Measured(rule_table, Kind.RULE)

# Made once: making a statement takes several times as long as SQLite takes to answer it, and these
# are asked for every recipient whose rules are not in the cache.
_SHELF = (
    sa.select(*rule_table.c, measures.temporary.c.until)
    .select_from(measured.joined)
    .where(
        rule_table.c.place == sa.bindparam("place"),
        rule_table.c.scope == sa.bindparam("scope"),
        measures.temporary.c.ended_at.is_(None),
        sa.or_(
            measures.temporary.c.until.is_(None),
            measures.temporary.c.until > sa.bindparam("now"),
        ),
    )
    .order_by(rule_table.c.serial)
)
_SETTINGS = sa.select(treatment_table.c.check_id, treatment_table.c.treatment).where(
    treatment_table.c.domain == sa.bindparam("domain")
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule with its reason, author, end and use."""

    rule: Rule
    temporary: Temporary


class RuleStore:
    """Rules for those who change them. Every method is one transaction; a refusal changes nothing.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self._database = database
        self._clock = clock
        self._author = author

    def add(self, draft: Draft) -> StoredRule | Refused:
        """Make a rule; it holds for every transaction that begins after this returned."""
        flaw = flaw_of(draft)
        if flaw:
            return Refused(Problem.NOT_ALLOWED, flaw)
        return self._change(lambda writing: _add(writing, draft))

    def end(self, label: str) -> StoredRule | Refused:
        """End a rule, such as ``D2``; it stays on record."""
        return self._change(lambda writing: _end(writing, label))

    def of_place(self, scope: Scope, place: str) -> list[StoredRule]:
        """Active rules of one mailbox, one domain, or the system, the one that decides first."""
        with self._database.read() as connection:
            found = _active(connection, scope, place, self._clock.now())
        return sorted(found, key=lambda stored: particularity(stored.rule))

    def all(self) -> list[StoredRule]:
        """Every active rule, as they were made."""
        with self._database.read() as connection:
            return _active(connection, None, "", self._clock.now())

    def treat(self, check: str, treatment: Treatment | None, domain: str = "") -> str | Refused:
        """Set how a check is treated, for a domain or for all (None: unset); the domain's name."""
        flaw = treatment_flaw(check, treatment)
        if flaw:
            return Refused(Problem.NOT_ALLOWED, flaw)
        return self._change(lambda writing: _treat(writing, check, treatment, domain))

    def treatments(self, domain: str = "") -> dict[str, Treatment]:
        """What is set for a domain, or for all."""
        with self._database.read() as connection:
            return _treatments(connection, domain)

    def labelled(self, label: str) -> StoredRule | None:
        """The rule of that label that was not ended yet."""
        with self._database.read() as connection:
            return _labelled(connection, label)

    def count_uses(self, uses: Mapping[str, tuple[int, Instant]]) -> None:
        """Add to how often rules, by their ``id``, changed what became of mail."""
        with self._database.write() as connection:
            measures.count_uses(connection, uses)

    def _change(self, make: Callable[[Writing], T | Refused]) -> T | Refused:
        with self._database.write() as connection:
            result = make(Writing(connection, self._clock, self._author))
            if isinstance(result, Refused):
                connection.rollback()
        return result


class Books:
    """The book of each recipient, from caches; for one thread. ``forget`` when anything changed."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._shelf = lru_cache(CACHED_SHELVES)(self._read_shelf)
        self._settings = lru_cache(CACHED_SETTINGS)(self._read_settings)

    def of(self, mailbox: Address, domain: str = "") -> Book:
        """What was decided for mail to ``mailbox``, an address of ours in its one spelling.

        ``domain``: the one that the mail was sent to, where an alias of it leads to this mailbox.

        Raises:
            DatabaseTroubleError: the database could not answer.
        """
        domain = domain or mailbox.domain
        return Book(
            self._shelf(Scope.MAILBOX, mailbox.key),
            self._shelf(Scope.DOMAIN, domain),
            self._shelf(Scope.SYSTEM, ""),
            self._settings(domain),
            self._settings(""),
        )

    def for_place(self, scope: Scope, place: str) -> Book:
        """What a rule of that scope and place stands beside: its own scope and wider ones."""
        if scope is Scope.MAILBOX:
            local, _, domain = place.rpartition("@")
            return self.of(Address(local, domain))
        system, everybody = self._shelf(Scope.SYSTEM, ""), self._settings("")
        if scope is Scope.SYSTEM:
            return Book(system=system, system_settings=everybody)
        return Book(
            domain=self._shelf(Scope.DOMAIN, place),
            system=system,
            domain_settings=self._settings(place),
            system_settings=everybody,
        )

    def settings_of(self, domain: str) -> Book:
        """How checks are treated for mail to ``domain``, empty for everybody's; without rules."""
        everybody = self._settings("")
        own = self._settings(domain) if domain else {}
        return Book(domain_settings=own, system_settings=everybody)

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._shelf.cache_clear()
        self._settings.cache_clear()

    def _read_shelf(self, scope: Scope, place: str) -> Shelf:
        about = {"scope": scope.value, "place": place, "now": self._clock.now()}
        with self._database.read() as connection:
            rows = connection.execute(_SHELF, about).all()
        return Shelf([_rule(row[:-1], row[-1]) for row in rows])

    def _read_settings(self, domain: str) -> Mapping[str, Treatment]:
        with self._database.read() as connection:
            return _treatments(connection, domain)


# --- within a transaction -------------------------------------------------------------------------


def _add(writing: Writing, draft: Draft) -> StoredRule | Refused:
    connection = writing.connection
    place = place_of(connection, draft)
    if isinstance(place, Refused):
        return place
    now = writing.clock.now()
    if len(_active(connection, draft.scope, place, now)) >= MAX_RULES_OF_A_PLACE:
        text = f"there are {MAX_RULES_OF_A_PLACE} rules already; end some, or make a wider one"
        return Refused(Problem.NOT_ALLOWED, text)
    waives = ",".join(sorted(draft.waives))
    serial, made = measured.add(
        writing,
        draft.reason.strip(),
        draft.lasts_s,
        scope=draft.scope.value,
        place=place,
        match_kind=draft.match.kind.value,
        match_value=draft.match.value,
        action=draft.action.value,
        waives=waives,
        unproven=draft.unproven,
    )
    writing.log(
        "rule",
        made.id,
        "added",
        scope=draft.scope.value,
        place=place,
        match=str(draft.match),
        effect=draft.action.value,
        waives=waives,
        unproven=draft.unproven,
        until=made.until,
        reason=made.reason,
    )
    label = f"{draft.scope.value}{serial}"
    rule = Rule(
        label, draft.scope, place, draft.match, draft.action, draft.waives, draft.unproven,
        serial, made.until, made.id,
    )  # fmt: skip
    return StoredRule(rule, made)


def place_of(connection: sa.Connection, draft: Draft) -> str | Refused:
    """The one spelling of whose rule it is; that mailbox or domain must be here."""
    if draft.scope is Scope.SYSTEM:
        return ""
    if draft.scope is Scope.DOMAIN:
        domain = domains.require(connection, draft.place)
        return domain if isinstance(domain, Refused) else domain.name
    mailbox = mailboxes.require(connection, draft.place)
    return mailbox if isinstance(mailbox, Refused) else mailbox.address.key


def _end(writing: Writing, label: str) -> StoredRule | Refused:
    found = _labelled(writing.connection, label)
    if found is None:
        text = f"there is no rule {label} that could be ended; see: postern rule list"
        return Refused(Problem.NOT_THERE, text)
    ended = measured.end(writing, found.temporary)
    writing.log("rule", ended.id, "ended")
    return StoredRule(found.rule, ended)


def _labelled(connection: sa.Connection, label: str) -> StoredRule | None:
    """The rule of that label that was not ended yet."""
    letter, digits = label[:1].upper(), label[1:]
    if letter not in {scope.value for scope in Scope} or not digits.isdecimal():
        return None
    if len(digits) > MAX_LABEL_DIGITS:
        return None
    found = measured.select(
        connection,
        rule_table.c.serial == int(digits),
        rule_table.c.scope == letter,
        measures.temporary.c.ended_at.is_(None),
    )
    return _stored(*found[0]) if found else None


def _active(
    connection: sa.Connection, scope: Scope | None, place: str, now: Instant
) -> list[StoredRule]:
    """Rules that were not ended and whose time has not passed, as they were made."""
    of_place: tuple[sa.ColumnElement[bool], ...] = ()
    if scope is not None:
        of_place = (rule_table.c.place == place, rule_table.c.scope == scope.value)
    return [_stored(*found) for found in measured.holding(connection, now, *of_place)]


def _stored(row: Row, temporary: Temporary) -> StoredRule:
    return StoredRule(_rule(row, temporary.until), temporary)


def _rule(row: Sequence[Any], until: float | None) -> Rule:
    """A row of the rules' own table."""
    serial, key, scope, place, kind, value, action, waives, unproven = row
    return Rule(
        f"{scope}{serial}",
        Scope(scope),
        place,
        Match(MatchKind(kind), value),
        Action(action),
        _words(waives),
        bool(unproven),
        serial,
        until,
        key,
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split(",")) if text else frozenset()


def _treat(writing: Writing, check: str, treatment: Treatment | None, text: str) -> str | Refused:
    name = ""
    if text:
        domain = domains.require(writing.connection, text)
        if isinstance(domain, Refused):
            return domain
        name = domain.name
    table = treatment_table
    writing.connection.execute(
        table.delete().where(table.c.domain == name, table.c.check_id == check)
    )
    said = "" if treatment is None else treatment.value
    if said:
        made = {"domain": name, "check_id": check, "treatment": said}
        when = {"author": writing.author, "set_at": writing.clock.now()}
        writing.connection.execute(table.insert().values(**made, **when))
    writing.log("treatment", check, "set", domain=name, treatment=said)
    return name


def _treatments(connection: sa.Connection, domain: str) -> dict[str, Treatment]:
    rows = connection.execute(_SETTINGS, {"domain": domain}).all()
    return {check: Treatment(treatment) for check, treatment in rows}
