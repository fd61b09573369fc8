"""A small file beside ``site.db``, for what workers write often and nobody decided.

Each commit to ``site.db`` makes all workers read rules and directory anew; one to such a file
concerns nobody else. What a power cut takes is the last seconds (``synchronous=NORMAL``).
"""

import sqlite3
from pathlib import Path

from postern.runtime.database.engine import BUSY_TIMEOUT_S, make_private, switch_to_wal

FileTrouble = sqlite3.Error
"""What every use of such a file may raise: it cannot be opened, read or written."""


def open_beside(path: Path, tables: str) -> sqlite3.Connection:
    """Open the file, for one thread at a time; made where it is not there.

    Args:
        path: the file; only its owner may read it.
        tables: statements that make what is not there.

    Raises:
        FileTrouble: it cannot be opened or written.
        OSError: it cannot be made.
    """
    make_private(path)
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        switch_to_wal(connection.cursor())
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(tables)
    except BaseException:
        connection.close()
        raise
    return connection
