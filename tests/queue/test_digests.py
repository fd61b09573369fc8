"""One letter a day to each owner of something newly held; never none, whatever breaks."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import pytest_asyncio
from tests.queue.holding import (
    DAY_S,
    LI,
    WANG,
    digests,
    held,
    keeper,
    midnight,
    telling_store,
)
from tests.queue.stage import DELIVERED, GREYLISTED, UNKNOWN, Stage
from tests.spool.mail import message, spool_of, until

from postern.notices.digest import MAX_ENTRIES
from postern.queue import digests as module
from postern.queue.digests import DigestSettings
from postern.queue.store.tellings import Telling, TellingStore
from postern.spool.message import Message, Origin

HOUR_S = 3600.0


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = await Stage(tmp_path, midnight()).open()
    yield stage
    await stage.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TellingStore]:
    with telling_store(tmp_path) as store:
        yield store


def letters(stage: Stage) -> list[Message]:
    """The letters that were tried, in their order."""
    works = [work.message for work in stage.courier.works if work.message.id > 1_000]
    return list({letter.id: letter for letter in works}.values())


def words(letter: Message) -> str:
    parsed = message_from_bytes(letter.content.in_memory or b"", policy=policy.default)
    part = parsed.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


async def test_each_owner_gets_one_letter_at_the_hour_with_what_is_new(
    stage: Stage, store: TellingStore
) -> None:
    maker = digests(stage, store)
    await stage.accept(held(stage, 1, WANG, LI), held(stage, 2), message(3))
    stage.clock.advance(8 * HOUR_S - 1)
    assert await maker.look() == 0
    stage.clock.advance(1)
    assert await maker.look() == 2
    assert await maker.look() == 0
    await stage.settle()
    to_wang, to_li = letters(stage)
    assert [str(one.deliveries[0].recipient.address) for one in (to_wang, to_li)] == [WANG, LI]
    assert "PT-00000001.1" in words(to_wang)
    assert "PT-00000002.1" in words(to_wang)
    assert "PT-00000003" not in words(to_wang)
    assert "PT-00000001.2" in words(to_li)
    assert to_wang.origin is Origin.OURS
    assert to_wang.sender.address is None
    assert to_wang.conversation.related == [1, 2]

    await stage.accept(held(stage, 4, LI))
    assert await maker.look() == 0  # one a day
    stage.clock.advance(DAY_S)
    assert await maker.look() == 1
    await stage.settle()
    (_, _, again) = letters(stage)
    assert "PT-00000004.1" in words(again)
    assert "PT-00000001" not in words(again)


async def test_what_a_letter_named_is_told_once_the_letter_arrived(
    stage: Stage, store: TellingStore
) -> None:
    stage.courier.script[WANG] = [GREYLISTED, DELIVERED]
    maker = digests(stage, store)
    await stage.accept(held(stage, 1))
    stage.clock.advance(8 * HOUR_S)
    assert await maker.look() == 1
    await stage.settle()
    await maker.look()
    assert store.told([(1, 0)]) == {}
    await stage.advance(HOUR_S)
    await until(lambda: 1_001 in stage.journal.kept)
    await maker.look()
    assert store.told([(1, 0)]) == {(1, 0): stage.clock.now()}
    assert store.open_letters(-1, 10) == []


async def test_a_letter_that_comes_back_is_written_again_the_next_day(
    stage: Stage, store: TellingStore
) -> None:
    stage.courier.script[WANG] = [UNKNOWN, DELIVERED]
    maker = digests(stage, store)
    await stage.accept(held(stage, 1))
    stage.clock.advance(8 * HOUR_S)
    assert await maker.look() == 1
    await stage.settle()
    await until(lambda: 1_001 in stage.journal.kept)
    assert await maker.look() == 0
    assert store.named([(1, 0)]) == set()
    stage.clock.advance(DAY_S)
    assert await maker.look() == 1
    await stage.settle()
    await until(lambda: 1_002 in stage.journal.kept)
    await maker.look()
    assert list(store.told([(1, 0)])) == [(1, 0)]


async def test_a_crash_after_a_letter_was_written_down_loses_none_and_doubles_none(
    stage: Stage, store: TellingStore, tmp_path: Path
) -> None:
    await stage.accept(held(stage, 1), held(stage, 2, LI))
    stage.clock.advance(8 * HOUR_S)
    day = "2025-06-16"
    # Written down, and then the power went: its message is nowhere.
    store.add([Telling(999, WANG, day, stage.clock.now(), ((1, 0),))])
    await stage.restart()
    assert await digests(stage, store).look() == 2
    await stage.settle()
    # The letters are in the spool, and the power goes before the day is ended.
    assert store.is_day_done(day)
    with store._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM digest_day")
    await stage.restart()
    assert await digests(stage, store, first=2_000).look() == 0
    await stage.settle()
    assert len(letters(stage)) == 2


async def test_a_letter_that_the_disk_did_not_take_is_written_at_the_next_look(
    stage: Stage, store: TellingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = digests(stage, store)
    await stage.accept(held(stage, 1))
    stage.clock.advance(8 * HOUR_S)

    async def full(message: Message) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(stage.spool, "accept_wait", full)
        with pytest.raises(OSError, match="full"):
            await maker.look()
    assert await maker.look() == 1
    await stage.settle()
    assert len(letters(stage)) == 1


async def test_letters_of_all_workers_mail_come_from_one(stage: Stage, store: TellingStore) -> None:
    other = spool_of(stage.folder, worker=1, workers=2, clock=stage.clock)
    await other.open()
    await other.accept_wait(held(stage, 5))
    await stage.accept(held(stage, 1))
    stage.clock.advance(8 * HOUR_S)
    assert await digests(stage, store).look() == 1
    await stage.settle()
    (letter,) = letters(stage)
    assert "PT-00000005.1" in words(letter)
    assert "PT-00000001.1" in words(letter)
    await other.close()


async def test_more_than_a_letter_names_follows_in_the_next(
    stage: Stage, store: TellingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_ENTRIES >= 100
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(1, 6):
        await stage.accept(held(stage, number))
    maker = digests(stage, store)
    stage.clock.advance(8 * HOUR_S)
    assert await maker.look() == 1
    stage.clock.advance(DAY_S)
    assert await maker.look() == 1
    await stage.settle()
    first, second = letters(stage)
    assert "2 more are held" in words(first)
    assert [f"PT-0000000{n}.1" in words(second) for n in range(1, 6)] == [False] * 3 + [True] * 2


async def test_who_wants_no_letters_gets_none(stage: Stage, store: TellingStore) -> None:
    settings = replace(DigestSettings(), is_told=lambda owner: owner != WANG)
    await stage.accept(held(stage, 1, WANG, LI))
    stage.clock.advance(8 * HOUR_S)
    assert await digests(stage, store, settings).look() == 1
    await stage.settle()
    assert [str(one.deliveries[0].recipient.address) for one in letters(stage)] == [LI]


async def test_what_was_told_long_ago_is_forgotten(stage: Stage, store: TellingStore) -> None:
    await stage.accept(held(stage, 1))
    stage.clock.advance(8 * HOUR_S)
    maker = digests(stage, store)
    await maker.look()
    await stage.settle()
    await until(lambda: 1_001 in stage.journal.kept)
    round_of = keeper(stage, store)
    for _ in range(70):
        stage.clock.advance(DAY_S)
        await maker.look()
        await round_of.go_round()
    await until(lambda: 1 in stage.journal.kept)
    assert stage.journal.kept[1].recipients[0].state == "discarded"
    assert store.named([(1, 0)]) == set()
    assert not store.is_day_done("2025-06-16")
    assert len(letters(stage)) == 1
