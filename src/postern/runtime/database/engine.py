"""One SQL database: how it is opened, read and written.

SQLite runs in WAL with ``synchronous=FULL``: a commit that returned survives a power cut. Another
engine is named by its SQLAlchemy URL; nothing here but ``_prepare_sqlite`` is SQLite's own.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from postern.runtime.database.trouble import DatabaseTroubleError

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another writer: commands are short, so this is never reached."""

_WAL_RETRY_S = 0.01


class Database:
    """An open database, used from one dedicated thread, or by a command.

    Open it after forking: SQLite's locks do not survive a fork.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, where: Path | str) -> "Database":
        """Open a database; nothing is read or made until the first use.

        Args:
            where: the path of a SQLite file, or a URL such as ``postgresql+psycopg://…``.

        Raises:
            DatabaseTroubleError: the SQLite file cannot be made.
        """
        if isinstance(where, str):
            return cls(sa.create_engine(where, pool_size=2, max_overflow=2))
        try:
            make_private(where)
        except OSError as error:
            text = f"{where} cannot be made: {error.strerror}"
            raise DatabaseTroubleError(text) from error
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(where)),
            pool_size=2,
            max_overflow=2,
            # A pooled connection may be closed by a thread that did not open it (at exit).
            connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S},
        )
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and writes nothing.

        Raises:
            DatabaseTroubleError: the database could not answer.
        """
        with _told_plainly(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is durable when the block ends, and undone when it raises.

        It holds the write lock from its start, so what it reads first is still so when it writes.

        Raises:
            DatabaseTroubleError: the database could not write; nothing of the block holds.
        """
        with _told_plainly(), self.engine.connect() as connection:
            connection.execution_options(postern_writes=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise DatabaseTroubleError(f"the database could not answer: {error.orig}") from error


def make_private(path: Path) -> None:
    """Make the file before SQLite does: some hold password hashes, so only its owner may read.

    As root, give it to the owner of its folder; SQLite gives its ``-wal`` and ``-shm`` the same.

    Raises:
        OSError: it cannot be made.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(handle, folder.st_uid, folder.st_gid)
    finally:
        os.close(handle)


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # pysqlite's own idea of transactions begins late and never for DDL; _begin_sqlite does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        switch_to_wal(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


class Cursor(Protocol):
    """A cursor of SQLite's own, as both ways of opening a file have it."""

    def execute(self, text: str, /) -> object:
        """Run one statement."""
        ...

    def fetchone(self) -> Any:
        """Its next row; None: there is none."""
        ...


def switch_to_wal(cursor: Cursor) -> None:
    """Turn WAL on. SQLite does not wait for its busy timeout here, so two first starts would race.

    The file remembers the mode: all later opens pass without a lock.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode")
            row = cursor.fetchone()
            if row is not None and row[0] == "wal":
                return
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.fetchone()
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_S)


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("postern_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
