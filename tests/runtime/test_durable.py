"""Small files are whole before and after, and their folders know of them."""

import os
from pathlib import Path

import pytest

from postern.runtime import durable
from postern.runtime.durable import make_directory, write_file


def test_written_file_holds_exactly_what_was_given(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_file(path, b"one")
    write_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_written_file_is_private_whatever_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    old = os.umask(0)
    try:
        write_file(path, b"x")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600


def test_file_reaches_the_disk_before_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        steps.append(f"fsync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        real_fsync(handle)

    def replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_file(tmp_path / "state", b"x")
    assert steps == [f"fsync .state.{os.getpid()}.new", "rename", f"fsync {tmp_path.name}"]


def test_failed_write_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    write_file(path, b"old")

    def full(_handle: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "_write_all", full)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_draft_is_never_written_through_a_symbolic_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / f".state.{os.getpid()}.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        write_file(tmp_path / "state", b"x")
    assert victim.read_bytes() == b"precious"


def test_folders_are_made_with_all_above_them_and_kept_when_there(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_directory(folder)
    (folder / "file").touch()
    make_directory(folder)
    assert (folder / "file").exists()


def test_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(NotADirectoryError):
        make_directory(tmp_path / "a")
