"""Changes of others are noticed at once, and silence is cheap."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.runtime.database.trouble import DatabaseTroubleError
from postern.runtime.database.watch import ChangeWatch

WRITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO mark VALUES (1)")
connection.commit()
connection.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "site #1?.db"
    connection = sqlite3.connect(place)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE mark (n INTEGER)")
    connection.commit()
    connection.close()
    return place


@pytest.fixture
def watch(path: Path) -> Iterator[ChangeWatch]:
    made = ChangeWatch(path)
    yield made
    made.close()


def test_first_question_counts_as_a_change_and_silence_does_not(watch: ChangeWatch) -> None:
    assert [watch.changed() for _ in range(3)] == [True, False, False]


def test_commit_of_another_process_is_noticed_once(watch: ChangeWatch, path: Path) -> None:
    watch.changed()
    subprocess.run([sys.executable, "-c", WRITE, str(path)], check=True)
    assert [watch.changed(), watch.changed()] == [True, False]


def test_commit_of_this_process_is_noticed_too(watch: ChangeWatch, path: Path) -> None:
    watch.changed()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO mark VALUES (1)")
    assert not watch.changed()  # not committed yet
    connection.commit()
    connection.close()
    assert watch.changed()


def test_database_that_is_not_there_cannot_be_watched_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseTroubleError, match="cannot be watched"):
        ChangeWatch(tmp_path / "site.db")
    assert list(tmp_path.iterdir()) == []


def test_database_that_does_not_answer_counts_as_changed(watch: ChangeWatch) -> None:
    watch.changed()
    watch.close()
    assert [watch.changed(), watch.changed()] == [True, True]
