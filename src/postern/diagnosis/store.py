"""The key of the trace codes, read from ``site.db`` without the SQL library the directory uses.

That library takes 0.35 s to load, more than all else that ``postern why`` does, and one key is all
it would be loaded for. Whoever gets None here asks the directory.
"""

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

_BUSY_TIMEOUT_S = 2.0


def read_trace_key(site_db: Path) -> bytes | None:
    """The key, or None when it is not there (yet) or cannot be read this way."""
    address = f"file:{quote(str(site_db))}?mode=ro"
    try:
        with contextlib.closing(
            sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S)
        ) as connection:
            row = connection.execute("SELECT value FROM setting WHERE key = 'trace.key'").fetchone()
        return bytes.fromhex(row[0]) if row else None
    except (sqlite3.Error, ValueError, TypeError):
        return None
