"""The spool's SQL: one file for each worker, used from its writer thread alone.

``message`` holds envelope, conversation and small bodies; ``delivery`` one row a recipient. Only
waiting deliveries are indexed, by group and time: a message that goes out at its first try never
touches an index. Rows of finished messages stay (state DONE) until the journal has them.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from postern.mail.content import BytesContent, Content, PrefixedContent
from postern.spool.body import BodyFolder, FileContent
from postern.spool.message import Delivery, DeliveryState, GroupLine, Held, HeldPlace, Message
from postern.spool.rows import (
    DamagedRowError,
    delivery_row,
    message_row,
    prefix_of,
    read_delivery,
    read_message,
)
from postern.spool.store.salvage import Salvage
from postern.spool.store.schema import (
    INSERT_DELIVERY,
    INSERT_MESSAGE,
    READ_DELIVERIES,
    READ_MESSAGE,
    SCHEMA,
    SCHEMA_VERSION,
)
from postern.spool.store.trouble import NewerSpoolError

TALLY = (
    "CREATE TEMP TABLE IF NOT EXISTS tally (state INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
    "INSERT OR REPLACE INTO tally VALUES (1, (SELECT count(*) FROM main.delivery WHERE state = 1))",
    "INSERT OR REPLACE INTO tally VALUES (2, (SELECT count(*) FROM main.delivery WHERE state = 2))",
    "CREATE TEMP TRIGGER IF NOT EXISTS tally_in AFTER INSERT ON main.delivery "
    "WHEN NEW.state IN (1, 2) BEGIN UPDATE tally SET n = n + 1 WHERE state = NEW.state; END",
    "CREATE TEMP TRIGGER IF NOT EXISTS tally_out AFTER DELETE ON main.delivery "
    "WHEN OLD.state IN (1, 2) BEGIN UPDATE tally SET n = n - 1 WHERE state = OLD.state; END",
    "CREATE TEMP TRIGGER IF NOT EXISTS tally_moved AFTER UPDATE ON main.delivery "
    "WHEN OLD.state IS NOT NEW.state AND (OLD.state IN (1, 2) OR NEW.state IN (1, 2)) "
    "BEGIN UPDATE tally SET n = n - (state = OLD.state) + (state = NEW.state); END",
)
"""How many wait and are held, kept up to date by this connection, which alone writes the file.

Counting them each second, for the status, read 25 MB of index per half a million, and pushed out of
the cache what accepting mail needs: it went at half its speed beside a million that waited. Mail
that goes out at its first try (FRESH, then DONE) sets off no trigger. Where the disk failed
half-way they are made once more.
"""
UPDATE_DELIVERY = (
    "UPDATE delivery SET state = ?3, due = ?4, grp = ?5, tries = ?6, record = ?7 "
    "WHERE message = ?1 AND n = ?2"
)
DELETE_MESSAGE = "DELETE FROM message WHERE id = ?"
DELETE_DELIVERIES = "DELETE FROM delivery WHERE message = ?"
CLAIM = (
    "SELECT message, n FROM delivery INDEXED BY delivery_due "
    "WHERE state = 1 AND grp = ? AND due <= ? ORDER BY due LIMIT ?"
)
WAITING_AFTER = (
    "SELECT message, n, due FROM delivery INDEXED BY delivery_due "
    "WHERE state = 1 AND grp = ? AND (due, message, n) > (?, ?, ?) "
    "ORDER BY due, message, n LIMIT ?"
)
EXPIRED = (
    "SELECT d.message, d.n, d.state = 1 AND m.expires_at <= ? "
    "FROM delivery d CROSS JOIN message m ON m.id = d.message "
    "WHERE (d.message, d.n) > (?, ?) ORDER BY d.message, d.n LIMIT ?"
)
NEXT_DUE = (
    "SELECT min(due) FROM delivery INDEXED BY delivery_due WHERE state = 1 AND grp = ? AND due > ?"
)
GROUPS = "SELECT grp, count(*), min(due) FROM delivery WHERE state = 1 GROUP BY grp"
WAKE_FRESH = "UPDATE delivery SET state = 1, due = ?, grp = '' WHERE state = 0"
DONE_MESSAGES = (
    "SELECT message FROM delivery d WHERE state = 3 AND message > ? AND NOT EXISTS "
    "(SELECT 1 FROM delivery o WHERE o.message = d.message AND (o.state != 3 OR o.n < d.n)) "
    "ORDER BY message LIMIT ?"
)
BROWSE = (
    "SELECT message, n, state, due, grp, tries, record FROM delivery "
    "WHERE (message, n) > (?, ?) ORDER BY message, n LIMIT ?"
)
HELD = (
    "SELECT d.due, d.message, d.n, d.grp, d.tries, d.record, m.size, m.accepted_at "
    "FROM delivery d INDEXED BY delivery_held JOIN message m ON m.id = d.message "
    "WHERE d.state = 2 AND d.due >= ?1 AND (d.due > ?1 OR (d.message, d.n) > (?2, ?3)) "
    "ORDER BY d.due, d.message, d.n LIMIT ?4"
)
CACHE_KIB = 16_384
CHECKPOINT_PAGES = 4096

DeliveryRow = tuple[int, int, int, float, str, int, bytes]


class SpoolFile:
    """One worker's spool on disk. Every method may raise ``sqlite3.Error``."""

    def __init__(self, path: Path, bodies: BodyFolder) -> None:
        """Open or create the file, with every commit synced to disk (``synchronous=FULL``).

        Raises:
            NewerSpoolError: a newer Postern wrote it.
        """
        self.path = path
        self.bodies = bodies
        # Opened on one thread and then used by the writer's alone: never by two at once.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._is_tallied = False
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self._db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._db.execute("PRAGMA temp_store = MEMORY")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise NewerSpoolError(f"{self.path} was written by a newer Postern")
        self._db.executescript(SCHEMA)
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; on disk when it returns."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            # A COMMIT that fails may leave the transaction open, and no other could begin.
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def insert(self, messages: Iterable[Message]) -> None:
        """Add messages with their deliveries."""
        rows = [(message_row(m), m) for m in messages]
        self._db.executemany(INSERT_MESSAGE, [row for row, _ in rows])
        self._db.executemany(
            INSERT_DELIVERY, [delivery_row(m.id, d) for _, m in rows for d in m.deliveries]
        )

    def update(self, rows: Sequence[DeliveryRow]) -> None:
        """Write deliveries anew."""
        self._db.executemany(UPDATE_DELIVERY, rows)

    def forget(self, ids: Sequence[int]) -> None:
        """Delete messages that the journal has, with their deliveries."""
        keys = [(number,) for number in ids]
        self._db.executemany(DELETE_DELIVERIES, keys)
        self._db.executemany(DELETE_MESSAGE, keys)

    def wake_fresh(self, now: float) -> int:
        """After a restart: what was in a dead worker's memory is due at once, to be routed anew."""
        return self._db.execute(WAKE_FRESH, (now,)).rowcount

    def groups(self) -> list[GroupLine]:
        """What waits, for each MX group."""
        return [GroupLine(*row) for row in self._db.execute(GROUPS)]

    def totals(self) -> tuple[int, int, float | None]:
        """Waiting and held deliveries on disk, and when the oldest message was accepted."""
        if not self._is_tallied:
            for statement in TALLY:
                self._db.execute(statement)
            self._is_tallied = True
        rows = self._db.execute("SELECT n FROM tally ORDER BY state").fetchall()
        (waiting,), (held,) = rows
        oldest = self._db.execute("SELECT accepted_at FROM message ORDER BY id LIMIT 1").fetchone()
        return waiting, held, None if oldest is None else oldest[0]

    def done_ids(self, after: int, limit: int) -> list[int]:
        """Finished messages that the journal may not have yet, with ids above ``after``."""
        return [number for (number,) in self._db.execute(DONE_MESSAGES, (after, limit))]

    def ids(self) -> list[int]:
        """Every message in the file, oldest first."""
        return [number for (number,) in self._db.execute("SELECT id FROM message ORDER BY id")]

    def has_file_body(self, number: int) -> bool:
        """True when a row with this id keeps its body in a file."""
        found = self._db.execute(
            "SELECT 1 FROM message WHERE id = ? AND body IS NULL", (number,)
        ).fetchone()
        return found is not None

    def due(self, group: str, now: float, limit: int) -> list[tuple[int, int]]:
        """Waiting deliveries of ``group`` that are due: (message id, n), the longest due first."""
        return list(self._db.execute(CLAIM, (group, now, limit)))

    def waiting_after(
        self, group: str, after: tuple[float, int, int], limit: int
    ) -> tuple[list[tuple[int, int]], tuple[float, int, int] | None]:
        """Waiting deliveries of ``group`` behind ``after`` in the order of due, message and n.

        Due or not; also the place of the last one, None where there is none.
        """
        rows = self._db.execute(WAITING_AFTER, (group, *after, limit)).fetchall()
        place = (rows[-1][2], rows[-1][0], rows[-1][1]) if rows else None
        return [(number, n) for number, n, _ in rows], place

    def expired(
        self, after: tuple[int, int], now: float, limit: int
    ) -> tuple[list[int], tuple[int, int] | None]:
        """Messages past their expiry among ``limit`` deliveries after one, and where to go on.

        Only those of which a delivery waits. The cost of a call does not grow with the spool.
        """
        rows = self._db.execute(EXPIRED, (now, *after, limit)).fetchall()
        found = dict.fromkeys(number for number, _, is_late in rows if is_late)
        following = (rows[-1][0], rows[-1][1]) if len(rows) == limit else None
        return list(found), following

    def next_due(self, group: str, now: float) -> float | None:
        """When the next delivery of ``group`` after ``now`` is due, or None."""
        (due,) = self._db.execute(NEXT_DUE, (group, now)).fetchone()
        return None if due is None else float(due)

    def load(self, number: int) -> Message | None:
        """One message with all its deliveries, or None when it is not here.

        Raises:
            DamagedRowError: a row or the body's file can't be read back.
            OSError: the disk can't tell whether the body is there.
        """
        row = self._db.execute(READ_MESSAGE, (number,)).fetchone()
        deliveries = self.deliveries(number)
        if row is None and not deliveries:
            return None
        if row is None or any(d.n != place for place, d in enumerate(deliveries)):
            raise DamagedRowError(f"message {number:x}: rows of it are missing")
        body: bytes | None = row[6]
        content: Content
        if body is not None:
            content = BytesContent(body)
        else:
            content = self._content_in_file(number, row[3], prefix_of(row[4]))
        return read_message(row[:6], content, deliveries)

    def _content_in_file(self, number: int, size_bytes: int, prefix: bytes) -> Content:
        content = FileContent(self.bodies.path_of(number), size_bytes - len(prefix))
        if not content.is_whole():
            raise DamagedRowError(f"message {number:x}: its file is missing or cut short")
        return PrefixedContent(prefix, content) if prefix else content

    def deliveries(self, number: int) -> list[Delivery]:
        """All deliveries of one message."""
        return [read_delivery(*row) for row in self._db.execute(READ_DELIVERIES, (number,))]

    def browse(
        self, after: tuple[int, int], limit: int, fits: Callable[[Delivery], bool]
    ) -> tuple[list[int], tuple[int, int] | None]:
        """Look at ``limit`` deliveries after one, in order: messages with one that fits.

        Also where to go on, or None at the end. A delivery that is done, or can't be read, does
        not fit. The cost of a call does not grow with the spool.
        """
        rows = self._db.execute(BROWSE, (*after, limit)).fetchall()
        found: dict[int, None] = {}
        for number, n, state, *rest in rows:
            if state == DeliveryState.DONE or number in found:
                continue
            with suppress(DamagedRowError):
                if fits(read_delivery(n, state, *rest)):
                    found[number] = None
        following = (rows[-1][0], rows[-1][1]) if len(rows) == limit else None
        return list(found), following

    def held(self, after: HeldPlace, limit: int) -> tuple[list[Held], HeldPlace | None]:
        """What is held, those that end first in front: ``limit`` rows, and where to go on.

        A row that can't be read is passed over. The cost of a call does not grow with the spool.
        """
        rows = self._db.execute(HELD, (*after, limit)).fetchall()
        found = []
        for due, number, n, group, tries, record, size_bytes, accepted_at in rows:
            with suppress(DamagedRowError):
                delivery = read_delivery(n, DeliveryState.HELD, due, group, tries, record)
                found.append(Held(number, delivery, size_bytes, accepted_at))
        following = rows[-1][:3] if len(rows) == limit else None
        return found, following

    def raw(self, number: int) -> tuple[list[object], list[list[object]]]:
        """The columns of a damaged message and of its deliveries, as they are."""
        message = self._db.execute(READ_MESSAGE, (number,)).fetchone()
        deliveries = self._db.execute(READ_DELIVERIES, (number,)).fetchall()
        return list(message or ()), [list(row) for row in deliveries]

    def probe(self) -> None:
        """Read enough to meet gross damage early.

        Raises:
            sqlite3.DatabaseError: the file is not a database, or its pages don't fit together.
        """
        # Not the messages: they may be gigabytes. Damage there is met when one is read.
        self._db.execute("SELECT max(id) FROM message").fetchone()
        self._db.execute("SELECT sum(state) FROM delivery").fetchone()
        self.totals()  # both indexes

    def take_rows_of(self, path: Path) -> int:
        """Copy every message of another spool file that is not here yet; how many came."""
        self._db.execute("ATTACH ? AS other", (str(path),))
        try:
            with self.transaction():
                came = self._db.execute(
                    "INSERT OR IGNORE INTO message SELECT * FROM other.message"
                ).rowcount
                self._db.execute("INSERT OR IGNORE INTO delivery SELECT * FROM other.delivery")
        finally:
            self._db.execute("DETACH other")
        return came

    def save_rows_of(self, path: Path) -> tuple[int, int]:
        """Copy what can be read of a damaged file, row by row: (saved, unreadable)."""
        damaged = sqlite3.connect(path, isolation_level=None)
        try:
            salvage = Salvage(damaged, self._db)
            salvage.run(self.transaction)
        finally:
            damaged.close()
        return salvage.saved, salvage.lost

    def waiting_ids(self, states: Sequence[DeliveryState], group: str | None) -> list[int]:
        """Messages with a delivery in one of ``states`` (of one group, when given)."""
        marks = ",".join("?" * len(states))
        sql = f"SELECT DISTINCT message FROM delivery WHERE state IN ({marks})"  # noqa: S608 - only question marks are put in
        values: list[object] = [int(state) for state in states]
        if group is not None:
            sql += " AND grp = ?"
            values.append(group)
        return [number for (number,) in self._db.execute(sql, values)]
