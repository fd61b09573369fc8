"""Forward zones in ``site.db``: made, ended, listed, and read by workers.

A forward zone is two rows in one transaction: which zone and through whom here, why and until when
in ``measures``. Every change is a line of the directory's change log.
"""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from postern.directory.model import Problem, Refused
from postern.directory.store.changes import Writing
from postern.directory.store.measured import Measured, Row, labelled
from postern.mail.address import to_a_labels
from postern.measures.temporary import Kind, Temporary, reason_flaw
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.engine import Database
from postern.runtime.resolver.forward import ForwardZone, ForwardZones

MAX_ZONES = 1_000
"""Active ones: every worker reads all of them whenever anything changed."""
LETTER = "Z"

metadata = sa.MetaData()

zone_table = sa.Table(
    "forward_zone",
    metadata,
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(26), nullable=False, unique=True),
    sa.Column("zone", sa.String(255), nullable=False),
    sa.Column("via", sa.String(255), nullable=False),
    sqlite_autoincrement=True,
)

_measured = Measured(zone_table, Kind.RESOLVER)


@dataclass(frozen=True, slots=True)
class StoredZone:
    """A forward zone with its label (``Z1``), its reason, author, end and use."""

    label: str
    forward: ForwardZone
    temporary: Temporary


class ForwardZoneStore:
    """Forward zones for those who change them. Every method is one transaction.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self._database = database
        self._clock = clock
        self._author = author

    def add(
        self, zone: str, via: str, *, lasts_s: float | None, reason: str
    ) -> tuple[StoredZone, tuple[StoredZone, ...]] | Refused:
        """Look a zone up through ``via`` first; it holds for every transaction begun after this.

        Returns:
            The new one, and those of the same zone that it took the place of.
        """
        name = to_a_labels(zone.strip().removesuffix("."))
        if name is None:
            text = f"{zone!r} is no zone, such as tea-trading.example"
            return Refused(Problem.MALFORMED, text)
        flaw = reason_flaw(reason)
        if flaw:
            return Refused(Problem.NOT_ALLOWED, flaw)
        with self._database.write() as connection:
            writing = Writing(connection, self._clock, self._author)
            known = _active(connection, self._clock.now())
            if len(known) >= MAX_ZONES:
                text = f"there are {MAX_ZONES} already; end some, or make one for a wider zone"
                return Refused(Problem.NOT_ALLOWED, text)
            before = tuple(one for one in known if one.forward.zone == name)
            for one in before:
                _end(writing, one)
            return _add(writing, name, via, lasts_s, reason.strip()), before

    def end(self, label: str) -> StoredZone | Refused:
        """End one, such as ``Z2``; it stays on record."""
        with self._database.write() as connection:
            found = labelled(_active(connection, self._clock.now()), label)
            if found is None:
                text = f"there is no {label} that could be ended; see: postern resolver list"
                return Refused(Problem.NOT_THERE, text)
            return _end(Writing(connection, self._clock, self._author), found)

    def all(self) -> list[StoredZone]:
        """Those that hold now, as they were made."""
        with self._database.read() as connection:
            return _active(connection, self._clock.now())

    def active(self) -> ForwardZones:
        """The same, as the resolver takes them."""
        return ForwardZones(stored.forward for stored in self.all())


def _add(writing: Writing, zone: str, via: str, lasts_s: float | None, reason: str) -> StoredZone:
    serial, made = _measured.add(writing, reason, lasts_s, zone=zone, via=via)
    writing.log(
        "forward-zone", made.id, "added", zone=zone, via=via, until=made.until, reason=reason
    )
    return StoredZone(f"{LETTER}{serial}", ForwardZone(zone, via, made.until, made.id), made)


def _end(writing: Writing, stored: StoredZone) -> StoredZone:
    ended = _measured.end(writing, stored.temporary)
    writing.log("forward-zone", ended.id, "ended")
    return replace(stored, temporary=ended)


def _active(connection: sa.Connection, now: Instant) -> list[StoredZone]:
    return [_read(*found) for found in _measured.holding(connection, now)]


def _read(row: Row, temporary: Temporary) -> StoredZone:
    serial, key, zone, via = row
    forward = ForwardZone(zone, via, temporary.until, key)
    return StoredZone(f"{LETTER}{serial}", forward, temporary)
