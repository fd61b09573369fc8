"""Who is killed when a worker has ended; the tree itself stands in ``test_supervisor``."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from postern.runtime.orphans import kill_marked

MARK = b"POSTERN_RUN_DIR=/nowhere/run"


@pytest.fixture
def marked() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        ["sleep", "600"], env={"POSTERN_RUN_DIR": "/nowhere/run"}, start_new_session=True
    ) as process:
        yield process
        process.kill()


def test_what_bears_the_mark_is_killed(marked: "subprocess.Popen[bytes]") -> None:
    assert kill_marked(MARK, os.getuid()) == [marked.pid]
    assert marked.wait(10) == -9


@pytest.mark.parametrize(
    ("mark", "uid"),
    [(b"POSTERN_RUN_DIR=/nowhere/ru", os.getuid()), (MARK, os.getuid() + 1)],
    ids=["another server's", "another user's"],
)
def test_what_is_not_ours_is_spared(
    marked: "subprocess.Popen[bytes]", mark: bytes, uid: int
) -> None:
    assert kill_marked(mark, uid) == []
    assert marked.poll() is None
