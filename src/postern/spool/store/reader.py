"""The spools of all workers, read from outside (command line, console) while they are in use."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from postern.spool.message import Delivery, Message
from postern.spool.rows import DamagedRowError, read_delivery, read_message
from postern.spool.store.schema import READ_DELIVERIES

HELD_IDS = "SELECT DISTINCT message FROM delivery WHERE state = 2 ORDER BY message"
IDS = "SELECT id FROM message WHERE id > ? ORDER BY id LIMIT 500"
HEAD = "SELECT id, accepted_at, expires_at, size, envelope, conversation FROM message WHERE id = ?"
COUNTS = "SELECT state, count(*) FROM delivery GROUP BY state"
OLDEST = (
    "SELECT min(accepted_at) FROM message WHERE id IN "
    "(SELECT message FROM delivery WHERE state < 2)"
)
GROUPS = (
    "SELECT grp, count(*), min(due), min(message) FROM delivery INDEXED BY delivery_due "
    "WHERE state = 1 GROUP BY grp"
)
HELD = "SELECT count(*) FROM delivery INDEXED BY delivery_held WHERE state = 2"
FRESH = (
    "SELECT message FROM (SELECT message, state FROM delivery ORDER BY message DESC LIMIT ?) "
    "WHERE state = 0"
)
SAMPLE = (
    "SELECT message, n, state, due, grp, tries, record FROM delivery INDEXED BY delivery_due "
    "WHERE state = 1 AND grp = ? ORDER BY due {} LIMIT ?"
)
HELD_SAMPLE = (
    "SELECT message, n, state, due, grp, tries, record FROM delivery INDEXED BY delivery_held "
    "WHERE state = 2 AND grp = ? LIMIT ?"
)
NEWEST = 20_000
"""Deliveries among which those at their first attempt are looked for: they are the newest."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A body that was not read, because only the queue's own facts were asked for."""

    size_bytes: int
    in_memory: None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Nothing."""
        return
        yield b""  # makes this a generator


@dataclass(frozen=True, slots=True)
class GroupCount:
    """What waits for one MX group in one worker's spool; ``oldest`` is the lowest message id."""

    group: str
    count: int
    next_due: float
    oldest: int


@dataclass(frozen=True, slots=True)
class Counts:
    """One worker's spool in numbers; ``fresh`` are the ids of messages at their first attempt."""

    groups: list[GroupCount]
    held: int
    fresh: list[int]


class OneSpool:
    """One worker's spool, open for reading. ``OSError`` when it can't be read."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def counts(self) -> Counts:
        """What waits, from the indexes alone: a million rows take a tenth of a second."""
        with _readable():
            groups = [GroupCount(*row) for row in self._db.execute(GROUPS)]
            (held,) = self._db.execute(HELD).fetchone()
            fresh = [number for (number,) in self._db.execute(FRESH, (NEWEST,))]
        return Counts(groups, held, fresh)

    def sample(self, group: str, most: int) -> list[tuple[int, Delivery]]:
        """Waiting deliveries of a group with their message's id: all, or as many from both ends.

        The ends are those due first and those due last; unreadable rows are passed over.
        """
        with _readable():
            first = self._db.execute(SAMPLE.format("ASC"), (group, most)).fetchall()
            if len(first) == most and most > 1:
                first = first[: most - most // 2]
                first += self._db.execute(SAMPLE.format("DESC"), (group, most // 2)).fetchall()
        return _deliveries(first)

    def due_first(self, group: str, most: int) -> list[tuple[int, Delivery]]:
        """Waiting deliveries of a group, those due first, then held ones; ``most`` of each."""
        with _readable():
            waiting = self._db.execute(SAMPLE.format("ASC"), (group, most)).fetchall()
            held = self._db.execute(HELD_SAMPLE, (group, most)).fetchall()
        return _deliveries([*waiting, *held])

    def message(self, number: int) -> Message | None:
        """One message without its body; None when it is gone or unreadable."""
        return _read(self._db, number)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"a spool could not be read: {error}") from error


def _deliveries(
    rows: Sequence[tuple[int, int, int, float, str, int, bytes]],
) -> list[tuple[int, Delivery]]:
    found = {}
    for number, n, state, due, group, tries, record in rows:
        try:
            found[number, n] = read_delivery(n, state, due, group, tries, record)
        except DamagedRowError:
            continue
    return [(number, delivery) for (number, _), delivery in found.items()]


@dataclass(frozen=True, slots=True)
class Totals:
    """Deliveries by state number, and when the oldest one in the queue was accepted."""

    by_state: dict[int, int]
    oldest: float | None


class SpoolReader:
    """Read-only; never waits for a writer (WAL) and never makes one wait."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def messages(self) -> Iterator[Message]:
        """Every message of every worker, without its body; unreadable ones are passed over."""
        for db in self._open_all():
            last = -1
            while ids := [number for (number,) in db.execute(IDS, (last,))]:
                last = ids[-1]
                for number in ids:
                    message = _read(db, number)
                    if message is not None:
                        yield message

    def held(self) -> Iterator[Message]:
        """Every message of which somebody's copy is held, without its body; the oldest first."""
        for db in self._open_all():
            for number in [number for (number,) in db.execute(HELD_IDS)]:
                message = _read(db, number)
                if message is not None:
                    yield message

    def message(self, number: int) -> Message | None:
        """One message by the number behind its trace code, without its body."""
        for db in self._open_all():
            message = _read(db, number)
            if message is not None:
                return message
        return None

    def spools(self) -> Iterator[OneSpool]:
        """Each worker's spool, open until the next one is asked for; an unreadable one is left."""
        for db in self._open_all():
            yield OneSpool(db)

    def totals(self) -> Totals:
        """Counts over all workers."""
        by_state: dict[int, int] = {}
        oldest: float | None = None
        for db in self._open_all():
            for state, count in db.execute(COUNTS):
                by_state[state] = by_state.get(state, 0) + count
            (first,) = db.execute(OLDEST).fetchone()
            if first is not None and (oldest is None or first < oldest):
                oldest = first
        return Totals(by_state, oldest)

    def _open_all(self) -> Iterator[sqlite3.Connection]:
        for path in sorted(self._folder.glob("*.db")):
            try:
                db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
            except sqlite3.OperationalError:
                continue  # adopted by another worker a moment ago
            try:
                yield db
            finally:
                db.close()


def _read(db: sqlite3.Connection, number: int) -> Message | None:
    try:
        row = db.execute(HEAD, (number,)).fetchone()
        if row is None:
            return None
        deliveries = [read_delivery(*found) for found in db.execute(READ_DELIVERIES, (number,))]
        return read_message(row, Absent(row[3]), deliveries)
    except (DamagedRowError, sqlite3.DatabaseError):
        return None
