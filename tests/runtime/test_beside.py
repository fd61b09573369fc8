"""Small files beside ``site.db``: private, shared, and owned by whoever owns the folder."""

import os
import sqlite3
from pathlib import Path

import pytest

from postern.runtime.database.beside import open_beside

TABLES = "CREATE TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY) WITHOUT ROWID;"
NOBODY = 65534


def test_what_one_writes_another_reads(tmp_path: Path) -> None:
    one, other = (open_beside(tmp_path / "seen.db", TABLES) for _ in range(2))
    one.execute("INSERT INTO seen VALUES ('mx')")
    assert other.execute("SELECT name FROM seen").fetchall() == [("mx",)]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    one.close()
    other.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_file_that_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """Else a command that root types first would keep the server, which is not root, out."""
    os.chown(tmp_path, NOBODY, NOBODY)
    opened = open_beside(tmp_path / "seen.db", TABLES)
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {NOBODY}
    opened.close()


def test_a_damaged_file_is_told_of_and_closed(tmp_path: Path) -> None:
    damaged = tmp_path / "seen.db"
    damaged.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_beside(damaged, TABLES)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_beside(tmp_path / "gone" / "seen.db", TABLES)
