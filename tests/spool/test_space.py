"""A full disk: accepting stops in time, the queue drains, the ballast comes back."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.spool.mail import MIB, MemoryJournal, deliver, message, settings, spool_of, until

from postern.mail.content import BytesContent
from postern.runtime.clock import FakeClock
from postern.spool.space import Ballast, Space
from postern.spool.spool import Spool


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB that can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root that may mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return path


@pytest.mark.peers("root")
async def test_the_queue_drains_on_a_full_disk_and_the_ballast_comes_back(small_disk: Path) -> None:
    journal = MemoryJournal()
    spool = spool_of(
        small_disk, journal, max_message_bytes=MIB // 4, ballast_bytes=2 * MIB, ride_s=0.0
    )
    await spool.open()
    assert spool.ballast.is_there
    made = [message(n, body=b"Subject: x\r\n\r\n" + b"x" * 2000) for n in range(50)]
    await asyncio.gather(*(spool.accept_wait(m) for m in made))
    filler = await asyncio.to_thread(fill, small_disk)
    assert not spool.space.may_accept()
    for m in made:
        deliver(m)
        spool.record(m, m.deliveries)
    await until(lambda: len(journal.kept) == 50)
    await until(lambda: spool.is_writable)
    assert not spool.ballast.is_there

    # The room that was given up is for outcomes: new mail does not get it.
    await asyncio.to_thread(fill, small_disk)
    await _no_new_mail(spool)

    filler.unlink()
    spool.lay_ballast()
    assert spool.ballast.is_there
    await spool.accept_wait(message(2000))
    assert spool.is_writable
    await spool.close()


async def _no_new_mail(spool: Spool) -> None:
    refused = 0
    for number in range(1000, 1400):
        content = BytesContent(b"Subject: y\r\n\r\n" + b"y" * 60_000)
        try:
            await spool.accept_wait(message(number, body=content))
        except (sqlite3.Error, OSError):
            refused += 1
            assert await spool.load(number) is None
            break
    assert refused


@pytest.mark.peers("root")
async def test_a_large_body_that_does_not_fit_leaves_nothing_behind(small_disk: Path) -> None:
    spool = spool_of(small_disk, ballast_bytes=MIB)
    await spool.open()
    writer = spool.body(1)
    for _ in range(16):
        writer.write(b"x" * MIB)
        await asyncio.sleep(0)
    with pytest.raises(OSError, match="No space"):
        await writer.finish()
    assert list((small_disk / "spool" / "0").iterdir()) == []
    await spool.accept_wait(message(2))
    await spool.close()


@pytest.mark.peers("root")
async def test_a_read_only_disk_refuses_mail_and_recovers(small_disk: Path) -> None:
    spool = spool_of(small_disk)
    await spool.open()
    await spool.accept_wait(message(1))
    _remount(small_disk, "ro")
    try:
        large = spool.body(2)
        large.write(b"x" * 100_000)
        with pytest.raises(OSError, match="Read-only"):
            await large.finish()
    finally:
        _remount(small_disk, "rw")
    await spool.accept_wait(message(3))
    assert spool.is_writable
    await spool.close()


def _remount(folder: Path, how: str) -> None:
    # Open files keep a tmpfs writable, so a bind mount over it is what turns read-only.
    if how == "ro":
        subprocess.run(["mount", "--bind", folder / "spool" / "0", folder / "spool" / "0"],
                       check=True)  # fmt: skip
        subprocess.run(["mount", "-o", "remount,bind,ro", folder / "spool" / "0"], check=True)
    else:
        subprocess.run(["umount", "-l", folder / "spool" / "0"], check=True)


def test_accepting_stops_under_the_reserve_and_is_looked_at_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    free = 1000
    looks = 0

    def usage(path: Path) -> os.terminal_size | tuple[int, int, int] | object:
        nonlocal looks
        looks += 1
        return type("Usage", (), {"free": free})

    monkeypatch.setattr(shutil, "disk_usage", usage)
    space = Space(tmp_path, 1000, clock)
    assert space.may_accept()
    free = 999
    assert space.may_accept()
    assert looks == 1
    clock.advance(1.0)
    assert not space.may_accept()
    free = 1000
    clock.advance(1.0)
    assert space.may_accept()


def test_a_disk_that_can_not_be_asked_takes_no_mail(tmp_path: Path) -> None:
    assert not Space(tmp_path / "gone", 1, FakeClock()).may_accept()


def test_ballast_is_laid_only_beside_the_reserve_and_given_up_once(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 4096)
    ballast.lay(shutil.disk_usage(tmp_path).free)
    assert not ballast.is_there
    ballast.lay(0)
    assert ballast.path.stat().st_size == 4096
    assert ballast.drop()
    assert not ballast.drop()
    assert list(tmp_path.iterdir()) == []


def test_the_reserve_is_two_messages_and_the_extra(tmp_path: Path) -> None:
    made = settings(tmp_path, max_message_bytes=50, reserve_extra_bytes=7)
    assert made.reserve_bytes == 107
