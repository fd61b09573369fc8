"""The data folder: made alike by whoever comes first, and passable to the socket."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.runtime.folders import DATA_MODE, closed_on_the_way, make_data_folders, make_folder

CONNECT = """
import os, socket, sys
os.setgroups([])
os.setegid(65534)
os.seteuid(65534)
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_folders_are_made_with_their_modes_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_data_folders(tmp_path / "data", tmp_path / "data" / "run", None, has_socket=False)
    finally:
        os.umask(before)
    assert (mode(tmp_path / "data"), mode(tmp_path / "data" / "run")) == (0o711, 0o755)


def test_folder_closed_by_hand_stays_closed_unless_there_is_a_socket(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(0o700)
    make_data_folders(data, data / "run", None, has_socket=False)
    assert mode(data) == 0o700
    make_data_folders(data, data / "run", None, has_socket=True)
    assert mode(data) == 0o701


def test_first_closed_folder_on_the_way_is_named(open_folder: Path) -> None:
    data = open_folder / "data"
    make_folder(data, 0o700)
    make_data_folders(data, data / "run", None, has_socket=True)
    assert closed_on_the_way(data / "run" / "submit.sock") is None
    data.chmod(0o700)
    assert closed_on_the_way(data / "run" / "submit.sock") == data


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reaches_the_socket_when_a_command_came_before_the_server(
    open_folder: Path,
) -> None:
    data = open_folder / "data"
    make_folder(data, DATA_MODE)
    make_data_folders(data, data / "run", None, has_socket=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(data / "run" / "submit.sock"))
        (data / "run" / "submit.sock").chmod(0o666)
        door.listen()
        done = subprocess.run(
            [sys.executable, "-c", CONNECT, str(data / "run" / "submit.sock")],
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
