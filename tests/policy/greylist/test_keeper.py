"""The thread that keeps greylist entries: durable before the answer, never in the way."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from postern.policy.greylist import keeper as keeper_module
from postern.policy.greylist.keeper import GreylistKeeper
from postern.policy.greylist.key import Key
from postern.policy.greylist.settings import GreylistSettings
from postern.policy.greylist.store import FILE_NAME, GreylistStore
from postern.runtime.clock import FakeClock

KEY = Key("net:198.51.100.0/24", "chen@tea.example", "wang@harbour.example", "net:198.51.100.0/24")
SETTINGS = GreylistSettings()


@asynccontextmanager
async def kept(folder: Path, clock: FakeClock) -> AsyncIterator[GreylistKeeper]:
    keeper = GreylistKeeper(folder, clock)
    try:
        yield keeper
    finally:
        await keeper.close()


async def test_a_first_try_is_on_disk_before_it_is_answered(tmp_path: Path) -> None:
    async with kept(tmp_path, FakeClock()) as keeper:
        assert await keeper.ask(KEY, SETTINGS) is not None
        other = sqlite3.connect(tmp_path / FILE_NAME)
        assert other.execute("SELECT sender FROM entry").fetchall() == [("chen@tea.example",)]
        other.close()


async def test_two_workers_and_the_next_start_know_the_same(tmp_path: Path) -> None:
    clock = FakeClock()
    began = clock.now()
    async with kept(tmp_path, clock) as one, kept(tmp_path, clock) as other:
        first = await one.ask(KEY, SETTINGS)
        clock.advance(40)
        second = await other.ask(KEY, SETTINGS)
        assert first == second
        assert first is not None
        assert first.until == began + 300
    clock.advance(300)
    async with kept(tmp_path, clock) as later:
        found = await later.ask(KEY, SETTINGS)
        assert found is not None
        assert found.until is None


async def test_what_is_asked_together_is_answered_together(tmp_path: Path) -> None:
    async with kept(tmp_path, FakeClock()) as keeper:
        keys = [replace(KEY, sender=f"{number}@tea.example") for number in range(1200)]
        answers = await asyncio.gather(*(keeper.ask(key, SETTINGS) for key in keys))
        assert all(answer is not None and answer.until for answer in answers)


async def test_a_locked_file_makes_nobody_wait_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "PATIENCE_S", 0.05)
    GreylistStore.open(tmp_path).close()
    locked = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    async with kept(tmp_path, FakeClock()) as keeper:
        assert await keeper.ask(KEY, SETTINGS) is None
        locked.execute("ROLLBACK")
        locked.close()


async def test_a_file_that_cannot_be_had_is_only_not_told_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    async with kept(folder, FakeClock()) as keeper:
        assert await keeper.ask(KEY, SETTINGS) is None
        folder.mkdir()
        assert await keeper.ask(KEY, SETTINGS) is not None


async def test_more_than_a_disk_keeps_up_with_is_not_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "MAX_WAITING", 3)
    async with kept(tmp_path, FakeClock()) as keeper:
        keys = [replace(KEY, sender=f"{number}@tea.example") for number in range(200)]
        answers = await asyncio.gather(*(keeper.ask(key, SETTINGS) for key in keys))
        assert any(answer is None for answer in answers)
        assert any(answer is not None for answer in answers)


async def test_what_is_over_is_forgotten_while_others_come(tmp_path: Path) -> None:
    clock = FakeClock()
    async with kept(tmp_path, clock) as keeper:
        await keeper.ask(KEY, SETTINGS)
        clock.advance(3 * 86_400)
        await keeper.ask(replace(KEY, sender="ann@tea.example"), SETTINGS)
    store = GreylistStore.open(tmp_path)
    assert [one.sender for one in store.listed((), 10)] == ["ann@tea.example"]
    store.close()


async def test_a_keeper_that_nobody_asked_makes_no_file(tmp_path: Path) -> None:
    async with kept(tmp_path, FakeClock()):
        pass
    assert not (tmp_path / FILE_NAME).exists()


def damage(folder: Path) -> None:
    """Overwrite all of the file but its first page: opening it goes well, using it does not."""
    path = folder / FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


async def test_a_file_that_is_damaged_under_way_is_set_aside_and_made_anew(tmp_path: Path) -> None:
    clock = FakeClock()
    async with kept(tmp_path, clock) as keeper:
        assert await keeper.ask(KEY, SETTINGS) is not None
        damage(tmp_path)
        other = replace(KEY, sender="ann@tea.example")
        assert await keeper.ask(other, SETTINGS) is None
        assert await keeper.ask(other, SETTINGS) is None  # no sooner than so
        clock.advance(keeper_module.RENEW_S)
        assert await keeper.ask(other, SETTINGS) is None
        assert await keeper.ask(other, SETTINGS) is not None
        assert (tmp_path / f"{FILE_NAME}.damaged").exists()


async def test_a_file_that_another_worker_set_aside_is_not_written_any_more(tmp_path: Path) -> None:
    async with kept(tmp_path, FakeClock()) as keeper:
        assert await keeper.ask(KEY, SETTINGS) is not None
        (tmp_path / FILE_NAME).rename(tmp_path / f"{FILE_NAME}.damaged")
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"{FILE_NAME}{suffix}").unlink()
        store = GreylistStore.open(tmp_path)  # the other worker's
        assert await keeper.ask(KEY, SETTINGS) is not None
        assert [one.sender for one in store.listed((), 10)] == ["chen@tea.example"]
        store.close()


async def test_a_stop_waits_no_longer_than_allowed_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "CLOSE_S", 0.05)
    monkeypatch.setattr(keeper_module, "PATIENCE_S", 0.05)
    monkeypatch.setattr(keeper_module, "MAX_WAITING", 3)
    monkeypatch.setattr(keeper_module, "MAX_BATCH", 1)
    GreylistStore.open(tmp_path).close()
    locked = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    keeper = GreylistKeeper(tmp_path, FakeClock())
    await asyncio.gather(*(keeper.ask(KEY, SETTINGS) for _ in range(10)))
    began = time.monotonic()
    await keeper.close()
    assert time.monotonic() - began < 3  # the write that is under way alone takes five seconds
    locked.execute("ROLLBACK")
    locked.close()
