import os
from pathlib import Path

import pytest

from postern.runtime.lock import LOCK_NAME, AlreadyServedError, holder, is_served, lock_data


def test_second_lock_names_the_holder(tmp_path: Path) -> None:
    first = lock_data(tmp_path)
    try:
        with pytest.raises(AlreadyServedError, match=f"pid {os.getpid()}") as caught:
            lock_data(tmp_path)
        assert caught.value.pid == os.getpid()
        assert is_served(tmp_path)
    finally:
        os.close(first)


def test_lock_file_of_a_killed_server_locks_nobody_out(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("4194304123\n")
    assert not is_served(tmp_path)
    descriptor = lock_data(tmp_path)
    assert holder(tmp_path) == os.getpid()
    os.close(descriptor)
    assert not is_served(tmp_path)


def test_lock_is_waited_for_while_a_dead_servers_workers_end(tmp_path: Path) -> None:
    """The holder named in the file is gone, but a child of it still has the lock."""
    first = lock_data(tmp_path)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(first)  # from now on only the child holds it
    (tmp_path / LOCK_NAME).write_text("4194304123\n")
    try:
        with pytest.raises(AlreadyServedError):
            lock_data(tmp_path, wait_s=0.05)
        os.close(writing)
        os.close(lock_data(tmp_path, wait_s=20.0))
    finally:
        os.close(reading)
        os.waitpid(pid, 0)


def test_folder_that_is_not_there_is_not_served(tmp_path: Path) -> None:
    assert not is_served(tmp_path / "none")
    assert holder(tmp_path / "none") == 0
