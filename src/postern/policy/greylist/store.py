"""``greylist.db``: who was asked to come again, who did, and which pools of clients do so always.

A file of its own: it is written for every suspicious stranger, and a commit to ``site.db`` would
make all workers read their rules anew. Nothing in it is precious; one that cannot be read is set
aside, and everybody is a stranger again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from postern.policy.greylist.key import Key
from postern.policy.greylist.settings import GreylistSettings
from postern.policy.greylist.standing import Change, Entry, Standing, Trust, stand
from postern.runtime.clock import Instant
from postern.runtime.database.spare import SpareFile

FILE_NAME = "greylist.db"
SCHEMA = 1
SWEEP_ROWS = 5000
"""Rows that one transaction deletes at most: other workers wait for it."""

metadata = sa.MetaData()

entry_table = sa.Table(
    "entry",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("pool", sa.String(320), nullable=False),
    sa.Column("sender", sa.String(320), nullable=False),
    sa.Column("recipient", sa.String(320), nullable=False),
    sa.Column("first_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("passed_at", sa.Double),
    sa.Column("is_passed", sa.Boolean, nullable=False),
    sa.UniqueConstraint("recipient", "sender", "pool"),
    sa.Index("entry_age", "is_passed", "seen_at"),
)

trust_table = sa.Table(
    "trust",
    metadata,
    sa.Column("pool", sa.String(320), primary_key=True),
    sa.Column("passes", sa.Integer, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Index("trust_age", "seen_at"),
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry as it is shown."""

    id: int
    pool: str
    sender: str
    recipient: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Asked:
    """Some mail that came, and when."""

    key: Key
    now: Instant
    settings: GreylistSettings


class GreylistStore:
    """The file; for one thread, or one command.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, file: SpareFile) -> None:
        self._file = file
        self._database = file.database

    @classmethod
    def open(cls, data_dir: Path) -> "GreylistStore":
        """Open it, made anew where it is not there, of another version, or not readable."""
        return cls(SpareFile.open(data_dir / FILE_NAME, metadata, SCHEMA))

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def is_in_place(self) -> bool:
        """Whether the file is still the one that others open."""
        return self._file.is_in_place()

    def leave(self, error: Exception) -> None:
        """Close it after trouble; a file that ``error`` calls damaged is set aside."""
        self._file.leave(error)

    def look(self, asked: Iterable[Asked]) -> list[Standing | None]:
        """Where mail stands; None: that changes something, so ``settle`` must be asked."""
        with self._database.read() as connection:
            found = [_stand(connection, one)[:2] for one in asked]
        return [standing if change is Change.NONE else None for standing, change in found]

    def settle(self, asked: Iterable[Asked]) -> list[Standing]:
        """Where all this mail stands, in one transaction; it is durable when this returns."""
        with self._database.write() as connection:
            return [_settle(connection, one) for one in asked]

    def sweep(self, now: Instant, settings: GreylistSettings) -> int:
        """Forget what is over, and the oldest that never passed when there is too much.

        Returns:
            How many rows went; with ``SWEEP_ROWS`` of them there may be more.
        """
        entry, trust = entry_table.c, trust_table.c
        dead = sa.or_(
            sa.and_(~entry.is_passed, entry.seen_at < now - settings.retry_window_s),
            sa.and_(entry.is_passed, entry.seen_at < now - settings.life_s),
        )
        with self._database.write() as connection:
            gone = _delete(connection, sa.select(entry.id).where(dead).limit(SWEEP_ROWS))
            every = connection.scalar(sa.select(sa.func.count()).select_from(entry_table)) or 0
            too_many = min(every - settings.most, SWEEP_ROWS - gone)
            if too_many > 0:
                oldest = sa.select(entry.id).order_by(entry.is_passed, entry.seen_at)
                gone += _delete(connection, oldest.limit(too_many))
            connection.execute(trust_table.delete().where(trust.seen_at < now - settings.life_s))
        return gone

    def listed(self, words: Sequence[str], most: int) -> list[Listed]:
        """Entries in which all ``words`` occur, those that wait first, the latest first."""
        columns = entry_table.c
        about = columns.pool + " " + columns.sender + " " + columns.recipient
        query = sa.select(entry_table).order_by(columns.is_passed, columns.seen_at.desc())
        for word in words:
            query = query.where(about.contains(word.lower(), autoescape=True))
        with self._database.read() as connection:
            rows = connection.execute(query.limit(most)).all()
        return [
            Listed(row.id, row.pool, row.sender, row.recipient,
                   Entry(row.first_at, row.seen_at, row.passed_at))
            for row in rows
        ]  # fmt: skip

    def let_pass(self, number: int, now: Instant) -> Listed | None:
        """Take this mail from now on; None: there is no such entry."""
        return self._change(number, lambda connection: _pass(connection, number, now))

    def forget(self, number: int) -> Listed | None:
        """Make it new again; what it was, or None: there is no such entry."""
        gone = entry_table.delete().where(entry_table.c.id == number)
        return self._change(number, lambda connection: connection.execute(gone))

    def _change(self, number: int, change: Callable[[sa.Connection], object]) -> Listed | None:
        query = sa.select(entry_table).where(entry_table.c.id == number)
        with self._database.write() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            change(connection)
        entry = Entry(row.first_at, row.seen_at, row.passed_at)
        return Listed(row.id, row.pool, row.sender, row.recipient, entry)


# --- within a transaction -------------------------------------------------------------------------

_IS_IT = sa.and_(
    entry_table.c.recipient == sa.bindparam("r"),
    entry_table.c.sender == sa.bindparam("s"),
    entry_table.c.pool == sa.bindparam("p"),
)
_SEEN = entry_table.update().where(_IS_IT)
_ABOUT = sa.select(
    entry_table.c.first_at,
    entry_table.c.seen_at,
    entry_table.c.passed_at,
    trust_table.c.passes,
    trust_table.c.seen_at,
).select_from(
    sa.select(sa.literal(1).label("one"))
    .subquery()
    .outerjoin(entry_table, _IS_IT)
    .outerjoin(trust_table, trust_table.c.pool == sa.bindparam("t"))
)
"""What is known of some mail and of its servers: one row always."""


def _stand(connection: sa.Connection, asked: Asked) -> tuple[Standing, Change, bool]:
    """Where it stands, what changes by that, and whether there is an entry of it."""
    row = connection.execute(_ABOUT, {**_named(asked.key), "t": asked.key.trusted}).one()
    first_at, entry_seen_at, passed_at, passes, trust_seen_at = row
    entry = None if first_at is None else Entry(first_at, entry_seen_at, passed_at)
    trust = None if passes is None else Trust(passes, trust_seen_at)
    return *stand(entry, trust, asked.now, asked.settings), entry is not None


def _named(key: Key) -> dict[str, str]:
    return {"r": key.recipient, "s": key.sender, "p": key.pool}


def _settle(connection: sa.Connection, asked: Asked) -> Standing:
    key, now = asked.key, asked.now
    standing, change, is_there = _stand(connection, asked)
    match change:
        case Change.BEGIN:
            if is_there:
                connection.execute(entry_table.delete().where(_IS_IT), _named(key))
            connection.execute(_INSERT, _begun(key, now))
        case Change.PASS:
            passed = {"passed_at": now, "is_passed": True, "seen_at": now}
            connection.execute(_SEEN.values(passed), _named(key))
            _trust(connection, asked)
        case Change.SEEN:
            connection.execute(_SEEN.values(seen_at=now), _named(key))
        case Change.TRUSTED:
            update = trust_table.update().where(trust_table.c.pool == key.trusted)
            connection.execute(update.values(seen_at=now))
        case Change.NONE:
            pass
    return standing


_INSERT = entry_table.insert()


def _begun(key: Key, now: Instant) -> dict[str, str | float | bool]:
    return {
        "pool": key.pool,
        "sender": key.sender,
        "recipient": key.recipient,
        "first_at": now,
        "seen_at": now,
        "is_passed": False,
    }


def _trust(connection: sa.Connection, asked: Asked) -> None:
    """One more that came again; what was long ago does not count."""
    pool, now, columns = asked.key.trusted, asked.now, trust_table.c
    is_it = columns.pool == pool
    row = connection.execute(sa.select(columns.passes, columns.seen_at).where(is_it)).first()
    passes = 1
    if row is not None and now - row.seen_at <= asked.settings.life_s:
        passes += row.passes
    connection.execute(trust_table.delete().where(is_it))
    connection.execute(trust_table.insert().values(pool=pool, passes=passes, seen_at=now))


def _pass(connection: sa.Connection, number: int, now: Instant) -> None:
    update = entry_table.update().where(entry_table.c.id == number)
    connection.execute(update.values(passed_at=now, is_passed=True, seen_at=now))


def _delete(connection: sa.Connection, ids: sa.Select[tuple[int]]) -> int:
    return connection.execute(entry_table.delete().where(entry_table.c.id.in_(ids))).rowcount
