"""``kill -9`` at every durable step: what was answered 250 is delivered, and is journaled once."""

import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from tests.peers.warm import Request, run_warm

pytestmark = pytest.mark.crash

TWICE = {"after-delivery", "before-outcome", "after-outcome"}
"""Steps between the peer's 250 and our commit: the one window in which mail may go out twice."""

STEPS = [
    "before-body-write",
    "after-body-write",
    "before-body-seal",
    "between-body-fsync-and-rename",
    "before-body-folder-sync",
    "after-body-folder-sync",
    "after-body-seal",
    "before-insert",
    "after-insert",
    "after-commit",
    "before-delivery",
    *sorted(TWICE),
    "before-journal",
    "after-journal",
    "before-forget",
    "after-forget",
    "before-ballast",
    "after-ballast",
]


def run(folder: Path, fault: str, *options: str, workers: int = 1, worker: int = 0) -> int:
    """Run the harness; its exit code, negative when a signal ended it."""
    arguments = [str(folder), fault, str(workers), str(worker), *options]
    done = run_warm(Request("tests.crash.harness", arguments, os.environ, str(Path.cwd())))
    assert done.exit_code in {0, -signal.SIGKILL}, done.stderr[-3000:]
    return done.exit_code


def numbers(path: Path) -> Counter[int]:
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


def check(folder: Path, fault: str) -> None:
    """The invariant, after a restart has finished everything."""
    acknowledged = numbers(folder / "acknowledged")
    delivered = numbers(folder / "delivered")
    missing = set(acknowledged) - set(delivered)
    assert not missing, f"answered 250 and gone: {missing}"
    twice = {number for number, times in delivered.items() if times > 1}
    assert len(twice) <= (1 if fault in TWICE else 0), f"delivered twice: {twice}"
    assert set(delivered) <= set(numbers(folder / "journaled"))
    with sqlite3.connect(folder / "spool" / "0.db") as db:
        assert db.execute("SELECT count(*) FROM message").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
    db.close()
    assert list((folder / "spool" / "0").iterdir()) == []
    assert not (folder / "corrupt").exists()


@pytest.mark.parametrize("fault", STEPS)
def test_kill_at_a_durable_step_loses_nothing_that_was_acknowledged(
    tmp_path: Path, fault: str
) -> None:
    assert run(tmp_path, fault, "fresh") == -signal.SIGKILL, "the fault was never reached"
    assert run(tmp_path, "none") == 0
    check(tmp_path, fault)


@pytest.mark.parametrize(
    "fault",
    ["before-adopt-body", "after-adopt-body", "before-adopt-rows", "after-adopt-rows"],
)
def test_kill_in_the_middle_of_an_adoption_loses_and_doubles_nothing(
    tmp_path: Path, fault: str
) -> None:
    for worker in (0, 1):
        run(tmp_path, "hold-delivery", "fresh", workers=2, worker=worker)
    assert len(numbers(tmp_path / "acknowledged")) == 6
    assert run(tmp_path, fault) == -signal.SIGKILL, "the fault was never reached"
    assert run(tmp_path, "none") == 0
    assert not (tmp_path / "spool" / "1.db").exists()
    check(tmp_path, fault)


@pytest.mark.parametrize("fault", ["before-mend", "after-mend", "before-salvage"])
def test_kill_while_a_damaged_file_is_mended_leaves_one_to_start_from(
    tmp_path: Path, fault: str
) -> None:
    run(tmp_path, "hold-delivery", "fresh")
    _damage(tmp_path / "spool" / "0.db")
    assert run(tmp_path, fault) == -signal.SIGKILL, "the fault was never reached"
    assert run(tmp_path, "none") == 0
    assert list((tmp_path / "corrupt").glob("0-*.db"))
    assert set(numbers(tmp_path / "delivered")) == {1, 2, 3}


def _damage(path: Path) -> None:
    """Make the index of waiting deliveries unreadable; the tables stay whole."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'delivery_due'"
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    db.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
