"""What one worker learns of paths, all know; over restarts; and never at the cost of mail."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from pathlib import Path as File

import pytest
from tests.routing.paths.rig import ONE, TWO, until, worker

from postern.mail.paths import Path, Sign
from postern.routing.paths import keeper as keeper_module
from postern.routing.paths.health import PathCondition
from postern.routing.paths.store.schema import FILE_NAME
from postern.routing.paths.store.view import PathView
from postern.runtime.clock import FakeClock, SystemClock

ANOTHER_PROCESS = """
import sys, time
from pathlib import Path as File
from postern.mail.paths import Path, Sign
from postern.routing.paths.health import PathCondition, PathState
from postern.routing.paths.store.file import PathStore, Written

at = time.time()
path = Path("direct", "192.0.2.1", 25, encrypted=True)
state = PathState(path, "tea.example", "mx", PathCondition.BLOCKED, at, Sign.SILENT, "nothing",
                  None, 2, 0.0, 0, at, at, at)
store = PathStore.open(File(sys.argv[1]), "another")
store.write(Written((state,)))
store.close()
print(at)
"""


async def test_what_one_worker_saw_the_other_knows_within_a_second(tmp_path: File) -> None:
    async with worker(tmp_path) as one, worker(tmp_path) as other:
        one.block()
        began = time.monotonic()
        await until(lambda: other.condition() is PathCondition.BLOCKED)
        assert time.monotonic() - began < 1.0
        state = other.board.of(ONE)
        assert state is not None
        assert (state.group, state.host, state.last_error) == (
            "tea.example", "mx.tea.example", Sign.REFUSED.value,
        )  # fmt: skip


async def test_another_process_is_heard_within_a_second(tmp_path: File) -> None:
    async with worker(tmp_path, SystemClock()) as one:
        told: list[float] = []
        one.board.on_change(lambda _: told.append(time.time()))
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path)],
            check=True,
            capture_output=True,
            text=True,
        )
        await until(lambda: one.condition() is PathCondition.BLOCKED)
        assert told[0] - float(ran.stdout) < 1.0


async def test_what_healed_in_one_worker_is_healed_in_the_other(tmp_path: File) -> None:
    async with worker(tmp_path) as one, worker(tmp_path) as other:
        one.block()
        await until(lambda: other.condition() is PathCondition.BLOCKED)
        for _ in range(3):
            other.clock.advance(10)  # type: ignore[attr-defined]  # a FakeClock
            other.see(Sign.ANSWERED)
        assert other.condition() is None
        await until(lambda: one.condition() is None)


async def test_who_lost_a_race_here_goes_last_there(tmp_path: File) -> None:
    async with worker(tmp_path) as one, worker(tmp_path) as other:
        one.board.lost(ONE)
        await until(lambda: other.board.is_last(ONE))
        assert not other.board.is_last(TWO)


async def test_a_restart_forgets_nothing(tmp_path: File) -> None:
    async with worker(tmp_path) as one:
        one.block()
    async with worker(tmp_path) as later:
        await until(lambda: later.condition() is PathCondition.BLOCKED)
        assert later.board.groups() == ["tea.example"]


async def test_own_news_does_not_come_back(tmp_path: File) -> None:
    async with worker(tmp_path) as one, worker(tmp_path) as other:
        told: list[str] = []
        one.board.on_change(told.append)
        one.block()
        await until(lambda: other.condition() is PathCondition.BLOCKED)
        other.see(Sign.REFUSED, TWO, group="other.example")
        await until(lambda: "other.example" in told)
        assert told == ["tea.example", "tea.example", "other.example"]


async def test_a_flood_of_changes_of_one_path_is_few_writes(tmp_path: File) -> None:
    async with worker(tmp_path) as one:
        for _ in range(1000):
            one.see(Sign.REFUSED)
            one.see(Sign.BUSY)
    database = sqlite3.connect(tmp_path / FILE_NAME)
    (seq,) = database.execute("SELECT max(seq) FROM path").fetchone()
    database.close()
    assert seq < 20


async def test_a_damaged_file_is_set_aside_and_what_is_known_goes_on(
    tmp_path: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "RENEW_S", 0.0)
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 1000)
    async with worker(tmp_path) as one, worker(tmp_path) as other:
        one.block()
        assert one.condition() is PathCondition.BLOCKED
        await until(lambda: other.condition() is PathCondition.BLOCKED)
    assert (tmp_path / f"{FILE_NAME}.damaged").exists()


async def test_a_file_that_is_damaged_while_in_use_is_set_aside_too(
    tmp_path: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "RENEW_S", 0.0)
    async with worker(tmp_path) as one, worker(tmp_path) as other:
        one.block()
        await until(lambda: other.condition() is PathCondition.BLOCKED)
        size = (tmp_path / FILE_NAME).stat().st_size
        for suffix in ("", "-wal"):
            with (tmp_path / f"{FILE_NAME}{suffix}").open("r+b") as file:
                file.write(b"\xff" * max(size, 40_000))
        await asyncio.sleep(0)
        one.block(TWO)
        await until((tmp_path / f"{FILE_NAME}.damaged").exists)
        one.block(Path("direct", "192.0.2.3", 25, encrypted=True))
        await until(
            lambda: other.condition(Path("direct", "192.0.2.3", 25, encrypted=True)) is not None
        )


async def test_what_cannot_be_written_at_all_is_dropped_and_the_rest_goes_on(
    tmp_path: File,
) -> None:
    async with worker(tmp_path) as one, worker(tmp_path) as other:
        one.block(TWO, group="half\ud800.example")  # no octets can say this
        await until(lambda: not one.keeper._states and one.keeper._inbox.empty())
        one.block()
        await until(lambda: other.condition() is PathCondition.BLOCKED)
        assert one.condition(TWO) is PathCondition.BLOCKED
        assert other.condition(TWO) is None


async def test_where_nothing_can_be_written_the_worker_knows_what_it_saw(
    tmp_path: File, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE_NAME).mkdir()
    async with worker(tmp_path) as one:
        one.block()
        assert one.condition() is PathCondition.BLOCKED
        assert await one.keeper.claim({ONE: one.clock.now() + 60}) is None


async def test_a_path_is_granted_to_one_prober_until_its_time(tmp_path: File) -> None:
    clock = FakeClock()
    async with worker(tmp_path, clock) as one, worker(tmp_path, clock) as other:
        until_then = {ONE: clock.now() + 60, TWO: clock.now() + 90}
        assert await one.keeper.claim({ONE: clock.now() + 60}) == frozenset({ONE})
        assert await other.keeper.claim(until_then) == frozenset({TWO})
        clock.advance(59)
        assert await other.keeper.claim({ONE: clock.now() + 60}) == frozenset()
        assert await other.keeper.claim({TWO: clock.now() + 60}) == frozenset({TWO})
        clock.advance(1)
        assert await other.keeper.claim({ONE: clock.now() + 60}) == frozenset({ONE})
        assert await one.keeper.claim({ONE: clock.now() + 60}) == frozenset()


async def test_a_claim_is_answered_soon_while_much_is_written(tmp_path: File) -> None:
    async with worker(tmp_path) as one:
        for number in range(500):
            one.block(Path("direct", f"192.0.{number // 250}.{number % 250}", 25, encrypted=True))
        began = time.monotonic()
        assert await one.keeper.claim({ONE: one.clock.now() + 60}) == frozenset({ONE})
        assert time.monotonic() - began < 1.0
    view = PathView.open(tmp_path)
    assert len(view.states()) == 500
    view.close()


async def test_stopping_writes_what_was_told_last(tmp_path: File) -> None:
    async with worker(tmp_path) as one:
        one.block()
    view = PathView.open(tmp_path)
    assert [state.condition for state in view.states()] == [PathCondition.BLOCKED]
    view.close()
