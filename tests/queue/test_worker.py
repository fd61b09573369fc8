"""The conductor: each delivery tried when it is due, once at a time, and never forgotten."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests.queue.stage import DELIVERED, GREYLISTED, SILENT, UNKNOWN, Stage, smtp
from tests.spool.mail import message, until, waiting

from postern.mail.envelope import Notify, TlsWish
from postern.mail.outcome import Cause
from postern.queue import ways
from postern.spool.message import DeliveryState, Message
from postern.spool.store.file import SpoolFile

HOUR_S = 3600.0
DAY_S = 86_400.0


async def test_fresh_mail_goes_out_at_once_and_ends_in_the_journal(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    await stage.accept(message(1, "wang@here.test", "li@there.test"))
    await until(lambda: 1 in stage.journal.kept)
    assert sorted(stage.courier.tries) == [(1, "li@there.test"), (1, "wang@here.test")]
    assert [r.state for r in stage.journal.kept[1].recipients] == ["delivered", "delivered"]
    assert not stage.queue.active
    await stage.close()


async def test_deferred_mail_is_tried_again_when_due_and_not_before(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    stage.courier.script["li@there.test"] = [GREYLISTED, DELIVERED]
    await stage.accept(message(1, "li@there.test"))
    await stage.settle()
    await stage.advance(200)
    assert len(stage.courier.tries) == 1
    await stage.advance(140)
    assert len(stage.courier.tries) == 2
    await until(lambda: 1 in stage.journal.kept)
    assert len(stage.journal.kept[1].attempts) == 2
    await stage.close()


async def test_mail_leaves_at_its_expiry_with_a_last_try(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    stage.courier.script["li@there.test"] = [GREYLISTED]
    await stage.accept(message(1, "li@there.test"))
    await stage.settle()
    for _ in range(5 * 24 * 2):
        await stage.advance(HOUR_S / 2)
    await until(lambda: 1 in stage.journal.kept)
    assert stage.journal.kept[1].recipients[0].state == "bounced"
    _, settled, _ = stage.tidings.told[-1]
    (delivery, outcome) = settled.failed[0]
    assert outcome.cause is Cause.EXPIRED
    assert settled.last[delivery.n] == GREYLISTED
    assert 25 < stage.courier.count("li@there.test") < 45
    await stage.close()


async def test_a_burst_for_a_quick_group_has_more_sessions_as_it_answers(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    pace = stage.queue.groups["there.test"].pace
    pace.is_proven = True
    stage.courier.turns = asyncio.Semaphore(0)
    await stage.accept(*(message(n, f"u{n}@there.test") for n in range(1, 101)))
    await until(lambda: stage.courier.running.get("there.test") == 2)
    for _ in range(40):
        stage.courier.turns.release()
    await until(lambda: stage.queue.attempts["delivered"] == 40)
    assert stage.courier.running["there.test"] > 10
    for _ in range(60):
        stage.courier.turns.release()
    await until(lambda: stage.queue.attempts["delivered"] == 100)
    await stage.close()


async def test_after_a_restart_who_is_met_first_does_not_stand_behind_dead_groups(
    tmp_path: Path,
) -> None:
    stage = await Stage(tmp_path, slots=8).open()
    dead = [f"dead{n}.test" for n in range(40)]
    for number, name in enumerate(dead, 1):
        stage.courier.script[f"a@{name}"] = [SILENT]
        await stage.accept(message(number, f"a@{name}", at=stage.clock.now()))
    await stage.settle()
    await stage.restart()
    stage.courier.gates = {name: asyncio.Event() for name in dead}
    await stage.advance_only(HOUR_S)
    await until(lambda: sum(stage.courier.running.get(name, 0) for name in dead) == 6)
    await stage.accept(message(100, "li@there.test"))
    await until(lambda: stage.queue.attempts["delivered"] == 1)
    for gate in stage.courier.gates.values():
        gate.set()
    await until(lambda: stage.queue.attempts["deferred"] == 40)
    await stage.close()


async def test_tenants_of_one_provider_with_other_hosts_never_share_a_transaction(
    tmp_path: Path,
) -> None:
    stage = await Stage(tmp_path).open()
    stage.router.routes = {
        "a.test": smtp("outlook.test", "a.mail.outlook.test"),
        "b.test": smtp("outlook.test", "b.mail.outlook.test"),
        "c.test": smtp("outlook.test", "a.mail.outlook.test"),
    }
    await stage.accept(message(1, "x@a.test", "y@b.test", "z@c.test"))
    await stage.settle()
    together = sorted(
        sorted(d.recipient.address.domain for d in work.deliveries) for work in stage.courier.works
    )
    assert together == [["a.test", "c.test"], ["b.test"]]
    await stage.close()


@pytest.mark.parametrize("wish", [TlsWish.NONE, TlsWish.REQUIRETLS])
async def test_what_holds_for_one_domain_is_not_done_to_another_of_the_same_hosts(
    tmp_path: Path, wish: TlsWish
) -> None:
    stage = await Stage(tmp_path).open()
    for domain in ("a.test", "b.test", "c.test"):
        route = replace(smtp("outlook.test", "a.mail.outlook.test"), domain=domain)
        stage.router.routes[domain] = replace(route, is_apart=domain == "a.test")
    sent = message(1, "x@a.test", "y@b.test", "z@c.test", "u@a.test")
    sent.tls_wish = wish
    await stage.accept(sent)
    await stage.settle()
    together = sorted(
        sorted(d.recipient.address.domain for d in work.deliveries) for work in stage.courier.works
    )
    others = [["b.test", "c.test"]] if wish is TlsWish.NONE else [["b.test"], ["c.test"]]
    assert together == [["a.test", "a.test"], *others]
    await stage.close()


async def test_recipients_are_split_into_transactions_of_bounded_size(tmp_path: Path) -> None:
    stage = await Stage(tmp_path, recipients_per_transaction=3).open()
    await stage.accept(message(1, *(f"u{n}@there.test" for n in range(8))))
    await stage.settle()
    assert sorted(len(work.deliveries) for work in stage.courier.works) == [2, 3, 3]
    await stage.close()


async def test_a_domain_with_slow_dns_does_not_hold_up_other_recipients(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    gate = stage.router.slow["slow.test"] = asyncio.Event()
    await stage.accept(message(1, "a@slow.test", "b@fast.test"))
    await until(lambda: stage.courier.count("b@fast.test") == 1)
    assert stage.courier.count("a@slow.test") == 0
    gate.set()
    await until(lambda: 1 in stage.journal.kept)
    assert Counter(stage.courier.tries).most_common(1)[0][1] == 1
    await stage.close()


async def test_a_group_never_holds_more_than_its_share(tmp_path: Path) -> None:
    stage = await Stage(tmp_path, slots=8, group_share=0.25).open()
    gate = stage.courier.gates["slow.test"] = asyncio.Event()
    await stage.accept(*(message(n, f"u{n}@slow.test") for n in range(20)))
    await stage.accept(message(100, "x@fast.test"))
    await until(lambda: 100 in stage.journal.kept)
    assert stage.courier.most["slow.test"] == 2
    gate.set()
    await until(lambda: len(stage.journal.kept) == 21)
    assert stage.queue.groups.used == 0
    await stage.close()


async def test_a_million_waiting_are_claimed_in_bounded_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scaled to 3,000: what one claim reads does not depend on how many wait."""
    stage = Stage(tmp_path, slots=8, group_share=0.5)
    first = await Stage(tmp_path).open()
    now = first.clock.now()
    rows = [
        waiting(n, now + 1000 + n / 1000, "there.test", f"u{n}@there.test") for n in range(3000)
    ]
    await asyncio.gather(*(first.spool.accept_wait(row) for row in rows))
    await first.close()

    loads: list[int] = []
    limits: list[int] = []
    real_load, real_due = SpoolFile.load, SpoolFile.due

    def load(self: SpoolFile, number: int) -> Message | None:
        loads.append(number)
        return real_load(self, number)

    def due(self: SpoolFile, group: str, at: float, limit: int) -> list[tuple[int, int]]:
        limits.append(limit)
        return real_due(self, group, at, limit)

    monkeypatch.setattr(SpoolFile, "load", load)
    monkeypatch.setattr(SpoolFile, "due", due)
    await stage.open()
    assert loads == []  # a restart reads no message, however many wait
    gate = stage.courier.gates["there.test"] = asyncio.Event()
    await stage.advance_only(2000)
    await until(lambda: stage.courier.running.get("there.test", 0) == 2)
    assert len(loads) <= 32
    assert len(stage.queue.active) <= 32
    gate.set()
    await until(lambda: len(stage.courier.tries) == 3000, within_s=30)
    await stage.settle()
    assert Counter(stage.courier.tries).most_common(1)[0][1] == 1
    assert max(limits) <= 64
    assert len(limits) < 3000 / 4
    await stage.close()


async def test_many_groups_due_at_once_do_not_fill_memory(tmp_path: Path) -> None:
    first = await Stage(tmp_path).open()
    now = first.clock.now()
    body = b"Subject: x\r\n\r\n" + b"x" * 10_000
    rows = []
    for n in range(300):
        row = waiting(n, now + 10, f"g{n}.test", f"u@g{n}.test")
        rows.append(message(n, f"u@g{n}.test", body=body))
        rows[-1].deliveries = row.deliveries
    await asyncio.gather(*(first.spool.accept_wait(row) for row in rows))
    await first.close()
    stage = await Stage(tmp_path, fresh_bytes=200_000, slots=4).open()
    gate = asyncio.Event()
    stage.courier.gates = {f"g{n}.test": gate for n in range(300)}
    await stage.advance_only(20)
    await until(lambda: sum(stage.courier.running.values()) == 3)
    assert len(stage.queue.active) < 40
    gate.set()
    await until(lambda: len(stage.courier.tries) == 300, within_s=20)
    await until(lambda: len(stage.journal.kept) == 300)
    await stage.close()


async def test_claims_do_not_spin_while_everything_due_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await Stage(tmp_path, slots=4, group_share=0.25).open()
    gate = stage.courier.gates["there.test"] = asyncio.Event()
    now = stage.clock.now()
    await stage.accept(*(waiting(n, now, "there.test", f"u{n}@there.test") for n in range(100)))
    calls = 0
    real = SpoolFile.due

    def due(self: SpoolFile, group: str, at: float, limit: int) -> list[tuple[int, int]]:
        nonlocal calls
        calls += 1
        return real(self, group, at, limit)

    monkeypatch.setattr(SpoolFile, "due", due)
    stage.queue.run_due()
    await until(lambda: stage.courier.running.get("there.test") == 1)
    for _ in range(50):
        stage.queue.run_due()
        await asyncio.sleep(0.002)
    assert calls <= 2
    gate.set()
    await until(lambda: len(stage.courier.tries) == 100)
    await stage.settle()
    assert Counter(stage.courier.tries).most_common(1)[0][1] == 1
    await stage.close()


async def test_mail_that_becomes_due_during_a_claim_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await Stage(tmp_path).open()
    now = stage.clock.now()
    await stage.accept(waiting(1, now, "there.test", "a@there.test"))
    real = stage.spool.claim
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(*arguments: object) -> object:
        claim = await real(*arguments)  # type: ignore[arg-type]  # passed on as they came
        reached.set()
        await go.wait()
        return claim

    monkeypatch.setattr(stage.spool, "claim", slow)
    stage.queue.run_due()
    await reached.wait()
    await stage.accept(waiting(2, now, "there.test", "b@there.test"))
    stage.queue.run_due()
    go.set()
    await until(lambda: stage.courier.count("b@there.test") == 1)
    await stage.settle()
    assert stage.courier.count("a@there.test") == 1
    await stage.close()


async def test_two_groups_claiming_one_message_share_its_only_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await Stage(tmp_path).open()
    now = stage.clock.now()
    made = waiting(1, now, "x", "a@one.test", "b@two.test")
    made.deliveries[0].group, made.deliveries[1].group = "one.test", "two.test"
    one, two = asyncio.Event(), asyncio.Event()
    stage.courier.gates = {"one.test": one, "two.test": two}
    await stage.accept(made)
    stage.queue.run_due()
    await until(lambda: len(stage.courier.tries) == 2)
    # The later claim must not have pushed out the copy that the earlier one works on.
    assert len(stage.queue.active) == 1
    held = stage.queue.active[1]
    assert all(d.busy for d in held.deliveries)
    one.set()
    await until(lambda: not held.deliveries[0].busy)
    stage.queue.groups.note_due("one.test", now)
    stage.queue.run_due()
    await until(lambda: not stage.queue.groups["one.test"].is_claiming)
    two.set()
    await until(lambda: 1 in stage.journal.kept)
    assert sorted(stage.courier.tries) == [(1, "a@one.test"), (1, "b@two.test")]
    await stage.close()


async def test_a_claim_never_sends_again_what_was_concluded_while_it_ran(tmp_path: Path) -> None:
    """Claims run without pause beside deliveries; each message is delivered exactly once."""
    stage = await Stage(tmp_path, slots=40).open()
    now = stage.clock.now()
    await stage.accept(*(waiting(n, now, "there.test", f"u{n}@there.test") for n in range(400)))
    while len(stage.journal.kept) < 400:
        stage.queue.groups.note_due("there.test", now)
        stage.queue.run_due()
        await asyncio.sleep(0)
    await stage.settle()
    assert len(stage.courier.tries) == 400
    await stage.close()


async def test_mail_of_a_dead_worker_is_sorted_and_delivered_after_the_restart(
    tmp_path: Path,
) -> None:
    stage = await Stage(tmp_path).open()
    await stage.spool.accept_wait(message(1, "wang@here.test", "li@there.test"))
    await stage.restart()  # accepted, never submitted: it was in the dead worker's memory
    stage.queue.run_due()
    await until(lambda: 1 in stage.journal.kept)
    assert sorted(stage.courier.tries) == [(1, "li@there.test"), (1, "wang@here.test")]
    await stage.close()


async def test_sorting_does_not_wait_for_one_slow_domain(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    gate = stage.router.slow["slow.test"] = asyncio.Event()
    await stage.spool.accept_wait(message(1, "a@slow.test"))
    await stage.spool.accept_wait(message(2, "b@fast.test"))
    await stage.restart()
    stage.queue.run_due()
    await until(lambda: 2 in stage.journal.kept)
    assert stage.courier.count("a@slow.test") == 0
    gate.set()
    await until(lambda: 1 in stage.journal.kept)
    await stage.close()


async def test_a_bug_in_delivery_delays_mail_and_never_loses_it(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    stage.courier.script["li@there.test"] = [RuntimeError("a bug"), DELIVERED]
    await stage.accept(message(1, "li@there.test"))
    await stage.settle()
    assert stage.queue.attempts["deferred"] == 1
    await stage.advance(400)
    await until(lambda: 1 in stage.journal.kept)
    assert stage.courier.count("li@there.test") == 2
    await stage.close()


async def test_a_route_that_is_given_up_delays_its_own_deliveries_and_no_others(
    tmp_path: Path,
) -> None:
    stage = await Stage(tmp_path).open()
    stage.router.dies = {"cut.test"}
    gate = stage.router.slow["slow.test"] = asyncio.Event()
    await stage.accept(message(1, "a@cut.test", "b@slow.test"))
    await until(lambda: stage.queue.attempts["deferred"] == 1, "the route that was given up")
    gate.set()
    await stage.settle()
    assert stage.courier.count("b@slow.test") == 1
    stage.router.dies.clear()
    await stage.advance(400)
    await until(lambda: 1 in stage.journal.kept)
    assert stage.courier.count("a@cut.test") == 1
    await stage.close()


async def test_a_route_that_is_given_up_while_sorting_leaves_no_mail_stuck(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    await stage.spool.accept_wait(message(1, "a@cut.test", "b@there.test"))
    await stage.restart()
    stage.router.dies = {"cut.test"}
    stage.queue.run_due()
    await until(lambda: stage.courier.count("b@there.test") == 1)
    stage.router.dies.clear()
    await stage.settle()
    await stage.advance(400)
    await until(lambda: 1 in stage.journal.kept)
    assert stage.courier.count("a@cut.test") == 1
    await stage.close()


async def test_a_bug_while_settling_leaves_no_slot_taken_and_no_mail_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await Stage(tmp_path).open()
    with monkeypatch.context() as patch:
        patch.setattr(stage.tidings, "moment_of_delay", None)
        await stage.accept(message(1, "li@there.test"))
        await stage.settle()
    assert stage.queue.groups.used == 0
    stage.courier.script["x@there.test"] = [DELIVERED]
    await stage.accept(message(2, "x@there.test"))
    await until(lambda: 2 in stage.journal.kept)
    await stage.close()


async def test_a_failure_that_can_not_be_told_waits_until_it_can(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    stage.courier.script["li@there.test"] = [UNKNOWN]

    def broken(about: Message, settled: object) -> list[Message]:
        raise RuntimeError("no notice today")

    stage.tidings.answer = broken
    await stage.accept(message(1, "li@there.test"))
    await stage.settle()
    assert 1 not in stage.journal.kept
    stage.tidings.answer = lambda about, settled: [message(2, "sender@client.test", sender="")]
    await stage.advance(301)
    await until(lambda: {1, 2} <= set(stage.journal.kept))
    assert stage.journal.kept[1].recipients[0].state == "bounced"
    await stage.close()


async def test_held_mail_stays_held_beyond_its_expiry(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    made = message(1)
    made.deliveries[0].state = DeliveryState.HELD
    await stage.accept(made)
    for _ in range(7):
        await stage.advance(DAY_S)
    await stage.restart()
    found = await stage.spool.find([DeliveryState.HELD])
    assert [m.id for m in found] == [1]
    assert stage.courier.tries == []
    await stage.close()


async def test_mail_whose_turn_never_comes_still_leaves_by_its_expiry(tmp_path: Path) -> None:
    stage = await Stage(tmp_path, slots=4, group_share=0.25).open()
    gate = stage.courier.gates["dead.test"] = asyncio.Event()
    now = stage.clock.now()
    await stage.accept(*(waiting(n, now, "dead.test", f"u{n}@dead.test") for n in range(60)))
    stage.queue.run_due()
    await until(lambda: stage.courier.running.get("dead.test") == 1)
    stage.courier.script = {f"u{n}@dead.test": [SILENT] for n in range(60)}
    stage.clock.advance(5 * DAY_S + 2 * HOUR_S)
    gate.set()
    await until(lambda: len(stage.journal.kept) == 60)
    # Those in memory had their try; the others went back without waiting for a lane each.
    assert len(stage.courier.tries) <= 20
    assert {c.recipients[0].state for c in stage.journal.kept.values()} == {"bounced"}
    await stage.close()


async def test_mail_beyond_the_memory_budget_waits_on_disk_and_goes_out_too(tmp_path: Path) -> None:
    stage = await Stage(tmp_path, fresh_bytes=20_000).open()
    gate = stage.courier.gates["there.test"] = asyncio.Event()
    for n in range(20):
        await stage.accept(message(n, f"u{n}@there.test"))
    assert len(stage.queue.active) < 8
    gate.set()
    stage.queue.run_due()
    await until(lambda: len(stage.courier.tries) == 20)
    await stage.settle()
    assert Counter(stage.courier.tries).most_common(1)[0][1] == 1
    await stage.close()


async def test_a_blocked_group_is_told_of_after_an_hour_with_a_try_of_its_own(
    tmp_path: Path,
) -> None:
    stage = await Stage(tmp_path, first_retry_s=3000.0).open()
    stage.courier.script["li@there.test"] = [SILENT]
    await stage.accept(message(1, "li@there.test"))
    await stage.settle()
    started = stage.clock.now()
    await stage.advance(3301)  # after the second try the next would come at 2.6 h
    assert stage.courier.count("li@there.test") == 2
    await stage.advance(started + HOUR_S - stage.clock.now())
    assert stage.courier.count("li@there.test") == 3
    assert stage.tidings.told[-1][2] is True
    await stage.close()


async def test_stopping_leaves_unfinished_mail_to_the_next_start(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    stage.courier.gates["there.test"] = asyncio.Event()
    await stage.accept(message(1, "li@there.test"), message(2, "wang@here.test"))
    await until(lambda: 2 in stage.journal.kept)
    await stage.restart()
    stage.courier.gates.clear()
    stage.queue.run_due()
    await until(lambda: 1 in stage.journal.kept)
    await stage.close()


async def test_an_alias_with_several_targets_is_expanded_once_before_it_is_sent_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await Stage(tmp_path).open()
    expanded: list[int] = []

    async def expand(about: Message) -> list[Message]:
        expanded.append(about.id)
        for delivery in about.deliveries:
            delivery.recipient = replace(delivery.recipient, notify=Notify.NEVER)
        return [message(2, "sender@client.test", sender="")]

    monkeypatch.setattr(stage.tidings, "expand", expand)
    made = message(1, "a@there.test", "b@there.test", notify=Notify.SUCCESS)
    for delivery in made.deliveries:
        delivery.index = 0
    await stage.accept(made)
    await until(lambda: {1, 2} <= set(stage.journal.kept))
    assert expanded == [1]
    (work,) = [work for work in stage.courier.works if work.message.id == 1]
    assert {d.recipient.notify for d in work.deliveries} == {Notify.NEVER}
    await stage.close()


async def test_an_overdue_message_after_a_long_stop_still_gets_its_last_try(tmp_path: Path) -> None:
    stage = await Stage(tmp_path).open()
    await stage.accept(waiting(1, stage.clock.now() + 60, "there.test", "li@there.test"))
    await stage.close()
    stage.clock.advance(10 * DAY_S)
    stage._build()
    await stage.open()
    stage.queue.run_due()
    await until(lambda: 1 in stage.journal.kept)
    assert stage.journal.kept[1].recipients[0].state == "delivered"
    await stage.close()


async def test_silent_domains_hold_up_the_sorting_of_their_message_together_not_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "SORT_S", 0.5)
    stage = await Stage(tmp_path).open()
    domains = {f"silent{n}.test" for n in range(100)}
    stage.router.slow = {domain: asyncio.Event() for domain in domains}
    addresses = [f"li@{domain}" for domain in sorted(domains)]
    await stage.accept(waiting(1, stage.clock.now(), "", *addresses, "li@there.test"))
    stage.queue.run_due()
    await until(lambda: domains <= set(stage.router.asked))
    (found,) = stage.queue.active.values()
    await until(lambda: all(delivery.group for delivery in found.deliveries))
    assert {delivery.group for delivery in found.deliveries} == {*domains, "there.test"}
    await stage.close()


async def test_what_was_released_does_not_share_a_transaction_with_what_was_not(
    tmp_path: Path,
) -> None:
    stage = await Stage(tmp_path).open()
    made = message(1, "a@there.test", "b@there.test", "c@there.test")
    made.deliveries[1].released = "today; by=cli:wang; was=spf.fail"
    await stage.accept(made)
    await until(lambda: 1 in stage.journal.kept)
    together = [[delivery.n for delivery in work.deliveries] for work in stage.courier.works]
    assert sorted(together) == [[0, 2], [1]]
    await stage.close()


async def test_one_group_s_fresh_mail_leaves_room_in_memory_for_others(tmp_path: Path) -> None:
    stage = await Stage(tmp_path, fresh_bytes=600_000).open()
    gate = stage.courier.gates["hole.test"] = asyncio.Event()
    for n in range(100):
        await stage.accept(message(n, f"u{n}@hole.test"))
    await until(lambda: len(stage.queue.active) <= 20, "the rest to be on disk")
    await stage.accept(message(500, "li@well.test"))
    await until(lambda: 500 in stage.journal.kept)
    gate.set()
    await until(lambda: len(stage.courier.tries) == 101, within_s=20)
    await stage.settle()
    assert Counter(stage.courier.tries).most_common(1)[0][1] == 1
    await stage.close()


async def test_mail_of_a_group_that_has_enough_in_memory_is_written_once_as_waiting(
    tmp_path: Path,
) -> None:
    stage = await Stage(tmp_path, fresh_bytes=600_000).open()
    stage.router.cached = True
    gate = stage.courier.gates["hole.test"] = asyncio.Event()
    for n in range(100):
        await stage.accept(message(n, f"u{n}@hole.test"))
    await until(lambda: len(stage.queue.active) <= 20, "the rest to be on disk")
    crowded, other = message(500, "li@hole.test"), message(501, "li@well.test")
    for made in (crowded, other):
        stage.queue.prepare(made)
    assert (crowded.deliveries[0].state, crowded.deliveries[0].group) == (
        DeliveryState.WAITING,
        "hole.test",
    )
    assert other.deliveries[0].state is DeliveryState.FRESH
    await stage.accept(crowded, other)
    gate.set()
    await until(lambda: len(stage.courier.tries) == 102, within_s=20)
    await stage.settle()
    late = message(502, "li@hole.test")
    stage.queue.prepare(late)
    assert late.deliveries[0].state is DeliveryState.FRESH, "there is room again"
    await stage.close()
