import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.queue.stage import GREYLISTED, Stage
from tests.spool.mail import message, until

from postern.queue import commands as module
from postern.queue.commands import Commands
from postern.queue.request import Action, Answer, MailFilter, Options, Request, Tally
from postern.queue.store import requests as tables
from postern.queue.store.requests import RequestStore
from postern.runtime.database.engine import Database
from postern.runtime.database.migrate import migrate
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.runtime.database.watch import ChangeWatch

NOW = 1_750_000_000.0
HOLD = Request(0, NOW, "cli:wang", Action.HOLD, MailFilter(recipient="ann@there.test"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "site.db")
    migrate(database)
    yield database
    database.close()


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = await Stage(tmp_path).open()
    stage.courier.script["ann@there.test"] = [GREYLISTED]
    await stage.accept(message(1, "ann@there.test"))
    await stage.settle()
    yield stage
    await stage.close()


def ear(stage: Stage, database: Database, tmp_path: Path, worker: int = 0) -> Commands:
    watch = ChangeWatch(tmp_path / "site.db")
    return Commands(database, watch, worker, stage.queue, stage.spool, stage.clock)


def test_tables_are_as_the_migration_makes_them(database: Database) -> None:
    def is_ours(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in tables.metadata.tables

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        assert compare_metadata(context, tables.metadata) == []


def test_request_comes_back_as_it_was_asked(database: Database) -> None:
    store = RequestStore(database)
    wanted = MailFilter("<>", "@there.test", "google.com", "wang", (7, 8))
    asked = Request(0, NOW, "cli:wang", Action.REROUTE, wanted, Options("us1"), dry_run=True)
    number = store.add(asked)
    (found,) = store.unanswered(0, NOW - 1)
    assert (found.id, found.filter, found.options, found.dry_run) == (
        number,
        wanted,
        Options("us1"),
        True,
    )


def test_each_worker_answers_for_itself_and_its_last_word_counts(database: Database) -> None:
    store = RequestStore(database)
    number = store.add(HOLD)
    store.answer(Answer(number, 0, NOW, Tally(3)))
    assert len(store.unanswered(0, NOW)) == 1, "it has only told how far it has come"
    store.answer(Answer(number, 0, NOW, Tally(5, is_done=True)))
    assert store.unanswered(0, NOW) == []
    assert len(store.unanswered(1, NOW)) == 1
    assert [(a.worker, a.tally.count) for a in store.answers(number)] == [(0, 5)]


def test_yesterdays_requests_are_swept_with_their_answers(database: Database) -> None:
    store = RequestStore(database)
    old = store.add(HOLD)
    store.answer(Answer(old, 0, NOW, Tally(is_done=True)))
    later = NOW + tables.KEEP_S + 1
    store.add(Request(0, later, "cli:wang", Action.HOLD, MailFilter()))
    assert store.answers(old) == []
    assert [found.created_at for found in store.unanswered(0, 0.0)] == [later]


def test_answer_to_a_request_that_was_withdrawn_is_dropped(database: Database) -> None:
    store = RequestStore(database)
    number = store.add(HOLD)
    store.withdraw(number)
    store.answer(Answer(number, 0, NOW, Tally(is_done=True)))
    assert store.answers(number) == []


async def test_running_worker_hears_does_and_answers(
    stage: Stage, database: Database, tmp_path: Path
) -> None:
    store = RequestStore(database)
    polling = asyncio.ensure_future(ear(stage, database, tmp_path).keep_polling())
    try:
        number = store.add(HOLD)
        await until(lambda: any(a.tally.is_done for a in store.answers(number)))
    finally:
        polling.cancel()
    (answer,) = store.answers(number)
    assert (answer.worker, answer.tally.count) == (0, 1)
    await stage.advance(86_400.0)
    assert stage.courier.count("ann@there.test") == 1, "it is held"


async def test_database_is_read_only_when_it_has_changed(
    stage: Stage, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    unanswered = RequestStore.unanswered

    def counted(self: RequestStore, worker: int, since: float) -> list[Request]:
        nonlocal reads
        reads += 1
        return unanswered(self, worker, since)

    monkeypatch.setattr(RequestStore, "unanswered", counted)
    commands = ear(stage, database, tmp_path)
    for _ in range(5):
        await commands.poll()
    assert reads == 1
    RequestStore(database).add(HOLD)
    await commands.poll()
    assert reads == 2


async def test_request_that_is_too_old_is_not_begun(
    stage: Stage, database: Database, tmp_path: Path
) -> None:
    store = RequestStore(database)
    number = store.add(HOLD)
    stage.clock.advance(module.MAX_AGE_S + 1)
    await ear(stage, database, tmp_path).poll()
    assert store.answers(number) == []


async def test_broken_database_never_ends_the_listening(
    stage: Stage, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    monkeypatch.setattr(module, "TROUBLE_S", 0.01)
    troubles = 0
    unanswered = RequestStore.unanswered

    def troubled(self: RequestStore, worker: int, since: float) -> list[Request]:
        nonlocal troubles
        if troubles < 3:
            troubles += 1
            raise DatabaseTroubleError("disk I/O error")
        return unanswered(self, worker, since)

    monkeypatch.setattr(RequestStore, "unanswered", troubled)
    store = RequestStore(database)
    number = store.add(HOLD)
    polling = asyncio.ensure_future(ear(stage, database, tmp_path).keep_polling())
    try:
        await until(lambda: any(a.tally.is_done for a in store.answers(number)))
    finally:
        polling.cancel()
    assert troubles == 3


async def test_worker_that_fails_says_so_instead_of_nothing(
    stage: Stage, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise OSError("the spool is gone")

    monkeypatch.setattr(stage.spool, "browse", broken)
    store = RequestStore(database)
    number = store.add(HOLD)
    await ear(stage, database, tmp_path).poll()
    (answer,) = store.answers(number)
    assert answer.tally.is_done
    assert "the spool is gone" in answer.tally.error
