"""Routes and policies in ``site.db``: made, ended, listed, and read by workers.

A route is two rows in one transaction: where mail goes here, why and until when in ``measures``.
Every change is a line of the directory's change log, so that workers drop what they cached.
"""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from postern.directory.model import Problem, Refused
from postern.directory.store.changes import Writing
from postern.directory.store.measured import Measured, Row, labelled
from postern.mail.address import to_a_labels
from postern.measures import store as measures
from postern.measures.temporary import Kind, Temporary, reason_flaw
from postern.routing.routes.route import BY_POSTERN, GroupPolicy, PinnedRoute, Policy, RouteMatch
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.engine import Database

MAX_ROUTES = 1_000
"""Active ones: every worker reads all of them whenever anything changed."""
MAX_AUTOMATIC = 800
"""Of these, those that Postern made: a person always has room."""
IDLE_S = 3600.0
"""So long no mail went by it: beyond ``MAX_AUTOMATIC`` such a route makes room for another. A
forwarder meets many domains whose hosts are dead for ever, and each looks like a blocked group."""
MAX_POLICIES = 1_000
MAX_GROUP_CHARS = 255
LETTER = "R"

metadata = sa.MetaData()

route_table = sa.Table(
    "route",
    metadata,
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(26), nullable=False, unique=True),
    sa.Column("match", sa.String(16), nullable=False),
    sa.Column("value", sa.String(255), nullable=False),
    sa.Column("via", sa.String(255), nullable=False),
    sa.Column("is_automatic", sa.Boolean, nullable=False),
    sqlite_autoincrement=True,
)

policy_table = sa.Table(
    "route_policy",
    metadata,
    sa.Column("mx_group", sa.String(255), primary_key=True),
    sa.Column("policy", sa.String(16), nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("set_at", sa.Double, nullable=False),
)

_measured = Measured(route_table, Kind.ROUTE)


@dataclass(frozen=True, slots=True)
class RouteDraft:
    """A route that somebody asks for. ``lasts_s`` None: without an end."""

    match: RouteMatch
    value: str
    via: str
    reason: str
    lasts_s: float | None = None
    is_automatic: bool = False


class RouteStore:
    """Routes for those who change them. Every method is one transaction.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self._database = database
        self._clock = clock
        self._author = author

    def add(self, draft: RouteDraft) -> tuple[PinnedRoute, tuple[PinnedRoute, ...]] | Refused:
        """Make a route; it holds for every attempt that begins after this returned.

        Returns:
            The new one, and those for the same mail that it took the place of.
        """
        draft = _in_one_spelling(draft)
        flaw = _flaw_of(draft)
        if flaw:
            return Refused(Problem.NOT_ALLOWED, flaw)
        with self._database.write() as connection:
            writing = Writing(connection, self._clock, self._author)
            known = _active(connection, self._clock.now())
            before = tuple(one for one in known if _is_same(one, draft))
            if len(known) >= MAX_ROUTES and not before:
                text = f"there are {MAX_ROUTES} routes already; end some: postern route list"
                return Refused(Problem.NOT_ALLOWED, text)
            for one in before:
                _end(writing, one)
            return _add(writing, draft), before

    def engage(self, draft: RouteDraft, quiet_s: float) -> tuple[PinnedRoute, bool] | Refused:
        """Make an automatic route for a group that has none.

        Workers see a group blocked at the same moment; the first makes the route, and the others
        are given that one.

        Args:
            draft: the route.
            quiet_s: so long after a person ended such a route none is made, unless he asked for it
                since. That is on record here: whatever becomes of ``paths.db``, he is heard.

        Returns:
            The route, and whether this call made it: not where it is one that a person ended.
            ``Refused``, ``NOT_ALLOWED``: there are too many for any group.
        """
        flaw = _flaw_of(draft)
        if flaw:
            return Refused(Problem.MALFORMED, flaw)
        with self._database.write() as connection:
            known = _active(connection, self._clock.now())
            there = [one for one in known if _is_same(one, draft)]
            if there:
                if there[0].is_automatic:
                    return there[0], False
                text = f"{there[0].label} is a person's route for {draft.value}"
                return Refused(Problem.ALREADY_THERE, text)
            withdrawn = _withdrawn(connection, draft.value, self._clock.now() - quiet_s)
            if withdrawn is not None:
                return withdrawn, False
            writing = Writing(connection, self._clock, self._author)
            if len(known) >= MAX_ROUTES or not _has_room(writing, known):
                return Refused(Problem.NOT_ALLOWED, f"there are {len(known)} routes already")
            return _add(writing, draft), True

    def end(self, label: str) -> PinnedRoute | Refused:
        """End one, such as ``R2``; it stays on record."""
        with self._database.write() as connection:
            found = labelled(_active(connection, self._clock.now()), label)
            if found is None:
                text = f"there is no {label} that could be ended; see: postern route list"
                return Refused(Problem.NOT_THERE, text)
            return _end(Writing(connection, self._clock, self._author), found)

    def all(self) -> list[PinnedRoute]:
        """Those that hold now, as they were made."""
        with self._database.read() as connection:
            return _active(connection, self._clock.now())

    def by_id(self, key: str) -> PinnedRoute | None:
        """One, whether it still holds or not."""
        with self._database.read() as connection:
            found = _select(connection, route_table.c.id == key)
        return found[0] if found else None

    def set_policy(self, group: str, policy: Policy | None) -> GroupPolicy | Refused | None:
        """What Postern does by itself for a group; None: what ``[paths] relay`` says."""
        if not group or len(group) > MAX_GROUP_CHARS or not group.isprintable():
            return Refused(Problem.MALFORMED, f"{group!r} is no MX group")
        table = policy_table
        with self._database.write() as connection:
            writing = Writing(connection, self._clock, self._author)
            connection.execute(table.delete().where(table.c.mx_group == group))
            if policy is None:
                writing.log("route-policy", group, "unset")
                return None
            count = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            if count >= MAX_POLICIES:
                connection.rollback()
                return Refused(Problem.NOT_ALLOWED, f"there are {MAX_POLICIES} policies already")
            made = GroupPolicy(group, policy, writing.author, writing.clock.now())
            connection.execute(
                table.insert().values(
                    mx_group=group, policy=policy.value, author=made.author, set_at=made.set_at
                )
            )
            writing.log("route-policy", group, "set", policy=policy.value)
            return made

    def policies(self) -> list[GroupPolicy]:
        """What was decided, group by group."""
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(policy_table).order_by(policy_table.c.mx_group)
            ).all()
        return [GroupPolicy(row[0], Policy(row[1]), row[2], row[3]) for row in rows]


def _in_one_spelling(draft: RouteDraft) -> RouteDraft:
    """Names as the router has them; what is no domain is left without a value."""
    value = draft.value.strip()
    if draft.match is RouteMatch.DOMAIN:
        value = to_a_labels(value.removeprefix("@").removesuffix(".")) or ""
    return replace(draft, value=value, reason=draft.reason.strip())


def _flaw_of(draft: RouteDraft) -> str:
    """Why it can't be made, in words; empty: it can."""
    if not draft.value:
        return "a route needs an MX group or a domain, such as tea-trading.example"
    if len(draft.value) > MAX_GROUP_CHARS or not draft.value.isprintable():
        return f"{draft.value[:40]!r} is neither an MX group nor a domain"
    if not draft.reason:
        return "a route needs a reason, for whoever finds it in a year"
    return reason_flaw(draft.reason)


def _is_same(route: PinnedRoute, draft: RouteDraft) -> bool:
    return (route.match, route.value) == (draft.match, draft.value)


def _withdrawn(connection: sa.Connection, group: str, since: Instant) -> PinnedRoute | None:
    """The automatic route that a person ended since, unless he set the policy again after that."""
    made = measures.temporary.c
    found = _select(
        connection,
        route_table.c.match == RouteMatch.GROUP.value,
        route_table.c.value == group,
        route_table.c.is_automatic,
        made.ended_at > since,
        made.ended_by != BY_POSTERN,
    )
    if not found:
        return None
    asked = connection.execute(
        sa.select(policy_table.c.set_at).where(
            policy_table.c.mx_group == group, policy_table.c.policy == Policy.AUTOMATIC.value
        )
    ).scalar_one_or_none()
    ended_at = found[-1].temporary.ended_at
    is_asked = asked is not None and ended_at is not None and asked >= ended_at
    return None if is_asked else found[-1]


def _has_room(writing: Writing, known: list[PinnedRoute]) -> bool:
    """Whether one more may be made by itself; the one that is of use least ends for it."""
    automatic = [one for one in known if one.is_automatic]
    if len(automatic) < MAX_AUTOMATIC:
        return True
    idlest = min(automatic, key=_last_use)
    if writing.clock.now() - _last_use(idlest) < IDLE_S:
        return False
    _end(writing, idlest)
    return True


def _last_use(route: PinnedRoute) -> Instant:
    made = route.temporary
    return made.created_at if made.last_used_at is None else made.last_used_at


def _add(writing: Writing, draft: RouteDraft) -> PinnedRoute:
    match, value, via, is_automatic = draft.match, draft.value, draft.via, draft.is_automatic
    serial, made = _measured.add(
        writing,
        draft.reason,
        draft.lasts_s,
        match=match.value,
        value=value,
        via=via,
        is_automatic=is_automatic,
    )
    writing.log(
        "route",
        made.id,
        "added",
        match=match.value,
        value=value,
        via=via,
        automatic=is_automatic,
        until=made.until,
        reason=made.reason,
    )
    return PinnedRoute(f"{LETTER}{serial}", match, value, via, is_automatic, made)


def _end(writing: Writing, route: PinnedRoute) -> PinnedRoute:
    ended = _measured.end(writing, route.temporary)
    writing.log("route", ended.id, "ended")
    return replace(route, temporary=ended)


def _active(connection: sa.Connection, now: Instant) -> list[PinnedRoute]:
    return [_read(*found) for found in _measured.holding(connection, now)]


def _select(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[PinnedRoute]:
    return [_read(*found) for found in _measured.select(connection, *conditions)]


def _read(row: Row, temporary: Temporary) -> PinnedRoute:
    serial, _, match, value, via, is_automatic = row
    label = f"{LETTER}{serial}"
    return PinnedRoute(label, RouteMatch(match), value, via, bool(is_automatic), temporary)
