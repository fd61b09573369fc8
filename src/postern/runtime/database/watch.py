"""Noticing that another connection committed, cheaply enough to ask for every transaction."""

import sqlite3
from pathlib import Path

from postern.runtime.database.trouble import DatabaseTroubleError


class ChangeWatch:
    """Tells whether ``site.db`` changed since it was last asked, in a few microseconds.

    It has a connection of its own, because ``PRAGMA data_version`` does not move for what the
    asking connection itself wrote. Made after forking; may be asked from the event loop's thread:
    it never waits for a lock.

    Raises:
        DatabaseTroubleError: the file is not there or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        # Not read-only: in WAL mode the first reader after a crash may have to recover the log.
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise DatabaseTroubleError(f"{path} cannot be watched: {error}") from error
        self._seen: int | None = None

    def changed(self) -> bool:
        """True the first time, after every commit of anyone else, and when it couldn't tell.

        A database that does not answer counts as changed: the caller then asks it for the facts
        and meets the trouble there, instead of going on with what may be stale.
        """
        try:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self._seen = None
            return True
        if version == self._seen:
            return False
        self._seen = version
        return True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
