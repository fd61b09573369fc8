"""Held mail leaves at its end, never before its owner was told, and never as a bounce."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from tests.queue.holding import DAY_S, LI, WANG, held, keeper, telling_store, told
from tests.queue.stage import Stage
from tests.spool.mail import message, until

from postern.queue import keeper as module
from postern.queue.quarantine import held_mail
from postern.queue.request import Action, MailFilter, Options, Request, Tally
from postern.queue.store.tellings import TellingStore
from postern.queue.surgery import Surgery
from postern.spool.message import DeliveryState
from postern.spool.settings import HoldSettings


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = await Stage(tmp_path).open()
    yield stage
    await stage.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TellingStore]:
    with telling_store(tmp_path) as store:
        yield store


async def still_held(stage: Stage) -> set[int]:
    await stage.settle()
    return {mail.number for mail in held_mail(stage.folder / "spool")}


async def test_mail_leaves_once_its_time_is_over_and_its_owner_has_long_been_told(
    stage: Stage, store: TellingStore
) -> None:
    begin = stage.clock.now()
    await stage.accept(held(stage, 1), message(2))
    told(store, 900, begin + DAY_S, 1)
    round_of = keeper(stage, store)
    stage.clock.advance(30 * DAY_S - 1)
    await round_of.go_round()
    assert await still_held(stage) == {1}
    stage.clock.advance(1)
    await round_of.go_round()
    assert await still_held(stage) == set()
    await until(lambda: 1 in stage.journal.kept)
    (record,) = stage.journal.kept[1].recipients
    assert record.state == "discarded"
    assert record.reply == ("Held since 2025-06-15, expired on 2025-07-15, owner told 2025-06-16")
    assert record.because is not None
    assert record.because.check == "dmarc.reject"
    assert stage.tidings.told == []  # nobody was written to
    assert stage.courier.count(WANG) == 1  # the other message alone
    await until(lambda: bool(stage.journal.changes))
    (change,) = stage.journal.changes
    assert (change.author, change.action, change.related) == ("postern", "quarantine.expire", (1,))


async def test_mail_whose_owner_was_not_told_stays_and_its_end_moves(
    stage: Stage, store: TellingStore
) -> None:
    await stage.accept(held(stage, 1))
    round_of = keeper(stage, store)
    for _ in range(100):
        stage.clock.advance(DAY_S)
        await round_of.go_round()
    assert await still_held(stage) == {1}
    (mail,) = held_mail(stage.folder / "spool")
    assert stage.clock.now() < mail.until <= stage.clock.now() + 7 * DAY_S
    assert round_of.counts.untold == 1

    told_at = stage.clock.now()
    told(store, 900, told_at, 1)
    while stage.clock.now() < told_at + 7 * DAY_S - DAY_S:
        stage.clock.advance(DAY_S)
        await round_of.go_round()
    assert await still_held(stage) == {1}
    stage.clock.advance(2 * DAY_S)
    await round_of.go_round()  # its end was moved in the middle of that: to the week's end at most
    stage.clock.advance(7 * DAY_S)
    await round_of.go_round()
    assert await still_held(stage) == set()


async def test_a_letter_that_did_not_arrive_tells_nobody(stage: Stage, store: TellingStore) -> None:
    await stage.accept(held(stage, 1))
    told(store, 900, stage.clock.now(), 1)
    store.conclude([], [900], stage.clock.now())
    stage.clock.advance(40 * DAY_S)
    await keeper(stage, store).go_round()
    assert await still_held(stage) == {1}


async def test_where_no_letters_are_wanted_the_end_holds_by_itself(
    stage: Stage, store: TellingStore
) -> None:
    await stage.accept(held(stage, 1, WANG, LI))
    stage.clock.advance(30 * DAY_S)
    await keeper(stage, store, untold=[WANG]).go_round()
    await stage.settle()
    assert [str(mail.mailbox) for mail in held_mail(stage.folder / "spool")] == [LI]
    found = await stage.spool.load(1)
    assert found is not None
    assert [d.state for d in found.deliveries] == [DeliveryState.DONE, DeliveryState.HELD]
    assert found.deliveries[0].last_reply.endswith("its owner is not told")


async def test_what_a_person_holds_has_no_end(stage: Stage, store: TellingStore) -> None:
    by_hand = message(1)
    by_hand.deliveries[0].state = DeliveryState.HELD
    await stage.accept(by_hand)
    stage.clock.advance(400 * DAY_S)
    round_of = keeper(stage, store)
    await round_of.go_round()
    found = await stage.spool.load(1)
    assert found is not None
    assert found.deliveries[0].state is DeliveryState.HELD
    assert round_of.counts.count == 0


async def test_a_mailbox_near_its_bound_is_cleared_of_what_its_owner_has_long_known(
    stage: Stage, store: TellingStore
) -> None:
    stage.spool.holdings.resize(replace(HoldSettings(), most_messages=10))
    for number in range(1, 10):
        await stage.accept(held(stage, number))
        stage.clock.advance(60)
    await stage.accept(held(stage, 10), held(stage, 11, LI))
    assert not stage.spool.holdings.has_room(WANG, 1)
    round_of = keeper(stage, store)
    told(store, 900, stage.clock.now(), 2, 3, 4)
    stage.clock.advance(6 * DAY_S)
    await round_of.go_round()
    assert len(await still_held(stage)) == 11  # nobody has known it for a week
    stage.clock.advance(DAY_S)
    await round_of.go_round()
    assert await still_held(stage) == {1, *range(3, 12)}  # 9 of 10 are near, 10 are not any more
    assert stage.spool.holdings.has_room(WANG, 1)
    await until(lambda: 2 in stage.journal.kept)
    assert "made room for newer mail" in stage.journal.kept[2].recipients[0].reply


async def test_counts_are_put_right_by_a_round(
    stage: Stage, store: TellingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    stage.spool.holdings.resize(replace(HoldSettings(), most_messages=7))
    held(stage, 99)  # its client left before it was on disk
    held(stage, 98)
    for number in range(1, 6):
        await stage.accept(held(stage, number))
    assert not stage.spool.holdings.has_room(WANG, 1)
    round_of = keeper(stage, store)
    await round_of.go_round()
    assert stage.spool.holdings.has_room(WANG, 1)
    assert (round_of.counts.count, round_of.counts.untold) == (5, 5)
    await stage.restart()
    assert stage.spool.holdings.has_room(WANG, 1)
    stage.spool.holdings.resize(replace(HoldSettings(), most_messages=5))
    await keeper(stage, store).go_round()
    assert not stage.spool.holdings.has_room(WANG, 1)


async def test_what_is_released_and_deleted_makes_room(stage: Stage) -> None:
    stage.spool.holdings.resize(replace(HoldSettings(), most_messages=2))
    await stage.accept(held(stage, 1), held(stage, 2))
    assert not stage.spool.holdings.has_room(WANG, 1)
    await _operate(stage, Action.RELEASE, 1)
    assert stage.spool.holdings.has_room(WANG, 1)
    await stage.accept(held(stage, 3))
    await _operate(stage, Action.CANCEL, 3, Options(silent=True))
    assert stage.spool.holdings.has_room(WANG, 1)
    await until(lambda: 3 in stage.journal.kept)
    assert stage.journal.kept[3].recipients[0].reply == "Deleted while it was held, by cli:wang"
    assert [change.action for change in stage.journal.changes] == [
        "quarantine.release",
        "quarantine.delete",
    ]


async def test_a_virus_is_released_only_where_somebody_accepts_it(stage: Stage) -> None:
    await stage.accept(held(stage, 1, check="virus.found"))
    assert (await _operate(stage, Action.RELEASE, 1)).count == 0
    assert await still_held(stage) == {1}
    assert (await _operate(stage, Action.RELEASE, 1, Options(accepts_virus=True))).count == 1


async def test_what_could_not_be_scanned_is_released_only_where_somebody_accepts_that(
    stage: Stage,
) -> None:
    await stage.accept(held(stage, 1, check="virus.couldnt-tell"))
    assert (await _operate(stage, Action.RELEASE, 1)).count == 0
    assert (await _operate(stage, Action.RELEASE, 1, Options(accepts_virus=True))).count == 0
    assert await still_held(stage) == {1}
    assert (await _operate(stage, Action.RELEASE, 1, Options(accepts_unscanned=True))).count == 1


async def test_of_two_releases_at_the_same_time_one_is_done(stage: Stage) -> None:
    await stage.accept(held(stage, 1))
    tallies = await asyncio.gather(
        _operate(stage, Action.RELEASE, 1), _operate(stage, Action.RELEASE, 1)
    )
    assert sorted(tally.count for tally in tallies) == [0, 1]
    assert stage.courier.count(WANG) == 1
    assert await still_held(stage) == set()


async def _operate(
    stage: Stage, action: Action, number: int, options: Options | None = None
) -> Tally:
    async def progress(tally: Tally) -> None:
        """Nobody waits."""

    wanted = MailFilter(numbers=(number,), quarantined=True)
    now = stage.clock.now()
    request = Request(1, now, "cli:wang", action, wanted, options or Options())
    tally = await Surgery(stage.queue, stage.spool, stage.clock).carry_out(request, progress)
    await stage.settle()
    return tally
