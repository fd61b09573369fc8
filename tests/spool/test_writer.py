"""Group commit: one transaction for all that arrived, and nothing lost where the disk says no."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.spool.mail import MemoryJournal, deliver, message, spool_of, until

from postern.journal.record import HeardRecord
from postern.spool.message import DeliveryState, Message
from postern.spool.spool import Spool
from postern.spool.store.file import SpoolFile
from postern.spool.store.trouble import SpoolUnavailableError
from postern.spool.writer import SpoolWriter


def writer_of(spool: Spool) -> SpoolWriter:
    assert spool._writer is not None
    return spool._writer


@contextmanager
def held_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The next transaction stands still before its COMMIT until let go."""
    entered, go = threading.Event(), threading.Event()
    real = SpoolFile.insert

    def slow(self: SpoolFile, messages: object) -> None:
        entered.set()
        assert go.wait(10)
        real(self, messages)  # type: ignore[arg-type]  # passed on as it came

    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "insert", slow)
        yield lambda: assert_waits(entered)
        go.set()


def assert_waits(entered: threading.Event) -> None:
    assert entered.wait(10)


async def test_mail_arriving_during_a_commit_shares_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    writer = writer_of(spool)
    with held_commit(monkeypatch) as wait:
        first = asyncio.create_task(spool.accept_wait(message(1)))
        await asyncio.sleep(0)
        await asyncio.to_thread(wait)
        others = [asyncio.create_task(spool.accept_wait(message(n))) for n in range(2, 52)]
        await asyncio.sleep(0)
        assert not first.done()
    await asyncio.gather(first, *others)
    assert writer.commits == 2
    await spool.close()


async def test_outcomes_ride_with_new_mail_and_never_start_a_commit_at_once(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, ride_s=30.0)
    await spool.open()
    writer = writer_of(spool)
    made = message(1)
    await spool.accept_wait(made)
    assert writer.commits == 1
    deliver(made)
    told: list[Exception | None] = []
    spool.record(made, made.deliveries, done=told.append)
    await spool.accept_wait(message(2))
    await until(lambda: bool(told))
    assert told == [None]
    assert writer.commits == 2
    await spool.close()


async def test_an_outcome_alone_is_written_after_its_ride_time(tmp_path: Path) -> None:
    journal = MemoryJournal()
    spool = spool_of(tmp_path, journal, ride_s=0.01)
    await spool.open()
    made = message(1)
    await spool.accept_wait(made)
    deliver(made)
    spool.record(made, made.deliveries)
    await until(lambda: 1 in journal.kept)
    await spool.close()


async def test_one_bad_message_does_not_take_its_neighbours_with_it(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    await spool.accept_wait(message(1))
    answers = await asyncio.gather(
        *(spool.accept_wait(message(n)) for n in (2, 1, 3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [
        type(None), sqlite3.IntegrityError, type(None)
    ]  # fmt: skip
    assert spool.is_writable
    await spool.close()


async def test_a_listener_that_fails_does_not_keep_others_from_their_250(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.open()

    def bad(error: Exception | None) -> None:
        raise RuntimeError("a listener's mistake")

    spool.accept(message(1), bad)
    await spool.accept_wait(message(2))
    await spool.close()


async def test_outcomes_wait_for_the_disk_and_nobody_is_shown_stale_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = MemoryJournal()
    spool = spool_of(tmp_path, journal)
    await spool.open()
    made = message(1)
    await spool.accept_wait(made)
    deliver(made)
    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "update", _refuse)
        spool.record(made, made.deliveries)
        await until(lambda: not spool.is_writable)
        with pytest.raises(SpoolUnavailableError):
            await spool.load(1)
        assert 1 not in journal.kept
        assert (await spool.totals())[0] == 0
    await until(lambda: 1 in journal.kept)
    assert spool.is_writable
    await spool.close()


async def test_new_mail_is_refused_by_a_read_only_disk_and_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    with monkeypatch.context() as patch:
        # Fails after the message row: the transaction must take it back.
        real = SpoolFile.insert

        def half(self: SpoolFile, messages: object) -> None:
            real(self, messages)  # type: ignore[arg-type]  # passed on as it came
            raise sqlite3.OperationalError("attempt to write a readonly database")

        patch.setattr(SpoolFile, "insert", half)
        with pytest.raises(sqlite3.OperationalError):
            await spool.accept_wait(message(1, "a@here.test", "b@here.test"))
        assert not spool.is_writable
    assert await spool.load(1) is None
    await spool.accept_wait(message(2))
    assert spool.is_writable
    await spool.close()


async def test_decisions_about_mail_that_the_disk_did_not_take_are_not_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard(number: int) -> Message:
        made = message(number)
        made.conversation.heard = HeardRecord(number, 1.0, "198.51.100.24", [])
        return made

    def full(self: SpoolFile, messages: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    journal = MemoryJournal()
    spool = spool_of(tmp_path, journal)
    await spool.open()
    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "insert", full)
        for number in (1, 2):
            with pytest.raises(sqlite3.OperationalError):
                await spool.accept_wait(heard(number))
    await spool.accept_wait(heard(3))
    await spool.close()
    assert [one.id for one in journal.heard] == [3]


async def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    file = writer_of(spool)._spool
    real = file._db
    file._db = _FailingCommit(real)  # type: ignore[assignment]  # stands in for a connection
    with pytest.raises(sqlite3.OperationalError):
        await spool.accept_wait(message(1))
    file._db = real
    await spool.accept_wait(message(2))
    assert await spool.load(1) is None
    await spool.close()


async def test_close_writes_what_was_asked_before_and_hands_it_over(tmp_path: Path) -> None:
    journal = MemoryJournal()
    spool = spool_of(tmp_path, journal, ride_s=5.0, handover_s=60.0)
    await spool.open()
    made = [message(n) for n in range(20)]
    await asyncio.gather(*(spool.accept_wait(m) for m in made))
    for m in made:
        deliver(m)
        spool.record(m, m.deliveries)
    await spool.close()
    assert sorted(journal.kept) == list(range(20))
    assert journal.is_closed
    again = spool_of(tmp_path)
    assert await again.open() == []
    assert await again.find([DeliveryState.DONE, DeliveryState.FRESH]) == []
    await again.close()


class _FailingCommit:
    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction

    def execute(self, sql: str, *values: object) -> object:
        if sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return self._real.execute(sql, *values)  # type: ignore[arg-type]  # passed on as they came

    def executemany(self, sql: str, rows: object) -> object:
        return self._real.executemany(sql, rows)  # type: ignore[arg-type]  # passed on as it came


def _refuse(self: SpoolFile, rows: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")
