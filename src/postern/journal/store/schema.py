"""The tables of a day file, and how one is opened.

The schema of a new day file is this page's; old files keep theirs. It only ever grows: columns and
tables are added, never changed, so an older or newer Postern reads every file of the last thirty
days. Version 2 added the decisions; a file that got its table only later says so
(``decisions_came_late``).

``synchronous=FULL`` for the records: the spool deletes its row once the day file's commit has
returned, so that commit is the only copy from then on and must have reached the disk.
Transcripts are of refused conversations, which nothing else promised to keep: NORMAL, no fsync per
commit.
"""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from postern.journal.store import decisions, index

SCHEMA_VERSION = 2
TRANSCRIPT_SCHEMA_VERSION = 1
DECISIONS_SINCE = 2
"""The version that brought the table of decisions."""

_RECORDS = f"""
CREATE TABLE IF NOT EXISTS conversation (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, client_ip BLOB, blob BLOB NOT NULL);
{index.TABLES}
{decisions.TABLE}
CREATE TABLE IF NOT EXISTS folded (
    client_ip BLOB NOT NULL, "check" TEXT NOT NULL, count INTEGER NOT NULL,
    first_at REAL NOT NULL, last_at REAL NOT NULL,
    PRIMARY KEY (client_ip, "check")) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, blob BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS changed (
    id INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (id, number)) WITHOUT ROWID;
"""

_TRANSCRIPTS = """
CREATE TABLE IF NOT EXISTS transcript (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, blob BLOB NOT NULL);
"""

GREW = 1
"""SQLite's ``application_id`` of a file that an older Postern began."""

_BUSY_TIMEOUT_S = 5.0
_PAGE_BYTES = 4096


def open_records(path: Path, log_bytes: int) -> sqlite3.Connection:
    """Open a day file for writing, made if it is not there; one ``sqlite3.Error`` on failure.

    ``log_bytes``: how long SQLite's log grows before it is written back.
    """
    return _open(path, _RECORDS, SCHEMA_VERSION, log_bytes, synchronous="FULL")


def open_transcripts(path: Path, log_bytes: int) -> sqlite3.Connection:
    """Open a transcript file for writing, made if it is not there."""
    return _open(path, _TRANSCRIPTS, TRANSCRIPT_SCHEMA_VERSION, log_bytes, synchronous="NORMAL")


def decisions_came_late(connection: sqlite3.Connection) -> bool:
    """True for a file that was begun when decisions were not kept yet."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (grew,) = connection.execute("PRAGMA application_id").fetchone()
    return bool(version < DECISIONS_SINCE or grew == GREW)


def is_at_rest(path: Path) -> bool:
    """Whether nobody has the file open to write: then it is complete in itself."""
    return not path.with_name(path.name + "-wal").exists()


def open_for_reading(path: Path, *, at_rest: bool) -> sqlite3.Connection:
    """Open a day file read-only; ``sqlite3.Error`` where it cannot be.

    A file at rest is opened as immutable: no locks, and no ``-shm`` and ``-wal`` left beside it,
    which SQLite would make even to read and which a reader without rights to the folder cannot.
    """
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro{'&immutable=1' if at_rest else ''}",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _open(
    path: Path, tables: str, version: int, log_bytes: int, *, synchronous: str
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint={max(1, log_bytes // _PAGE_BYTES)}")
        connection.execute(f"PRAGMA journal_size_limit={log_bytes}")
        connection.execute("PRAGMA temp_store=MEMORY")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found < version:
            grew = f"PRAGMA application_id={GREW};" if found else ""
            connection.executescript(
                f"BEGIN IMMEDIATE;{tables}{grew}PRAGMA user_version={version};COMMIT"
            )
    except BaseException:
        connection.close()
        raise
    return connection
