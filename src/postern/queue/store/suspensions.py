"""Groups that people suspended, in ``site.db``: made, ended, listed, and read by workers.

A suspension is two rows in one transaction: which group here, why and until when in ``measures``.
Every change is a line of the directory's change log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from postern.directory.model import Problem, Refused
from postern.directory.store.changes import Writing
from postern.directory.store.measured import Measured, Row
from postern.measures.temporary import Kind, Temporary, reason_flaw
from postern.queue.suspension import Suspension, group_named
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.engine import Database

MAX_SUSPENSIONS = 1_000
"""Active ones: every worker reads all of them whenever anything changed."""
MAX_GROUP_CHARS = 255
LETTER = "Q"

metadata = sa.MetaData()

suspension_table = sa.Table(
    "suspension",
    metadata,
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(26), nullable=False, unique=True),
    sa.Column("mx_group", sa.String(255), nullable=False),
    sqlite_autoincrement=True,
)

_measured = Measured(suspension_table, Kind.SUSPENSION)


@dataclass(frozen=True, slots=True)
class StoredSuspension:
    """A suspended group with its label (``Q1``), its reason, author and end."""

    label: str
    group: str
    temporary: Temporary

    def as_suspension(self) -> Suspension:
        """As the queue takes it."""
        made = self.temporary
        return Suspension(self.group, made.reason, made.created_at, made.until, self.label)


class SuspensionStore:
    """Suspensions for those who change them. Every method is one transaction.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self._database = database
        self._clock = clock
        self._author = author

    def add(
        self, group: str, *, lasts_s: float | None, reason: str
    ) -> tuple[StoredSuspension, StoredSuspension | None] | Refused:
        """Keep a group's mail waiting; it holds for every try begun after this.

        Returns:
            The new one, and that of the same group that it took the place of.
        """
        name, why = group_named(group), reason.strip()
        if not name or len(name) > MAX_GROUP_CHARS or not name.isprintable():
            return Refused(Problem.MALFORMED, f"{group!r} is no MX group, such as google")
        flaw = reason_flaw(why) if why else "a suspension needs a reason, for whoever finds it"
        if flaw:
            return Refused(Problem.NOT_ALLOWED, flaw)
        with self._database.write() as connection:
            writing = Writing(connection, self._clock, self._author)
            known = _active(connection, self._clock.now())
            if len(known) >= MAX_SUSPENSIONS:
                text = f"there are {MAX_SUSPENSIONS} already; end some: postern queue resume"
                return Refused(Problem.NOT_ALLOWED, text)
            before = next((one for one in known if one.group == name), None)
            if before is not None:
                _end(writing, before)
            return _add(writing, name, lasts_s, why), before

    def end(self, group: str) -> StoredSuspension | None:
        """Let the mail of a group, or of a label such as ``Q2``, go again; None: it was free."""
        name, label = group_named(group), group.strip().upper()
        with self._database.write() as connection:
            for one in _active(connection, self._clock.now()):
                if one.group == name or one.label == label:
                    return _end(Writing(connection, self._clock, self._author), one)
        return None

    def all(self) -> list[StoredSuspension]:
        """Those that hold now, as they were made."""
        with self._database.read() as connection:
            return _active(connection, self._clock.now())

    def active(self) -> Mapping[str, Suspension]:
        """The same by group, as the queue takes them."""
        return {stored.group: stored.as_suspension() for stored in self.all()}


def _add(writing: Writing, group: str, lasts_s: float | None, reason: str) -> StoredSuspension:
    serial, made = _measured.add(writing, reason, lasts_s, mx_group=group)
    writing.log("suspension", made.id, "added", mx_group=group, until=made.until, reason=reason)
    return StoredSuspension(f"{LETTER}{serial}", group, made)


def _end(writing: Writing, stored: StoredSuspension) -> StoredSuspension:
    ended = _measured.end(writing, stored.temporary)
    writing.log("suspension", ended.id, "ended", mx_group=stored.group)
    return replace(stored, temporary=ended)


def _active(connection: sa.Connection, now: Instant) -> list[StoredSuspension]:
    return [_read(*found) for found in _measured.holding(connection, now)]


def _read(row: Row, temporary: Temporary) -> StoredSuspension:
    serial, _, group = row
    return StoredSuspension(f"{LETTER}{serial}", group, temporary)
