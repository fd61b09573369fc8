"""Since when DNS has kept whom waiting, in a file of its own: all workers read and write it.

Not in ``site.db``, whose every commit makes all workers read rules and directory anew. What a power
cut takes is the last seconds (``synchronous=NORMAL``): somebody then waits a little longer.
"""

from collections.abc import Iterable
from pathlib import Path

from postern.runtime.clock import Instant
from postern.runtime.database.beside import open_beside

MAX_ROWS = 100_000
"""Some 15 MB; those heard of longest ago go first."""
PRUNE_EVERY = 500
"""Writes between two looks at the bounds."""

_TABLE = """
CREATE TABLE IF NOT EXISTS untold (
    sender TEXT NOT NULL, side TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
    PRIMARY KEY (sender, side)
) WITHOUT ROWID
"""
_NOTE = """
INSERT INTO untold (sender, side, first, last) VALUES (:sender, :side, :now, :now)
ON CONFLICT (sender, side) DO UPDATE SET
    first = CASE
        WHEN :now - last > CASE WHEN last - first >= :wait_s THEN :keep_s ELSE :gap_s END
        THEN :now ELSE first END,
    last = max(last, :now)
"""


class UntoldStore:
    """The table; one connection, used by one thread at a time.

    Raises:
        FileTrouble: it cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self._connection = open_beside(path, _TABLE)
        self._writes = 0

    def find(self, sender: str, side: str) -> tuple[Instant, Instant] | None:
        """First and last time that it was kept waiting by look-ups of ``side``; None: never."""
        row = self._connection.execute(
            "SELECT first, last FROM untold WHERE sender = ? AND side = ?", (sender, side)
        ).fetchone()
        return None if row is None else (float(row[0]), float(row[1]))

    def note(
        self,
        pairs: Iterable[tuple[str, str]],
        now: Instant,
        *,
        wait_s: float,
        gap_s: float,
        keep_s: float,
    ) -> None:
        """These were kept waiting now.

        The time begins anew for one that was not heard of for ``gap_s``; for one that has waited
        ``wait_s`` already, only after ``keep_s``.
        """
        times = {"now": now, "wait_s": wait_s, "gap_s": gap_s, "keep_s": keep_s}
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                _NOTE, [{"sender": sender, "side": side, **times} for sender, side in pairs]
            )
            if self._writes % PRUNE_EVERY == 0:
                self._prune(now - keep_s)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        self._writes += 1

    def _prune(self, before: Instant) -> None:
        self._connection.execute("DELETE FROM untold WHERE last < ?", (before,))
        (count,) = self._connection.execute("SELECT count(*) FROM untold").fetchone()
        if count > MAX_ROWS:
            self._connection.execute(
                "DELETE FROM untold WHERE (sender, side) IN"
                " (SELECT sender, side FROM untold ORDER BY last LIMIT ?)",
                (count - MAX_ROWS * 9 // 10,),
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
