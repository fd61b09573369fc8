import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from tests.queue.stage import GREYLISTED, Stage
from tests.spool.mail import message, until, waiting

from postern.mail.outcome import Cause
from postern.mail.route import SmtpRoute
from postern.queue import surgery
from postern.queue.gates import FEW_READY
from postern.queue.pace import FIRST_SESSIONS
from postern.queue.request import Action, MailFilter, Options, Request, Tally
from postern.queue.settle import Settled
from postern.queue.surgery import Surgery
from postern.spool.message import DeliveryState, Message


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = await Stage(tmp_path).open()
    yield stage
    await stage.close()


async def operate(
    stage: Stage, action: Action, wanted: MailFilter, *, dry_run: bool = False, **options: object
) -> Tally:
    async def progress(tally: Tally) -> None:
        assert not tally.is_done

    request = Request(
        1,
        stage.clock.now(),
        "cli:wang",
        action,
        wanted,
        Options(**options),  # type: ignore[arg-type]  # a test's own words
        dry_run,
    )
    tally = await Surgery(stage.queue, stage.spool, stage.clock).carry_out(request, progress)
    await stage.settle()
    assert tally.is_done
    return tally


async def states(stage: Stage, number: int) -> list[DeliveryState]:
    found = await stage.spool.load(number)
    assert found is not None
    return [delivery.state for delivery in found.deliveries]


async def defer(stage: Stage, *messages: Message) -> None:
    """Accept mail whose first try is put off."""
    for made in messages:
        for delivery in made.deliveries:
            stage.courier.script[str(delivery.recipient.address)] = [GREYLISTED]
    await stage.accept(*messages)
    await stage.settle()


async def test_held_mail_is_not_tried_until_it_is_released(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"), message(2, "bob@there.test"))
    tally = await operate(stage, Action.HOLD, MailFilter(recipient="ann@there.test"))
    assert (tally.count, tally.busy) == (1, 0)
    await stage.advance(86_400.0)
    assert stage.courier.count("ann@there.test") == 1
    assert stage.courier.count("bob@there.test") == 2
    assert await states(stage, 1) == [DeliveryState.HELD]

    stage.courier.script = {}
    assert (await operate(stage, Action.RELEASE, MailFilter(group="there.test"))).count == 1
    await stage.advance(0.0)
    assert stage.courier.count("ann@there.test") == 2
    await until(lambda: 1 in stage.journal.kept)
    assert stage.journal.kept[1].recipients[0].state == "delivered"


async def test_hold_survives_a_restart(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"))
    await operate(stage, Action.HOLD, MailFilter(sender="@client.test"))
    await stage.restart()
    await stage.advance(86_400.0)
    assert stage.courier.count("ann@there.test") == 1


async def test_what_stands_in_line_is_taken_back_and_what_is_tried_is_busy(stage: Stage) -> None:
    lanes = int(FIRST_SESSIONS)
    stage.courier.gates["there.test"] = asyncio.Event()
    many = [message(n, f"u{n}@there.test") for n in range(1, lanes + 11)]
    await stage.accept(*many)
    await until(lambda: stage.courier.running.get("there.test") == lanes)
    held = asyncio.ensure_future(operate(stage, Action.HOLD, MailFilter(sender="li@client.test")))
    await asyncio.sleep(0)
    await until(lambda: stage.queue.groups["there.test"].busy == lanes)
    stage.courier.gates["there.test"].set()
    tally = await held
    assert (tally.count, tally.busy) == (10, lanes)
    assert len(stage.courier.tries) == lanes
    assert [await states(stage, n) for n in range(lanes + 1, lanes + 11)] == [
        [DeliveryState.HELD]
    ] * 10


async def test_what_waits_on_disk_goes_though_all_before_it_was_taken_back(stage: Stage) -> None:
    """A group whose line a person emptied is asked for the rest; no end of a session does."""
    stage.queue.gates.reload(replace(stage.settings, slots=1, group_share=1.0))
    stage.courier.gates["other.test"] = asyncio.Event()
    await stage.accept(message(1, "a@other.test"))
    await until(lambda: stage.courier.running.get("other.test") == 1)
    first = [message(n, f"u{n}@there.test") for n in range(10, 10 + FEW_READY)]
    rest = [message(n, f"u{n}@there.test", sender="b@client.test") for n in range(40, 50)]
    await stage.accept(*first, *rest)
    group = stage.queue.groups["there.test"]
    await until(lambda: group.has_more and len(group.ready) == FEW_READY)
    holding = asyncio.ensure_future(
        operate(stage, Action.HOLD, MailFilter(sender="li@client.test", group="there.test"))
    )
    await until(lambda: all(made.deliveries[0].state is DeliveryState.HELD for made in first))
    stage.courier.gates["other.test"].set()
    await holding
    await until(lambda: stage.queue.attempts["delivered"] == 1 + len(rest))


async def test_retry_makes_the_next_try_now(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"))
    stage.courier.script = {}
    assert (await operate(stage, Action.RETRY, MailFilter(numbers=(1,)))).count == 1
    await stage.advance(0.0)
    assert stage.courier.count("ann@there.test") == 2


async def test_reroute_sends_through_the_named_egress_now(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"))
    tally = await operate(stage, Action.REROUTE, MailFilter(group="there.test"), via="us1")
    assert tally.count == 1
    await stage.advance(0.0)
    ways = [w.route.egress.name for w in stage.courier.works if isinstance(w.route, SmtpRoute)]
    assert ways == ["direct", "us1"]


async def test_rerouted_held_mail_stays_held(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"))
    await operate(stage, Action.HOLD, MailFilter(numbers=(1,)))
    await operate(stage, Action.REROUTE, MailFilter(numbers=(1,)), via="us1")
    await stage.advance(1.0)
    assert await states(stage, 1) == [DeliveryState.HELD]
    found = await stage.spool.load(1)
    assert found is not None
    assert found.deliveries[0].via == "us1"


async def test_cancelled_mail_goes_back_to_its_sender(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"))
    stage.tidings.answer = lambda about, settled: [message(99, "li@client.test", sender="")]
    tally = await operate(stage, Action.CANCEL, MailFilter(numbers=(1,)))
    assert tally.count == 1
    (_, settled, _) = stage.tidings.told[-1]
    assert settled.failed[0][1].cause is Cause.CANCELLED
    await until(lambda: {1, 99} <= set(stage.journal.kept))
    assert stage.journal.kept[1].recipients[0].state == "bounced"
    assert stage.courier.count("li@client.test") == 1


async def test_cancel_with_nobody_to_tell_says_discarded(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"))
    await operate(stage, Action.CANCEL, MailFilter(numbers=(1,)))
    await until(lambda: 1 in stage.journal.kept)
    assert stage.journal.kept[1].recipients[0].state == "discarded"


async def test_silent_cancel_writes_no_notice(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"))
    before = len(stage.tidings.told)
    await operate(stage, Action.CANCEL, MailFilter(numbers=(1,)), silent=True)
    assert len(stage.tidings.told) == before
    await until(lambda: 1 in stage.journal.kept)
    assert stage.journal.kept[1].recipients[0].state == "discarded"


async def test_cancelled_mail_that_must_not_be_told_of_is_held_instead(stage: Stage) -> None:
    def hold(about: Message, settled: Settled) -> list[Message]:
        for delivery, _ in settled.failed:
            delivery.state, delivery.end = DeliveryState.HELD, ""
        return []

    await defer(stage, message(1, "ann@there.test"))
    stage.tidings.answer = hold
    tally = await operate(stage, Action.CANCEL, MailFilter(numbers=(1,)))
    assert (tally.count, tally.kept) == (0, 1)
    assert await states(stage, 1) == [DeliveryState.HELD]


async def test_only_the_recipients_that_fit_are_touched(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test", "bob@else.test"))
    await operate(stage, Action.HOLD, MailFilter(recipient="@else.test"))
    assert await states(stage, 1) == [DeliveryState.WAITING, DeliveryState.HELD]


async def test_dry_run_counts_and_shows_and_changes_nothing(stage: Stage) -> None:
    await defer(stage, *(message(n, f"u{n}@there.test") for n in range(1, 31)))
    tally = await operate(stage, Action.CANCEL, MailFilter(group="there.test"), dry_run=True)
    assert tally.count == 30
    assert len(tally.examples) == 20
    assert tally.examples[0].mail_from == "li@client.test"
    assert await states(stage, 1) == [DeliveryState.WAITING]
    assert stage.journal.changes == []


async def test_pages_reach_all_of_a_long_queue(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surgery, "PAGE", 7)
    due = stage.clock.now() + 3600.0
    for n in range(1, 51):
        await stage.spool.accept_wait(waiting(n, due, "there.test", "a@there.test", "b@there.test"))
    tally = await operate(stage, Action.HOLD, MailFilter(group="there.test"))
    assert tally.count == 100
    assert stage.queue.active == {}, "nothing is left in memory"
    assert {tuple(await states(stage, n)) for n in range(1, 51)} == {
        (DeliveryState.HELD, DeliveryState.HELD)
    }


async def test_change_is_journaled_with_who_what_and_which(stage: Stage) -> None:
    await defer(stage, message(1, "ann@there.test"))
    await operate(stage, Action.HOLD, MailFilter(recipient="@there.test", sender="li@client.test"))
    await until(lambda: bool(stage.journal.changes))
    (change,) = stage.journal.changes
    assert (change.author, change.action) == ("cli:wang", "queue.hold")
    assert change.subject == "from li@client.test, to @there.test"
    assert change.detail.startswith("1 deliveries")
    assert change.related == (1,)


async def test_mail_due_while_it_is_held_is_never_tried(stage: Stage) -> None:
    """A claim and a hold may read the same rows at the same moment; the hold must win."""
    for n in range(1, 41):
        await stage.spool.accept_wait(waiting(n, stage.clock.now() + 60.0, "there.test"))
    stage.queue.groups.note_due("there.test", stage.clock.now() + 60.0)
    stage.clock.advance(61.0)
    stage.courier.gates["there.test"] = asyncio.Event()
    held = asyncio.ensure_future(operate(stage, Action.HOLD, MailFilter(group="there.test")))
    stage.queue.run_due()
    await until(lambda: not stage.queue.groups["there.test"].is_claiming)
    tally = await held
    stage.courier.gates["there.test"].set()
    await until(lambda: not stage.queue._tasks)
    assert tally.count + tally.busy == 40
    assert len(stage.courier.tries) == tally.busy


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (MailFilter(sender="li@client.test"), True),
        (MailFilter(sender="LI@client.test"), True),
        (MailFilter(sender="@client.test"), True),
        (MailFilter(sender="@lient.test"), False),
        (MailFilter(sender="<>"), False),
        (MailFilter(recipient="ann@there.test"), True),
        (MailFilter(recipient="@there.test", sender="x@client.test"), False),
        (MailFilter(account="li"), False),
        (MailFilter(numbers=(2, 3)), False),
        (MailFilter(), True),
    ],
)
def test_filter_fits(wanted: MailFilter, *, fits: bool) -> None:
    made = message(1, "ann@there.test")
    found = wanted.fits_message(made) and wanted.fits_delivery(made.deliveries[0])
    assert found is fits


def test_alias_is_found_by_the_name_that_was_written_and_by_where_it_goes() -> None:
    made = message(1, "ann@there.test")
    made.deliveries[0].original = "team@here.test"
    for address in ("team@here.test", "ann@there.test", "@here.test"):
        assert MailFilter(recipient=address).fits_delivery(made.deliveries[0])


def test_null_sender_is_found_by_its_brackets() -> None:
    assert MailFilter(sender="<>").fits_message(message(1, sender=""))


async def test_what_a_rule_holds_is_not_for_the_queue_to_release(stage: Stage) -> None:
    made = message(1)
    made.deliveries[0].state = DeliveryState.HELD
    made.deliveries[0].held_for = "rule.hold"
    await stage.accept(made)
    for action in (Action.RELEASE, Action.CANCEL, Action.REROUTE):
        assert (await operate(stage, action, MailFilter())).count == 0
    assert await states(stage, 1) == [DeliveryState.HELD]


async def test_quarantined_mail_is_released_and_delivered_at_once(stage: Stage) -> None:
    made = message(1)
    made.deliveries[0].state = DeliveryState.HELD
    made.deliveries[0].held_for = "rule.hold"
    await stage.accept(made)
    await stage.restart()
    wanted = MailFilter(numbers=(1,), quarantined=True)
    assert (await operate(stage, Action.RELEASE, wanted)).count == 1
    await until(lambda: 1 in stage.journal.kept, "the conversation to be told")
    assert [record.state for record in stage.journal.kept[1].recipients] == ["delivered"]
