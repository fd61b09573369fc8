"""Transactions hold or do not, and trouble is told in our own words."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from postern.runtime.database.engine import Database
from postern.runtime.database.trouble import DatabaseTroubleError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "site.db")
    with opened.write() as connection:
        connection.execute(sa.text("CREATE TABLE mark (n INTEGER PRIMARY KEY)"))
    yield opened
    opened.close()


def marks(database: Database) -> list[int]:
    with database.read() as connection:
        return [row.n for row in connection.execute(sa.text("SELECT n FROM mark ORDER BY n"))]


def test_sqlite_is_durable_and_keeps_foreign_keys(database: Database) -> None:
    with database.read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


def test_database_is_readable_by_its_owner_alone(database: Database, tmp_path: Path) -> None:
    assert marks(database) == []
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["site.db"] == 0o600
    assert set(modes.values()) == {0o600}


def test_write_that_raises_leaves_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.write() as connection:
            connection.execute(sa.text("INSERT INTO mark VALUES (1)"))
            connection.execute(sa.text("CREATE TABLE half (n INTEGER)"))
            raise LookupError

    with pytest.raises(LookupError):
        fail_half_way()
    assert marks(database) == []
    with database.read() as connection:
        assert not sa.inspect(connection).has_table("half")


def test_rolled_back_write_leaves_nothing(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.text("INSERT INTO mark VALUES (1)"))
        connection.rollback()
    assert marks(database) == []


def test_reader_sees_one_state_while_another_writes(database: Database, tmp_path: Path) -> None:
    other = Database.open(tmp_path / "site.db")
    count = sa.text("SELECT count(*) FROM mark")
    with database.read() as connection:
        before = connection.execute(count).scalar()
        with other.write() as writer:
            writer.execute(sa.text("INSERT INTO mark VALUES (1)"))
        during = connection.execute(count).scalar()
    other.close()
    assert (before, during, marks(database)) == (0, 0, [1])


def test_two_writers_take_turns_and_neither_loses_a_row(database: Database, tmp_path: Path) -> None:
    def add(first: int) -> None:
        mine = Database.open(tmp_path / "site.db")
        for n in range(first, first + 50):
            with mine.write() as connection:
                # Reads before it writes: without BEGIN IMMEDIATE this is a deadlock in SQLite.
                connection.execute(sa.text("SELECT count(*) FROM mark")).scalar()
                connection.execute(sa.text("INSERT INTO mark VALUES (:n)"), {"n": n})
        mine.close()

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert marks(database) == list(range(100))


def test_damaged_file_is_trouble_and_not_a_librarys_exception(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    path.write_bytes(b"this is no database" * 100)
    damaged = Database.open(path)
    with pytest.raises(DatabaseTroubleError, match="not a database"):
        marks(damaged)
    damaged.close()


def test_missing_folder_is_trouble_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(DatabaseTroubleError, match="No such file"):
        Database.open(tmp_path / "nowhere" / "site.db")


def test_broken_rule_of_the_tables_is_trouble_and_undone(database: Database) -> None:
    def write_twice() -> None:
        with database.write() as connection:
            for _ in range(2):
                connection.execute(sa.text("INSERT INTO mark VALUES (1)"))

    with pytest.raises(DatabaseTroubleError, match="UNIQUE"):
        write_twice()
    assert marks(database) == []


def test_committed_rows_are_there_for_a_plain_reader(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        connection.execute(sa.text("INSERT INTO mark VALUES (7)"))
    plain = sqlite3.connect(tmp_path / "site.db")
    rows = plain.execute("SELECT n FROM mark").fetchall()
    plain.close()
    assert rows == [(7,)]
