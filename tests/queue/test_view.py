from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.queue.stage import GREYLISTED, SILENT, Stage
from tests.spool.mail import message, settings, waiting

from postern.mail.outcome import Cause, Deferred
from postern.mail.reply import reply
from postern.queue import view
from postern.queue.view import QueueView, groups, look, look_at_group, queued_messages
from postern.routing.dead_ends import no_egress
from postern.runtime.processes import (
    GroupStatus,
    LaneStatus,
    WorkerStatus,
    status_path,
    write_status,
)
from postern.spool.message import DeliveryState

FULL = Deferred(reply(452, "4.2.2", "mailbox full"), Cause.REPLY, "mx.there.test")


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = await Stage(tmp_path).open()
    yield stage
    await stage.close()


def seen(stage: Stage) -> QueueView:
    return look(settings(stage.folder).folder, stage.folder, stage.clock.now())


async def defer(stage: Stage, outcome: Deferred, first: int, *recipients: str) -> None:
    for number, address in enumerate(recipients, first):
        stage.courier.script[address] = [outcome]
        await stage.accept(message(number, address, at=stage.clock.now()))
    await stage.settle()


def test_no_spool_at_all_is_an_empty_queue(tmp_path: Path) -> None:
    empty = look(tmp_path / "spool", tmp_path / "run", 0.0)
    assert (empty.waiting, empty.causes, empty.severity) == (0, (), 0)


async def test_causes_are_told_in_words_largest_first(stage: Stage) -> None:
    await defer(stage, FULL, 1, "chen@tea.test")
    await defer(stage, SILENT, 10, "a@mx.test", "b@mx.test", "c@mx.test")
    await defer(stage, GREYLISTED, 20, "x@grey.test", "y@grey.test")
    found = seen(stage)
    assert [(line.count, line.cause, line.mx_group) for line in found.causes] == [
        (3, "mx.test: no answer", "mx.test"),
        (2, "grey.test: their server asks us to wait", "grey.test"),
        (1, "mailbox full: chen@tea.test", "tea.test"),
    ]
    assert found.waiting == 6


async def test_egress_that_is_not_configured_is_a_cause_of_its_own(stage: Stage) -> None:
    route = no_egress("fresh", "tea.test")
    assert isinstance(route.outcome, Deferred)
    await defer(stage, route.outcome, 1, "chen@tea.test")
    (line,) = seen(stage).causes
    assert line.cause == "tea.test: there is no egress named fresh in postern.toml"


async def test_one_group_may_have_several_causes(stage: Stage) -> None:
    await defer(stage, FULL, 1, "a@big.test", "b@big.test", "c@big.test")
    await defer(stage, SILENT, 10, "d@big.test")
    assert [(line.count, line.cause) for line in seen(stage).causes] == [
        (3, "mailbox full: a@big.test and 2 more"),
        (1, "big.test: no answer"),
    ]


async def test_times_are_those_of_the_first_and_the_next(stage: Stage) -> None:
    start = stage.clock.now()
    await defer(stage, SILENT, 1, "a@mx.test")
    stage.clock.advance(100.0)
    await defer(stage, SILENT, 2, "b@mx.test")
    (line,) = seen(stage).causes
    assert line.since == pytest.approx(start)
    assert line.gives_up_at == pytest.approx(start + 5 * 86_400.0)
    assert line.next_at is not None
    assert start < line.next_at < start + 400.0


@pytest.mark.parametrize(("hours", "severity"), [(0.9, 0), (1.1, 1), (4.1, 2)])
async def test_the_longer_it_waits_the_worse_it_is(
    stage: Stage, hours: float, severity: int
) -> None:
    await defer(stage, SILENT, 1, "a@mx.test")
    stage.clock.advance(hours * 3600.0)
    found = seen(stage)
    assert found.severity == severity
    assert found.oldest_s == pytest.approx(hours * 3600.0)


async def test_held_mail_is_not_waiting_and_not_late(stage: Stage) -> None:
    held = waiting(1, stage.clock.now(), "mx.test")
    held.deliveries[0].state = DeliveryState.HELD
    await stage.spool.accept_wait(held)
    stage.clock.advance(86_400.0)
    found = seen(stage)
    assert (found.waiting, found.held, found.severity) == (0, 1, 0)


async def test_mail_at_its_first_try_is_counted(stage: Stage) -> None:
    await stage.spool.accept_wait(message(1, "a@mx.test"))
    found = seen(stage)
    assert found.waiting == 1
    assert [line.cause for line in found.causes] == ["first try under way"]
    assert found.causes[0].next_at is None


async def test_large_group_is_sampled_and_its_count_still_right(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "BUDGET", 10)
    for number in range(1, 101):
        made = waiting(number, stage.clock.now() + number, "big.test")
        made.deliveries[0].cause = "no-answer"
        await stage.spool.accept_wait(made)
    await stage.spool.accept_wait(waiting(200, stage.clock.now(), "small.test"))
    found = seen(stage)
    assert [(line.mx_group, line.count) for line in found.causes] == [
        ("big.test", 100),
        ("small.test", 1),
    ]


async def test_workers_are_summed(stage: Stage) -> None:
    for worker in range(2):
        status = WorkerStatus(1, worker, 0.0, stage.clock.now(), (), 3 + worker, 30)
        write_status(status_path(stage.folder, worker), status)
    found = seen(stage)
    assert (found.slots_used, found.slots_all) == (7, 60)


def told_by(stage: Stage, worker: int, *groups: GroupStatus) -> None:
    lanes = (LaneStatus("fast", 1, 10), LaneStatus("slow", 2, 10))
    at = stage.clock.now()
    status = WorkerStatus(1, worker, 0.0, at, (), 3, 20, lanes=lanes, groups=groups)
    write_status(status_path(stage.folder, worker), status)


async def test_what_workers_tell_of_a_group_is_put_together(stage: Stage) -> None:
    now = stage.clock.now()
    await defer(stage, SILENT, 1, "a@mx.test")
    told_by(stage, 0, GroupStatus("mx.test", "slow", now - 60, used=2, most=2, slow_used=2))
    told_by(stage, 1, GroupStatus("mx.test", "shut", now - 30, now + 900, used=1, most=1))
    found = seen(stage)
    (line,) = found.causes
    assert line.group is not None
    assert (line.group.condition, line.group.used, line.group.most) == ("shut", 3, 3)
    assert line.next_at == now + 900  # no sooner, whatever the row says
    assert [(lane.name, lane.used, lane.all) for lane in found.lanes] == [
        ("fast", 2, 20),
        ("slow", 4, 20),
    ]


async def test_a_group_that_holds_connections_open_is_a_cause_of_its_own(stage: Stage) -> None:
    now = stage.clock.now()
    for number in range(1, 6):
        await stage.spool.accept_wait(message(number, "a@mx.test"))
    told_by(stage, 0, GroupStatus("tarpit.test", "slow", now - 60, used=2, most=2, busy=2))
    assert [(line.cause, line.count) for line in seen(stage).causes] == [
        ("tarpit.test holds connections open", 2),
        ("first try under way", 3),
    ]


async def untried(stage: Stage, group: str, count: int, first: int = 500) -> None:
    now = stage.clock.now()
    await stage.accept(
        *(waiting(n, now + 999, group, f"u{n}@{group}") for n in range(first, first + count))
    )


async def test_all_mail_of_a_dead_group_waits_for_one_cause(stage: Stage) -> None:
    refused = Deferred(reply(451, "4.4.1", "connection refused"), Cause.REFUSED)
    await defer(stage, FULL, 20, "d@mx.test")
    await defer(stage, SILENT, 1, "a@mx.test", "b@mx.test")
    await defer(stage, refused, 10, "c@mx.test")
    await untried(stage, "mx.test", 30)
    now = stage.clock.now()
    expected = [("mx.test: no answer", 33), ("mailbox full: d@mx.test", 1)]
    assert [(line.cause, line.count) for line in seen(stage).causes] == expected  # no server runs
    told_by(stage, 0, GroupStatus("mx.test", "shut", now - 30, now + 90))
    assert [(line.cause, line.count) for line in seen(stage).causes] == expected


async def test_what_was_not_tried_for_a_group_that_answers_is_a_cause_of_its_own(
    stage: Stage,
) -> None:
    await defer(stage, SILENT, 1, "a@mx.test")
    await untried(stage, "mx.test", 3)
    told_by(stage, 0)
    assert [(line.cause, line.count) for line in seen(stage).causes] == [
        ("not tried yet", 3),
        ("mx.test: no answer", 1),
    ]


async def test_untried_mail_of_a_suspended_or_slow_group_says_what_it_waits_for(
    stage: Stage,
) -> None:
    busy = Deferred(reply(451, "4.7.650", "slow down"), Cause.REPLY, "mx.told.test")
    await defer(stage, busy, 1, "a@told.test")
    for first, group in ((100, "told.test"), (200, "person.test"), (300, "slow.test")):
        await untried(stage, group, first // 100 + 1, first)
    now = stage.clock.now()
    told_by(
        stage,
        0,
        GroupStatus("told.test", "suspended", now, now + 90, "too many mails"),
        GroupStatus("person.test", "suspended", now, None, "ticket 812", "Q1"),
        GroupStatus("slow.test", "slow", now, used=1, most=1, slow_used=1),
    )
    assert {(line.cause, line.count) for line in seen(stage).causes} == {
        ("slow.test holds connections open", 4),
        ("told.test: 451 4.7.650 slow down", 3),
        ("person.test: suspended", 3),
    }


async def test_group_is_listed_mail_by_mail_due_first(stage: Stage) -> None:
    now = stage.clock.now()
    for number, due in ((1, 300.0), (2, 100.0), (3, 200.0)):
        await stage.spool.accept_wait(waiting(number, now + due, "mx.test"))
    lines = look_at_group(settings(stage.folder).folder, "mx.test", 2)
    assert [line.trace for line in lines] == ["PT-00000002", "PT-00000003"]
    assert groups(settings(stage.folder).folder) == {"mx.test": 3}


async def test_mailq_lists_what_is_left_with_its_size(stage: Stage) -> None:
    await defer(stage, SILENT, 1, "a@mx.test")
    (found,) = queued_messages(settings(stage.folder).folder)
    assert found.recipients == ("a@mx.test",)
    assert found.size_bytes == len(b"Subject: tea\r\n\r\nGreen tea.\r\n")
    assert found.reason.startswith("451")
    assert not found.is_held


async def test_damaged_spool_is_told_and_the_rest_is_shown(stage: Stage) -> None:
    await defer(stage, SILENT, 1, "a@mx.test")
    (settings(stage.folder).folder / "7.db").write_bytes(b"not a database, not at all" * 100)
    found = seen(stage)
    assert found.waiting == 1
    assert len(found.warnings) == 1
