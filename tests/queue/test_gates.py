"""Groups that are dead, suspended or back again, on a real spool in virtual time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.queue.stage import DELIVERED, GREYLISTED, SILENT, UNKNOWN, Stage, smtp
from tests.spool.mail import message, until, waiting

from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.paths import GroupMood
from postern.mail.reply import reply
from postern.mail.route import NoRoute, SmtpRoute
from postern.queue.drain import MOST_BAD
from postern.queue.retry import GREYLIST_TRIES
from postern.queue.suspension import Suspension
from postern.queue.throttles import load_throttles
from postern.spool.message import DeliveryState

HOUR_S = 3600.0
DAY_S = 86_400.0
MANY = 150
FULL = Deferred(reply(452, "4.2.2", "mailbox full"), Cause.REPLY, "mx.there.test")
TOO_FAST = Deferred(
    reply(421, "4.7.28", "an unusual rate of mail from your address"), Cause.REPLY, "mx.google.com"
)


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = await Stage(tmp_path, throttles=load_throttles()).open()
    yield stage
    await stage.close()


async def fill(stage: Stage, group: str, count: int, *, first: int = 1000) -> None:
    """Mail that waits on disk for a group, all of it due now."""
    now = stage.clock.now()
    rows = (waiting(first + n, now, group, f"u{n}@{group}") for n in range(count))
    await stage.accept(*rows)


def script(stage: Stage, group: str, outcome: Deferred, count: int = MANY) -> None:
    stage.courier.script = {f"u{n}@{group}": [outcome] for n in range(count)}


async def live(stage: Stage, seconds: float, step_s: float) -> None:
    """Let time pass, and what is due be done."""
    passed = 0.0
    while passed < seconds:
        await stage.advance(step_s)
        passed += step_s


async def open_up(stage: Stage, count: int) -> float:
    """Until so many more have been tried; the virtual seconds that took."""
    wanted, began = len(stage.courier.tries) + count, stage.clock.now()
    while len(stage.courier.tries) < wanted:
        assert stage.clock.now() - began < HOUR_S, "waiting mail does not go"
        await stage.advance(1.0)
    return stage.clock.now() - began


async def test_a_dead_group_costs_one_try_at_a_time_and_few_of_them(stage: Stage) -> None:
    script(stage, "dead.test", SILENT)
    await fill(stage, "dead.test", MANY)
    await live(stage, HOUR_S, 30.0)
    assert stage.courier.most["dead.test"] <= 2
    assert 10 < len(stage.courier.tries) < 40
    assert len(stage.queue.active) == 0
    (line,) = await stage.spool.groups()
    assert line.count == MANY


async def test_tries_of_a_dead_group_fall_on_one_message_after_the_other(stage: Stage) -> None:
    script(stage, "dead.test", SILENT)
    await fill(stage, "dead.test", MANY)
    await live(stage, HOUR_S, 30.0)
    tried = {address for _, address in stage.courier.tries}
    assert len(tried) == len(stage.courier.tries)


async def test_fresh_mail_for_a_dead_group_waits_on_disk_untried(stage: Stage) -> None:
    script(stage, "dead.test", SILENT)
    await fill(stage, "dead.test", 20)
    await live(stage, 600.0, 10.0)
    tries = len(stage.courier.tries)
    stage.courier.script["new@dead.test"] = [SILENT]
    await stage.accept(message(1, "new@dead.test", at=stage.clock.now()))
    await stage.settle()
    assert len(stage.courier.tries) == tries
    found = await stage.spool.standing([1])
    assert [(d.state, d.group, d.tries) for d in found[1]] == [
        (DeliveryState.WAITING, "dead.test", 0)
    ]


async def test_the_first_success_lets_all_go_at_a_growing_pace(stage: Stage) -> None:
    script(stage, "dead.test", SILENT)
    await fill(stage, "dead.test", MANY)
    await live(stage, HOUR_S, 30.0)
    stage.courier.script = {}
    while not stage.queue.attempts["delivered"]:
        await stage.advance(1.0)
    begun = len(stage.courier.tries)
    await live(stage, 5.0, 1.0)
    assert 3 <= len(stage.courier.tries) - begun <= 10  # about one a second at first
    left = MANY - stage.queue.attempts["delivered"]
    assert await open_up(stage, left) < 60.0
    await stage.settle()
    assert stage.queue.attempts["delivered"] == MANY
    assert await stage.spool.groups() == []


async def test_news_that_a_group_is_well_lets_its_mail_go_before_its_time(stage: Stage) -> None:
    script(stage, "there.test", SILENT)
    await fill(stage, "there.test", 20)
    await live(stage, HOUR_S, 60.0)
    stage.courier.script = {}
    tries = len(stage.courier.tries)
    stage.queue.gates.group_changed("there.test", GroupMood.OPEN)
    await stage.settle()
    assert len(stage.courier.tries) > tries
    assert await open_up(stage, 19) < 30.0


async def test_what_fails_again_while_its_group_drains_waits_its_own_time(stage: Stage) -> None:
    script(stage, "there.test", FULL)
    await fill(stage, "there.test", 20)
    await stage.settle()
    assert len(stage.courier.tries) == 20
    await stage.advance(1.0)
    stage.queue.gates.group_changed("there.test", GroupMood.OPEN)
    await live(stage, 60.0, 1.0)
    assert len(stage.courier.tries) == 40  # each once, whatever its next try was
    await live(stage, 100.0, 1.0)
    assert len(stage.courier.tries) == 40


async def test_what_was_greylisted_waits_though_its_group_opens(stage: Stage) -> None:
    script(stage, "there.test", GREYLISTED)
    await fill(stage, "there.test", 3)
    await stage.settle()
    assert len(stage.courier.tries) == 3
    await stage.advance(1.0)
    stage.queue.gates.group_changed("there.test", GroupMood.OPEN)
    await live(stage, 60.0, 1.0)
    assert len(stage.courier.tries) == 3
    await live(stage, 300.0, 30.0)
    assert len(stage.courier.tries) == 6


async def test_what_is_put_off_time_and_again_is_not_greylisted_and_goes_when_its_group_opens(
    stage: Stage,
) -> None:
    script(stage, "there.test", GREYLISTED, 1)
    await fill(stage, "there.test", 1)
    await live(stage, DAY_S, HOUR_S / 2)
    tries = len(stage.courier.tries)
    assert tries > GREYLIST_TRIES
    await stage.advance(1.0)
    stage.queue.gates.group_changed("there.test", GroupMood.OPEN)
    await live(stage, 3.0, 1.0)
    assert len(stage.courier.tries) == tries + 1


async def test_recipients_that_are_refused_do_not_end_a_drain(stage: Stage) -> None:
    script(stage, "there.test", SILENT, 1)
    await fill(stage, "there.test", 1)
    await stage.settle()
    stage.courier.script = {f"u{n}@there.test": [UNKNOWN] for n in range(1, MOST_BAD + 50)}
    group = stage.queue.groups["there.test"]
    now = stage.clock.now()
    later = (waiting(2000 + n, now + DAY_S, group.name, f"u{n}@there.test") for n in range(1, 250))
    await stage.accept(*later)
    stage.queue.gates.group_changed("there.test", GroupMood.OPEN)
    assert await open_up(stage, 249) < 120.0


async def test_what_may_have_arrived_waits_though_its_group_opens(stage: Stage) -> None:
    lost = Deferred(reply(451, "4.4.2", "cut off"), Cause.LOST_AFTER_DOT, "", Whose.BETWEEN)
    script(stage, "there.test", lost)
    await fill(stage, "there.test", 3)
    await stage.settle()
    assert len(stage.courier.tries) == 3
    await stage.advance(1.0)
    stage.queue.gates.group_changed("there.test", GroupMood.OPEN)
    await live(stage, 60.0, 1.0)
    assert len(stage.courier.tries) == 3


async def test_news_that_nothing_answers_leaves_one_try_at_a_time(stage: Stage) -> None:
    script(stage, "there.test", GREYLISTED)
    await fill(stage, "there.test", 1)
    await stage.settle()
    stage.queue.gates.group_changed("there.test", GroupMood.SHUT)
    script(stage, "there.test", SILENT)
    await fill(stage, "there.test", 20, first=2000)
    await live(stage, 60.0, 1.0)
    assert stage.courier.most["there.test"] == 1
    assert len(stage.courier.tries) < 10


async def test_a_person_s_wish_to_try_again_does_not_wait_for_the_next_try(stage: Stage) -> None:
    script(stage, "dead.test", SILENT)
    await fill(stage, "dead.test", 20)
    await live(stage, HOUR_S, 30.0)
    tries = len(stage.courier.tries)
    stage.queue.gates.try_now("dead.test")
    stage.queue.fetch(stage.queue.groups["dead.test"])
    await stage.settle()
    assert len(stage.courier.tries) == tries + 1


async def test_what_no_server_was_asked_for_neither_shuts_nor_opens_a_group(stage: Stage) -> None:
    not_allowed = Deferred(
        reply(451, "4.7.5", "not in its policy"), Cause.TLS, whose=Whose.RECIPIENT
    )
    unsafe = Deferred(reply(451, "4.7.10", "must be encrypted"), Cause.UNENCRYPTED)
    stage.router.routes = {
        "strict.test": NoRoute("provider.test", not_allowed),
        "unsafe.test": NoRoute("dead.test", unsafe),
    }
    await stage.accept(*(message(n, f"u{n}@strict.test") for n in range(1, 10)))
    await stage.settle()
    assert not stage.queue.groups["provider.test"].pace.is_shut
    stage.queue.groups["dead.test"].pace.shut(stage.clock.now())
    await stage.accept(message(10, "u@unsafe.test"))
    await live(stage, 3.0, 1.0)
    await stage.settle()
    found = await stage.spool.standing([10])
    assert found[10][0].cause == Cause.UNENCRYPTED.value  # it had its turn
    assert stage.queue.groups["dead.test"].pace.is_shut


async def test_a_relay_whose_certificate_is_wrong_is_shut(stage: Stage) -> None:
    mistrusted = Deferred(reply(451, "4.7.5", "not its name"), Cause.TLS, whose=Whose.RECIPIENT)
    script(stage, "relay:us1", mistrusted, 20)
    await fill(stage, "relay:us1", 20)
    await live(stage, 60.0, 1.0)
    pace = stage.queue.groups["relay:us1"].pace
    assert (pace.is_shut, pace.because) == (True, "451 4.7.5 not its name")
    assert len(stage.courier.tries) < 10


async def test_other_groups_are_not_touched_by_a_dead_one(stage: Stage) -> None:
    script(stage, "dead.test", SILENT)
    await fill(stage, "dead.test", MANY)
    await live(stage, 120.0, 10.0)
    await stage.accept(*(message(n, f"li{n}@well.test") for n in range(1, 21)))
    await stage.settle()
    assert sum("well.test" in address for _, address in stage.courier.tries) == 20


# --- suspended ------------------------------------------------------------------------------------


def suspend(stage: Stage, group: str, for_s: float | None = None) -> None:
    now = stage.clock.now()
    until_at = None if for_s is None else now + for_s
    stage.queue.gates.suspend({group: Suspension(group, "ticket 812", now, until_at, "Q1")})


async def test_nothing_of_a_suspended_group_is_tried_until_it_is_resumed(stage: Stage) -> None:
    await fill(stage, "there.test", 3)
    suspend(stage, "there.test")
    await stage.accept(message(1, "li@there.test", at=stage.clock.now()))
    await live(stage, DAY_S, HOUR_S)
    assert stage.courier.tries == []
    stage.queue.gates.suspend({})
    assert await open_up(stage, 4) < 10.0


async def test_a_suspension_ends_by_itself(stage: Stage) -> None:
    await fill(stage, "there.test", 2)
    suspend(stage, "there.test", for_s=2 * HOUR_S)
    await live(stage, 2 * HOUR_S - 60.0, 60.0)
    assert stage.courier.tries == []
    await live(stage, 120.0, 10.0)
    assert len(stage.courier.tries) == 2


async def test_a_suspension_holds_for_mail_that_comes_later(stage: Stage) -> None:
    suspend(stage, "there.test")
    await stage.accept(message(1, "li@there.test"), message(2, "li@other.test"))
    await stage.settle()
    assert [address for _, address in stage.courier.tries] == ["li@other.test"]


async def test_a_provider_s_words_suspend_its_group_for_as_long_as_the_table_says(
    stage: Stage,
) -> None:
    stage.courier.script = {"u0@google": [TOO_FAST, DELIVERED]}
    await fill(stage, "google", 1)
    await stage.settle()
    suspension = stage.queue.groups["google"].suspension
    assert suspension is not None
    assert suspension.until == stage.clock.now() + 1800.0
    assert "4.7.28" in suspension.reason
    await stage.accept(message(1, "new@google", at=stage.clock.now()))
    await live(stage, 1790.0, 10.0)
    assert len(stage.courier.tries) == 1
    await live(stage, 30.0, 10.0)
    assert len(stage.courier.tries) == 3


async def test_the_same_words_soon_after_keep_it_away_for_twice_as_long(stage: Stage) -> None:
    stage.courier.script = {"u0@google": [TOO_FAST]}
    await fill(stage, "google", 1)
    await live(stage, 1900.0, 10.0)
    suspension = stage.queue.groups["google"].suspension
    assert suspension is not None
    assert suspension.until == pytest.approx(suspension.since + 3600.0)


async def test_the_same_words_from_a_group_of_no_provider_only_slow_it_down(stage: Stage) -> None:
    stage.courier.script = {"u0@small.test": [TOO_FAST]}
    await fill(stage, "small.test", 1)
    await stage.settle()
    group = stage.queue.groups["small.test"]
    assert group.suspension is None
    assert group.pace.allowed == 1.0


async def test_a_provider_that_takes_mail_for_one_recipient_is_not_suspended_for_another(
    stage: Stage,
) -> None:
    stage.router.routes = {"a.test": smtp("google"), "b.test": smtp("google")}
    stage.courier.script = {"x@a.test": [TOO_FAST], "y@b.test": [DELIVERED]}
    await stage.accept(message(1, "x@a.test", "y@b.test"))
    await stage.settle()
    assert len(stage.courier.works) == 1
    assert stage.queue.groups["google"].suspension is None


async def test_the_words_that_suspend_are_those_of_the_reply_that_asks_for_less(
    stage: Stage,
) -> None:
    other = Deferred(reply(421, "4.7.0", "try later"), Cause.REPLY, "mx.google.com")
    told = Refused(reply(550, "5.1.1", "4.7.28 is no such user"), Cause.REPLY, "mx.google.com")
    stage.courier.script = {"x@google": [told], "y@google": [other]}
    await stage.accept(message(1, "x@google", "y@google"))
    await stage.settle()
    assert len(stage.courier.works) == 1
    assert stage.queue.groups["google"].suspension is None


async def test_a_person_lifts_what_postern_suspended(stage: Stage) -> None:
    stage.courier.script = {"u0@google": [TOO_FAST, DELIVERED]}
    await fill(stage, "google", 1)
    await stage.settle()
    await stage.advance(1.0)
    assert stage.queue.gates.resume("google")
    assert not stage.queue.gates.resume("google")
    await until(lambda: stage.queue.attempts["delivered"] == 1)


# --- expiry ---------------------------------------------------------------------------------------


async def test_mail_of_a_dead_group_leaves_by_its_expiry_tried_or_not(stage: Stage) -> None:
    script(stage, "dead.test", SILENT)
    await fill(stage, "dead.test", 60)
    await live(stage, 5 * DAY_S, HOUR_S)
    await live(stage, 300.0, 60.0)
    await until(lambda: len(stage.journal.kept) == 60)
    assert {c.recipients[0].state for c in stage.journal.kept.values()} == {"bounced"}
    told = [settled for _, settled, _ in stage.tidings.told if settled.failed]
    assert {outcome.cause for settled in told for _, outcome in settled.failed} == {Cause.EXPIRED}
    assert len(stage.courier.tries) < 5 * 24 + 20  # one for each step of time, and no wave


async def test_mail_of_a_suspended_group_leaves_by_its_expiry(stage: Stage) -> None:
    suspend(stage, "there.test")
    await fill(stage, "there.test", 5)
    await stage.accept(message(1, "new@there.test", at=stage.clock.now()))
    await live(stage, 5 * DAY_S - HOUR_S, HOUR_S)
    assert stage.journal.kept == {}
    await live(stage, 2 * HOUR_S, 600.0)
    await until(lambda: len(stage.journal.kept) == 6)
    assert {c.recipients[0].state for c in stage.journal.kept.values()} == {"bounced"}
    assert stage.courier.tries == []
    assert stage.queue.active == {}


# --- greylisted -----------------------------------------------------------------------------------


@pytest.mark.parametrize("first_through", ["direct", "us1"])
async def test_a_greylisted_message_returns_through_the_egress_that_was_told_to(
    stage: Stage, first_through: str
) -> None:
    stage.courier.script["li@there.test"] = [GREYLISTED, SILENT, DELIVERED]
    stage.courier.egress = first_through
    await stage.accept(message(1, "li@there.test"))
    await stage.settle()
    stage.courier.egress = ""
    await stage.advance(331.0)
    await stage.advance(HOUR_S)  # silent is no greylisting: the third goes the usual way
    ways = [w.route.egress.name for w in stage.courier.works if isinstance(w.route, SmtpRoute)]
    assert ways == ["direct", first_through, "direct"]


async def test_a_greylisted_message_goes_the_usual_way_once_the_other_egress_is_no_more(
    stage: Stage,
) -> None:
    stage.courier.script["li@there.test"] = [GREYLISTED, DELIVERED]
    stage.courier.egress = "gone"
    await stage.accept(message(1, "li@there.test"))
    await stage.settle()
    stage.courier.egress = ""
    stage.router.no_egresses = {"gone"}
    await stage.advance(331.0)
    await until(lambda: stage.queue.attempts["delivered"] == 1)
