"""The spools of all workers, read from outside (command line, console) while they are in use."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from postern.mail.content import BytesContent
from postern.spool.message import Message
from postern.spool.rows import DamagedRowError, read_delivery, read_message
from postern.spool.store.file import READ_DELIVERIES

IDS = "SELECT id FROM message WHERE id > ? ORDER BY id LIMIT 500"
HEAD = "SELECT id, accepted_at, expires_at, size, envelope, conversation FROM message WHERE id = ?"
COUNTS = "SELECT state, count(*) FROM delivery GROUP BY state"
OLDEST = (
    "SELECT min(accepted_at) FROM message WHERE id IN "
    "(SELECT message FROM delivery WHERE state < 2)"
)


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

    def message(self, number: int) -> Message | None:
        """One message by the number behind its trace code, without its body."""
        for db in self._open_all():
            message = _read(db, number)
            if message is not None:
                return message
        return None

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
        return read_message(row, BytesContent(b""), deliveries)
    except (DamagedRowError, sqlite3.DatabaseError):
        return None
