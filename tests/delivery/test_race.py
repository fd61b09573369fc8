"""Ways that race: who is begun when, who wins, what the losers do, and what is told of it all."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest
from tests.delivery.jobs import Looks, Watch, job, route, settings, until
from tests.delivery.scripted import OFFERED, Act, Script, peer
from tests.peers.certificates import self_signed
from tests.peers.process import free_port

from postern.delivery.job import JobResult
from postern.delivery.smtp import SmtpDelivery
from postern.mail.outcome import Cause, Deferred, Delivered
from postern.mail.paths import Observation, Sign
from postern.mail.paths import Path as MailPath
from postern.mail.route import Egress, Target, TlsDemand, TlsPolicy, Way
from postern.runtime.clock import FakeClock

DIRECT = Egress("direct")
RELAY = Egress("us1")


@dataclass
class Stage:
    """A delivery whose time stands still until told to move, and what it told of paths."""

    smtp: SmtpDelivery
    clock: FakeClock
    watch: Watch
    looks: Looks
    sending: list["asyncio.Task[JobResult]"] = field(default_factory=list)

    def begin(self, *ways: Way) -> "asyncio.Task[JobResult]":
        sending = asyncio.ensure_future(self.smtp.deliver(ways, job()))
        self.sending.append(sending)
        return sending

    async def pass_by(self, seconds: float) -> None:
        """Move the clock, and let the pool act on it."""
        self.clock.advance(seconds)
        await self.looks.some()


@asynccontextmanager
async def stage(**changes: object) -> AsyncIterator[Stage]:
    clock, watch = FakeClock(), Watch()
    smtp = SmtpDelivery(settings(tick_s=0.01, **changes), clock, watch)
    looks = Looks(smtp._pool)
    made = Stage(smtp, clock, watch, looks)
    try:
        yield made
    finally:
        smtp._pool.leave(looks)
        for sending in made.sending:
            sending.cancel()
        await asyncio.gather(*made.sending, return_exceptions=True)
        await smtp.close(0.5)
        assert smtp.open_connections == 0


def direct(*targets: Target, tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC) -> tuple[Way, ...]:
    return route(*targets, tls=tls)


def fallback(target: Target) -> Way:
    return Way(RELAY, target, is_fallback=True, group="relay:us1")


def dead() -> Target:
    return Target("dead.test", "127.0.0.1", free_port())


def silent() -> Script:
    """Takes the connection and never greets."""
    return Script(greeting=Act.IGNORE)


def held() -> Script:
    """Greets once ``hold`` is set."""
    return Script(hold=asyncio.Event())


def release(script: Script) -> None:
    assert script.hold is not None
    script.hold.set()


def is_delivered(result: JobResult) -> bool:
    return isinstance(result.outcomes[0], Delivered)


def deferral(result: JobResult) -> Deferred:
    outcome = result.outcomes[0]
    assert isinstance(outcome, Deferred), outcome
    return outcome


# The next way


async def test_second_way_starts_beside_one_that_has_not_greeted_for_three_seconds() -> None:
    async with peer(silent()) as first, peer() as second, stage() as on:
        sending = on.begin(*direct(first.target, second.target))
        await until(lambda: first.connections == 1)
        await on.pass_by(2.9)
        assert second.connections == 0
        assert on.watch.seen == []
        await on.pass_by(0.2)
        result = await sending
        assert is_delivered(result)
        assert on.watch.signs(first.target) == [(Sign.MUTE, False)]
        assert on.watch.signs(second.target) == [(Sign.ANSWERED, True)]
        assert on.watch.losers == [MailPath("direct", "127.0.0.1", first.port, True)]
    assert [r.outcome for r in result.attempts] == ["deferred", "delivered"]
    assert result.attempts[0].reply.endswith(
        "peer.test [127.0.0.1] gave no greeting within 3.1 s; went another way"
    )
    assert result.attempts[0].cause == "no-answer"


@contextmanager
def swallowing() -> Iterator[Target]:
    """An address whose SYNs are dropped, as a firewall does it: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield Target("mx.test", "127.0.0.1", port)
        finally:
            for each in waiting:
                each.close()


async def test_address_that_drops_packets_costs_three_seconds_and_is_let_go() -> None:
    with swallowing() as dark:
        async with peer() as second, stage() as on:
            sending = on.begin(*direct(dark, second.target))
            await until(lambda: on.smtp.open_connections == 1)
            await on.pass_by(3.1)
            assert is_delivered(await sending)
            await until(lambda: on.smtp.open_connections == 1)  # the one that rests
    assert on.watch.signs(dark) == [(Sign.SILENT, False)]


async def test_address_that_drops_packets_is_given_up_by_the_same_clock() -> None:
    with swallowing() as dark:
        async with stage() as on:
            sending = on.begin(*direct(dark))
            await until(lambda: on.smtp.open_connections == 1)
            await on.pass_by(19)
            assert not sending.done()
            await on.pass_by(2)
            outcome = deferral(await sending)
    assert outcome.cause is Cause.SILENT
    assert on.watch.signs() == [(Sign.SILENT, False), (Sign.SILENT, True)]


async def test_attempt_given_up_while_it_connects_leaves_nothing_open() -> None:
    with swallowing() as dark:
        async with stage() as on:
            sending = on.begin(*direct(dark, dark, dark))
            await until(lambda: on.smtp.open_connections == 1)
            await on.pass_by(3)
            await until(lambda: on.smtp.open_connections == 2)
            sending.cancel()
            await asyncio.wait([sending])
            await until(lambda: on.smtp.open_connections == 0)


async def test_closing_ends_what_connects_and_says_nothing_of_its_path() -> None:
    with swallowing() as dark:
        async with stage() as on:
            sending = on.begin(*direct(dark, dark))
            await until(lambda: on.smtp.open_connections == 1)
            await on.smtp.close(0.05)
            assert deferral(await sending).cause is Cause.LOCAL
    assert on.watch.signs() == []


async def test_next_way_starts_at_once_when_one_has_failed() -> None:
    async with peer(Script(greeting=Act.RESET)) as first, peer() as second, stage() as on:
        result = await on.begin(*direct(dead(), first.target, second.target))
    assert is_delivered(result)
    assert [sign for sign, _ in on.watch.signs()] == [Sign.REFUSED, Sign.RESET, Sign.ANSWERED]
    assert on.watch.losers == []


async def test_slow_one_that_greets_first_wins_and_the_other_never_says_mail() -> None:
    slow, slower = held(), held()
    async with peer(slow) as first, peer(slower) as second, stage() as on:
        sending = on.begin(*direct(first.target, second.target))
        await until(lambda: first.connections == 1)
        await on.pass_by(3)
        await until(lambda: second.connections == 1)
        release(slow)
        result = await sending
        release(slower)
        assert is_delivered(result)
        await until(lambda: on.smtp.open_connections == 1)
    assert len(first.messages) == 1
    assert second.commands == []
    # The second was given no time worth the name: it has neither lost nor failed.
    assert on.watch.losers == []
    assert on.watch.signs(second.target) == []
    assert [r.outcome for r in result.attempts] == ["delivered"]


async def test_loser_that_has_greeted_says_quit_and_no_mail() -> None:
    stuck = Script(answers={"EHLO": Act.IGNORE})
    async with peer(stuck) as first, peer() as second, stage() as on:
        sending = on.begin(*direct(first.target, second.target))
        await until(lambda: first.verbs() == ["EHLO"])
        await on.pass_by(5.9)
        assert second.connections == 0
        await on.pass_by(0.2)
        assert is_delivered(await sending)
        await until(lambda: first.verbs() == ["EHLO", "QUIT"])
    assert on.watch.signs(first.target) == [(Sign.SLOW, False)]


async def test_way_given_up_for_a_greeting_is_begun_again_when_that_comes_to_nothing() -> None:
    slow = held()
    second_script = Script(once={"MAIL": "421 4.3.2 not now"})
    async with peer(slow) as first, peer(second_script) as second, stage() as on:
        sending = on.begin(*direct(first.target, second.target))
        await until(lambda: first.connections == 1)
        await on.pass_by(3)
        await until(lambda: first.connections == 2)
        release(slow)
        result = await sending
    assert is_delivered(result)
    assert len(first.messages) == 1
    assert on.watch.signs(second.target) == [(Sign.ANSWERED, True), (Sign.THROTTLED, True)]
    assert [r.outcome for r in result.attempts] == ["deferred", "deferred", "delivered"]


async def test_no_more_than_four_are_open_at_a_time_and_all_are_closed_in_the_end() -> None:
    async with peer(silent()) as quiet, stage() as on:
        ways = direct(*[Target(f"mx{n}.test", "127.0.0.1", quiet.port) for n in range(9)])
        sending = on.begin(*ways)
        for _ in range(8):
            await on.pass_by(3)
        assert quiet.connections == 4
        sending.cancel()
        await asyncio.wait([sending])
        await until(lambda: on.smtp.open_connections == 0)


async def test_nothing_is_begun_once_the_budget_is_used_up() -> None:
    async with peer(silent()) as first, peer() as second, stage(attempt_budget_s=2) as on:
        sending = on.begin(*direct(first.target, second.target))
        await until(lambda: first.connections == 1)
        await on.pass_by(3)
        await on.pass_by(300)
        assert deferral(await sending).cause is Cause.SILENT
        assert second.connections == 0
    assert on.watch.signs(first.target) == [(Sign.MUTE, False), (Sign.MUTE, True)]


async def test_connection_that_rests_starts_no_race_and_tells_nothing() -> None:
    async with peer() as server, stage() as on:
        for _ in range(3):
            assert is_delivered(await on.begin(*direct(server.target)))
        assert server.connections == 1
        assert on.watch.signs() == [(Sign.ANSWERED, True)]
        (seen,) = on.watch.seen
        assert seen.path == MailPath("direct", "127.0.0.1", server.port, False)
        assert (seen.group, seen.host) == ("peer.test", "peer.test")


async def test_first_way_that_answers_makes_no_task() -> None:
    async with peer() as server, stage() as on:
        before = asyncio.all_tasks()
        sending = on.begin(*direct(server.target, dead()))
        await until(lambda: "DATA" in server.verbs())
        # The peer's own, and the one that delivers.
        assert len(asyncio.all_tasks() - before) <= 2
        assert is_delivered(await sending)


# A relay that is a fallback


async def test_relay_starts_at_once_when_every_direct_way_has_failed_by_the_network() -> None:
    async with peer(Script(greeting=Act.CLOSE)) as shut, peer() as relay, stage() as on:
        ways = (*direct(dead(), shut.target), fallback(relay.target))
        assert is_delivered(await on.begin(*ways))
    assert on.watch.signs(shut.target) == [(Sign.CLOSED, True)]
    assert on.watch.seen[-1].group == "relay:us1"
    assert on.watch.seen[-1].path.egress == "us1"


async def test_relay_starts_six_seconds_after_the_beginning_when_nothing_has_greeted() -> None:
    async with peer(silent()) as quiet, peer() as relay, stage() as on:
        ways = direct(*[Target(f"mx{n}.test", "127.0.0.1", quiet.port) for n in range(5)])
        sending = on.begin(*ways, fallback(relay.target))
        await until(lambda: quiet.connections == 1)
        await on.pass_by(3)
        await on.pass_by(2.9)
        assert relay.connections == 0
        await on.pass_by(0.2)
        result = await sending
        assert is_delivered(result)
        assert len(relay.messages) == 1
    assert quiet.messages == []
    assert result.attempts[-1].egress == "us1"


async def test_an_address_that_has_just_answered_a_test_comes_next_and_no_relay() -> None:
    async with peer(silent()) as quiet, peer() as good, peer() as relay, stage() as on:
        dead_ones = [Target(f"mx{n}.test", "127.0.0.1", quiet.port) for n in range(3)]
        on.watch.answering[good.port] = on.clock.now() - 60
        sending = on.begin(*direct(*dead_ones, good.target), fallback(relay.target))
        await until(lambda: quiet.connections == 1)
        await on.pass_by(3)
        await until(lambda: quiet.connections == 2)
        assert good.connections == 0, "what it answered before says nothing"
        on.watch.answering[good.port] = on.clock.now()
        await on.pass_by(3)
        result = await sending
    assert is_delivered(result)
    assert len(good.messages) == 1
    assert (quiet.connections, relay.connections) == (2, 0)


@asynccontextmanager
async def teasing(has_begun: asyncio.Event) -> AsyncIterator[Target]:
    """Says at once that it will greet, and does not come to its end (postscreen)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220-mx.test ESMTP one moment\r\n")
        has_begun.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Target("mx.test", "127.0.0.1", server.sockets[0].getsockname()[1])


async def test_server_that_has_begun_to_greet_is_slow_and_no_relay_steps_in() -> None:
    has_begun = asyncio.Event()
    async with teasing(has_begun) as target, peer() as relay, stage() as on:
        sending = on.begin(*direct(target), fallback(relay.target))
        await has_begun.wait()
        await on.looks.some()
        await on.pass_by(3.1)
        await on.pass_by(3.1)
        await on.pass_by(200)
        assert on.watch.signs() == [(Sign.SLOW, False)]
        assert not sending.done()
        await on.pass_by(100)
        deferral(await sending)
        assert on.watch.signs() == [(Sign.SLOW, False), (Sign.SLOW, True)]
    assert relay.connections == 0


async def test_relay_does_not_start_where_a_direct_way_has_greeted_in_time() -> None:
    slow = held()
    async with peer(slow) as first, peer() as relay, stage() as on:
        sending = on.begin(*direct(first.target), fallback(relay.target))
        await until(lambda: first.connections == 1)
        await on.pass_by(5)
        slow.answers = {"RCPT": Act.SILENCE}
        release(slow)
        await until(lambda: "RCPT" in first.verbs())
        await on.pass_by(10)
        assert not sending.done()
        assert relay.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        Script(greeting="421 4.3.2 busy"),
        Script(greeting="554 5.7.1 we do not like you"),
        Script(answers={"EHLO": "421 4.7.0 too many"}),
        Script(answers={"EHLO": Act.CLOSE}),
        Script(answers={"MAIL": "421 4.7.0 too many"}),
    ],
    ids=["greets 421", "greets 554", "says 421 to EHLO", "closes at EHLO", "says 421 to MAIL"],
)
async def test_nobodys_answer_is_dodged_by_a_relay(answer: Script) -> None:
    async with peer(silent()) as quiet, peer(answer) as loud, peer() as relay, stage() as on:
        sending = on.begin(*direct(quiet.target, loud.target), fallback(relay.target))
        await until(lambda: quiet.connections == 1)
        for seconds in (3, 3, 3, 30, 300, 3):
            await on.pass_by(seconds)
        deferral(await sending)
        assert loud.connections >= 1
        assert relay.connections == 0


async def test_relay_that_has_not_greeted_is_given_up_when_a_server_answers_after_all() -> None:
    slow, relay_script = held(), held()
    slow.greeting = "554 5.7.1 we do not like you"
    async with peer(slow) as first, peer(relay_script) as relay, stage() as on:
        sending = on.begin(*direct(first.target), fallback(relay.target))
        await until(lambda: first.connections == 1)
        await on.pass_by(6)
        await until(lambda: relay.connections == 1)
        release(slow)
        result = await sending
        release(relay_script)
        await until(lambda: on.smtp.open_connections == 0)
    assert deferral(result).reply.code == 554
    assert relay.commands == []


async def test_another_source_address_is_taken_for_the_networks_failures_alone() -> None:
    other = Egress("second", source_ip="127.0.0.2")
    async with peer() as good, peer(Script(greeting="554 no")) as loud, stage() as on:
        first = await on.begin(*direct(dead()), Way(other, good.target, group="peer.test"))
        second = await on.begin(*direct(loud.target), Way(other, good.target, group="peer.test"))
    assert is_delivered(first)
    assert [r.egress for r in first.attempts] == ["direct", "second"]
    assert deferral(second).reply.code == 554


@pytest.mark.parametrize("count", [9, 10, 15])
async def test_many_dead_addresses_leave_room_for_another_source_address(count: int) -> None:
    second = Egress("second")
    async with peer() as server, stage() as on:
        other = Way(second, server.target, group="peer.test")
        assert is_delivered(await on.begin(*direct(*[dead() for _ in range(count)]), other))
        assert len(on.watch.seen) == min(count, 10) + 1


async def test_resting_connection_to_the_relay_is_no_reason_to_take_it_first() -> None:
    async with peer() as server, peer() as relay, stage() as on:
        pinned = Way(RELAY, relay.target, group="relay:us1")
        assert is_delivered(await on.begin(pinned))
        assert is_delivered(await on.begin(*direct(server.target), fallback(relay.target)))
        assert len(server.messages) == 1
        # A connection does not ask whether it is somebody's last resort.
        assert is_delivered(await on.begin(pinned))
        assert relay.connections == 1


async def test_pinned_relay_that_locks_us_out_falls_back_to_the_direct_way() -> None:
    offered = (*OFFERED, "AUTH PLAIN")
    script = Script(offered=offered, answers={"AUTH": "535 5.7.8 wrong"})
    egress = Egress("us1", username="cn1", password="s3cret")
    async with (
        peer(script) as relay,
        peer() as server,
        stage(clear_auth_on_loopback=True) as on,
    ):
        pinned = Way(egress, relay.target, group="relay:us1")
        assert is_delivered(await on.begin(pinned, *direct(server.target)))
    assert on.watch.signs(relay.target) == [(Sign.LOCKED_OUT, True)]
    assert on.watch.seen[0].text == "535 5.7.8 wrong"


async def test_relay_that_does_not_relay_for_us_is_a_failure_of_its_path_and_no_bounce() -> None:
    script = Script(answers={"RCPT": "554 5.7.1 <bob@peer.test>: Relay access denied"})
    async with peer(script) as relay, stage() as on:
        result = await on.begin(Way(RELAY, relay.target, group="relay:us1"))
    assert deferral(result).cause is Cause.LOCKED_OUT
    assert on.watch.signs() == [(Sign.ANSWERED, True), (Sign.LOCKED_OUT, True)]


async def test_relay_that_denies_one_recipient_of_two_is_not_locked() -> None:
    script = Script(
        answers={"RCPT TO:<eve@peer.test>": "554 5.7.1 <eve@peer.test>: Relay access denied"}
    )
    async with peer(script) as relay, stage() as on:
        way = Way(RELAY, relay.target, group="relay:us1")
        result = await on.smtp.deliver((way,), job("bob", "eve"))
        assert isinstance(result.outcomes[0], Delivered)
        assert isinstance(result.outcomes[1], Deferred)
        assert on.watch.signs() == [(Sign.ANSWERED, True)]


@pytest.mark.parametrize("code", ["530", "535"])
async def test_relay_that_asks_one_recipient_for_a_login_is_locked(code: str) -> None:
    script = Script(
        offered=(*OFFERED, "AUTH PLAIN"),
        answers={"RCPT TO:<eve@peer.test>": f"{code} 5.7.0 who are you"},
    )
    egress = Egress("us1", username="cn1", password="s3cret")
    async with peer(script) as relay, stage(clear_auth_on_loopback=True) as on:
        way = Way(egress, relay.target, group="relay:us1")
        await on.smtp.deliver((way,), job("bob", "eve"))
        assert on.watch.signs()[-1] == (Sign.LOCKED_OUT, True)


# TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    pair = self_signed(tmp_path_factory.mktemp("self"), "peer.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


@pytest.mark.parametrize(
    ("after", "answers", "sign"),
    [
        (None, {"STARTTLS": "454 4.7.0 no TLS today"}, Sign.TLS_REFUSED),
        (None, {"STARTTLS": "502 5.5.1 what"}, Sign.TLS_REFUSED),
        (None, {"STARTTLS": Act.CLOSE}, Sign.TLS_CUT),
        (ALERT, {}, Sign.TLS_BROKEN),
        (Act.CLOSE, {}, Sign.TLS_CUT),
        (Act.RESET, {}, Sign.TLS_CUT),
    ],
    ids=["454", "502", "closed", "alert", "closed in it", "reset in it"],
)
async def test_where_tls_fails_another_address_comes_first_and_clear_text_last(
    tls: ssl.SSLContext, after: bytes | Act | None, answers: dict[str, str | Act], sign: Sign
) -> None:
    def broken() -> Script:
        return Script(tls=tls, after_starttls=after, answers=answers)

    async with (
        peer(broken()) as first,
        peer(broken()) as second,
        peer(Script(tls=tls)) as good,
        stage() as on,
    ):
        result = await on.begin(*direct(first.target, second.target, good.target))
        assert is_delivered(result)
        assert result.attempts[-1].tls
        assert [s for s, _ in on.watch.signs()] == [sign, sign, Sign.ANSWERED]
        assert [o.path.encrypted for o in on.watch.seen] == [True, True, True]
        on.watch.seen.clear()
        result = await on.begin(*direct(first.target, second.target))
        assert is_delivered(result)
        assert [bool(r.tls) for r in result.attempts] == [False, False, False]
        assert [(o.sign, o.path.encrypted) for o in on.watch.seen] == [
            (sign, True), (sign, True), (Sign.ANSWERED, False),
        ]  # fmt: skip
        for policy in (TlsPolicy.ENCRYPT, TlsPolicy.VERIFY, TlsPolicy.DANE):
            deferral(await on.begin(*direct(first.target, tls=policy)))
        tested = TlsDemand(TlsPolicy.OPPORTUNISTIC, source="mta-sts-testing")
        target = Target("peer.test", "127.0.0.1", second.port, tested)
        result = await on.begin(Way(DIRECT, target))
        assert is_delivered(result), "a policy that is tested never holds mail up (RFC 8461 §5)"
    assert (len(first.messages), len(second.messages)) == (1, 1)


@pytest.mark.parametrize("act", [Act.RESET, Act.CLOSE])
@pytest.mark.parametrize("at", ["STARTTLS", "handshake"])
async def test_line_cut_in_starttls_is_the_networks_failure_and_clear_text_comes_last(
    tls: ssl.SSLContext, at: str, act: Act
) -> None:
    script = Script(tls=tls, after_starttls=act)
    if at == "STARTTLS":
        script = Script(tls=tls, answers={"STARTTLS": act})
    async with (
        peer(script) as first,
        peer(Script(tls=tls)) as relay,
        peer(Script(tls=tls)) as other,
        stage() as on,
    ):
        assert is_delivered(await on.begin(*direct(first.target), fallback(relay.target)))
        assert (len(relay.messages), first.messages) == (1, [])
        elsewhere = Way(Egress("second"), other.target, group="peer.test")
        assert is_delivered(await on.begin(*direct(first.target), elsewhere))
        assert (len(other.messages), first.messages) == (1, [])
        assert on.watch.signs(first.target) == [(Sign.TLS_CUT, True)] * 2
        assert is_delivered(await on.begin(*direct(first.target)))
        assert not first.is_secure
    assert len(first.messages) == 1


async def test_clear_text_waits_a_retry_where_something_else_failed_too(
    tls: ssl.SSLContext,
) -> None:
    broken = Script(tls=tls, answers={"STARTTLS": "454 4.7.0 no TLS today"})
    async with peer(broken) as first, peer(Script(greeting="554 no")) as second, stage() as on:
        ways = direct(first.target, second.target)
        assert str(deferral(await on.begin(*ways)).reply) == "454 4.7.0 no TLS today"
        assert first.messages == []
        on.clock.advance(30)
        deferral(await on.begin(*ways))  # another message of the same moment
        assert first.messages == []
        on.clock.advance(31)
        assert is_delivered(await on.begin(*ways))
    assert len(first.messages) == 1


async def test_clear_text_waits_a_retry_where_time_ran_out_before_every_way_was_asked(
    tls: ssl.SSLContext,
) -> None:
    broken = Script(tls=tls, answers={"STARTTLS": "454 4.7.0 no TLS today"})
    async with peer(broken) as first, stage(attempt_budget_s=0.0) as on:
        deferral(await on.begin(*direct(first.target, dead())))
    assert first.messages == []


@pytest.mark.parametrize("at", ["STARTTLS", "handshake"])
async def test_starttls_that_had_no_time_left_is_not_called_stalled(
    tls: ssl.SSLContext, at: str
) -> None:
    script = Script(tls=tls, after_starttls=Act.STALL, hold=asyncio.Event())
    if at == "STARTTLS":
        script = Script(tls=tls, answers={"STARTTLS": Act.IGNORE}, hold=asyncio.Event())
    async with peer(script) as only, stage() as on:
        sending = on.begin(*direct(only.target))
        await until(lambda: only.connections == 1)
        await on.pass_by(296)
        release(script)
        await until(lambda: "STARTTLS" in only.verbs())
        await on.looks.some()
        await on.pass_by(4.5)
        deferral(await sending)
        assert on.watch.signs() == [(Sign.MUTE, False), (Sign.SLOW, True)]
    assert "MAIL" not in only.verbs()


@pytest.mark.parametrize("at", ["STARTTLS", "handshake"])
async def test_stalled_starttls_lets_the_next_way_start_and_is_told_of(
    tls: ssl.SSLContext, at: str
) -> None:
    stalls = Script(tls=tls, after_starttls=Act.STALL)
    if at == "STARTTLS":
        stalls = Script(tls=tls, answers={"STARTTLS": Act.IGNORE})
    async with peer(stalls) as first, peer(Script(tls=tls)) as second, stage() as on:
        sending = on.begin(*direct(first.target, second.target))
        await until(lambda: "STARTTLS" in first.verbs())
        await on.pass_by(5.9)
        assert second.connections == 0
        await on.pass_by(0.2)
        result = await sending
        assert is_delivered(result)
        assert result.attempts[-1].tls
        assert on.watch.signs(first.target) == [(Sign.TLS_STALLED, False)]
        assert on.watch.losers == [MailPath("direct", "127.0.0.1", first.port, True)]
        assert "did not finish STARTTLS within 6.1 s" in result.attempts[0].reply
    assert "MAIL" not in first.verbs()


@pytest.mark.parametrize("at", ["STARTTLS", "handshake"])
async def test_stalled_starttls_everywhere_goes_in_clear_after_thirty_seconds(
    tls: ssl.SSLContext, at: str
) -> None:
    stalls = Script(tls=tls, after_starttls=Act.STALL)
    if at == "STARTTLS":
        stalls = Script(tls=tls, answers={"STARTTLS": Act.IGNORE})
    async with peer(stalls) as only, stage() as on:
        sending = on.begin(*direct(only.target))
        await until(lambda: "STARTTLS" in only.verbs())
        await on.pass_by(6.1)
        await on.pass_by(23)
        assert only.connections == 1
        await on.pass_by(2)
        result = await sending
        assert is_delivered(result)
        assert [(o.sign, o.is_final, o.path.encrypted) for o in on.watch.seen] == [
            (Sign.TLS_STALLED, False, True),
            (Sign.TLS_STALLED, True, True),
            (Sign.ANSWERED, True, False),
        ]
        assert [r.cause for r in result.attempts] == ["tls", ""]


async def test_stalled_starttls_is_the_networks_failure_and_a_relay_may_step_in(
    tls: ssl.SSLContext,
) -> None:
    stalls = Script(tls=tls, after_starttls=Act.STALL)
    async with peer(stalls) as first, peer(Script(tls=tls)) as relay, stage() as on:
        sending = on.begin(*direct(first.target), fallback(relay.target))
        await until(lambda: "STARTTLS" in first.verbs())
        await on.pass_by(6.1)
        assert is_delivered(await sending)
    assert len(relay.messages) == 1
    assert first.messages == []


async def test_certificate_that_is_not_what_must_be_there_is_told_of(tls: ssl.SSLContext) -> None:
    async with peer(Script(tls=tls)) as server, peer() as clear, stage() as on:
        deferral(await on.begin(*direct(server.target, tls=TlsPolicy.VERIFY)))
        deferral(await on.begin(*direct(clear.target, tls=TlsPolicy.ENCRYPT)))
    assert on.watch.signs(server.target) == [(Sign.UNTRUSTED, True)]
    assert on.watch.signs(clear.target) == [(Sign.TLS_MISSING, True)]
    assert all(seen.path.encrypted for seen in on.watch.seen)


# What is told of a path


@pytest.mark.parametrize(
    ("script", "signs"),
    [
        (Script(greeting="421 4.3.2 busy"), [Sign.BUSY]),
        (Script(greeting="450 4.7.1 greylisted, come back"), [Sign.GREYLISTED]),
        (Script(greeting="554 5.7.1 no"), [Sign.UNWELCOME]),
        (Script(greeting=Act.RESET), [Sign.RESET]),
        (Script(greeting=Act.CLOSE), [Sign.CLOSED]),
        (Script(greeting="HTTP/1.1 400 Bad Request"), [Sign.BROKEN_OFF]),
        (Script(answers={"EHLO": "421 4.7.0 no"}), [Sign.THROTTLED]),
        (Script(answers={"EHLO": "451 4.7.1 slow down"}), [Sign.THROTTLED]),
        (Script(answers={"EHLO": Act.RESET}), [Sign.BROKEN_OFF]),
        (Script(answers={"MAIL": "421 4.3.2 no"}), [Sign.ANSWERED, Sign.THROTTLED]),
        (Script(answers={"MAIL": "451 4.7.1 slow down"}), [Sign.ANSWERED, Sign.THROTTLED]),
        (Script(answers={"MAIL": "450 4.7.1 Greylisted"}), [Sign.ANSWERED, Sign.GREYLISTED]),
        (Script(answers={"MAIL": "550 5.7.1 no"}), [Sign.ANSWERED]),
        (Script(answers={"RCPT": "450 4.7.1 Greylisted"}), [Sign.ANSWERED]),
        (Script(answers={"RCPT": "421 4.7.0 no"}), [Sign.ANSWERED]),
        (Script(answers={"RCPT": Act.RESET}), [Sign.ANSWERED, Sign.BROKEN_OFF]),
        (Script(answers={"DOT": "554 5.7.1 spam"}), [Sign.ANSWERED]),
        (Script(answers={"DOT": Act.CLOSE}), [Sign.ANSWERED, Sign.BROKEN_OFF]),
    ],
    ids=lambda value: None,
)
async def test_each_failure_has_its_sign_and_a_word_about_a_message_none(
    script: Script, signs: list[Sign]
) -> None:
    async with peer(script) as server, stage() as on:
        await on.begin(*direct(server.target))
    assert on.watch.signs() == [(sign, True) for sign in signs]


async def test_connection_that_was_closed_while_it_rested_says_nothing_of_the_path() -> None:
    async with peer() as server, stage() as on:
        await on.begin(*direct(server.target))
        server.hang_up()
        await on.begin(*direct(server.target))
        server.script.once["MAIL"] = "421 4.3.2 too many messages in this session"
        await on.begin(*direct(server.target))
    assert on.watch.signs() == [(Sign.ANSWERED, True)] * 3


async def test_peer_that_is_slow_to_answer_a_command_is_told_of_once() -> None:
    async with peer(Script(answers={"RCPT": Act.SILENCE})) as server, stage() as on:
        on.begin(*direct(server.target))
        await until(lambda: "RCPT" in server.verbs())
        for _ in range(5):
            await on.pass_by(16)
        assert on.watch.signs() == [(Sign.ANSWERED, True), (Sign.SLOW, False)]


# Time limits


async def test_attempt_that_gets_old_says_so_once_and_a_quick_one_does_not() -> None:
    told: list[float] = []
    async with peer() as quick, peer(Script(answers={"DOT": Act.IGNORE})) as slow, stage() as on:
        ways = direct(quick.target)
        await on.smtp.deliver(ways, job(), lambda: told.append(on.clock.monotonic()))
        await on.pass_by(20)
        assert told == []
        ways = direct(slow.target)
        sending = asyncio.ensure_future(
            on.smtp.deliver(ways, job(), lambda: told.append(on.clock.monotonic()))
        )
        on.sending.append(sending)
        await until(lambda: "DATA" in slow.verbs())
        await on.pass_by(14.9)
        assert told == []
        await on.pass_by(0.2)
        assert told == [pytest.approx(35.1)]
        await on.pass_by(30)
        assert len(told) == 1
        # A scanner behind the last reply takes its time.
        assert (Sign.SLOW, False) not in on.watch.signs()


async def test_one_budget_holds_from_the_opening_to_354() -> None:
    slow = held()
    slow.answers = {"DATA": Act.IGNORE}
    async with peer(slow) as server, stage() as on:
        sending = on.begin(*direct(server.target))
        await until(lambda: server.connections == 1)
        await on.pass_by(200)
        release(slow)
        await until(lambda: "DATA" in server.verbs())
        await on.pass_by(99)
        assert not sending.done()
        await on.pass_by(2)
        assert deferral(await sending).cause is Cause.SILENT


async def test_greeting_that_trickles_in_is_given_up_and_called_slow() -> None:
    async with peer(Script(greeting=Act.TRICKLE)) as server, stage() as on:
        sending = on.begin(*direct(server.target))
        await until(lambda: server.connections == 1)
        await on.pass_by(100)
        await on.pass_by(201)
        deferral(await sending)
    assert on.watch.signs() == [(Sign.SLOW, False), (Sign.SLOW, True)]


async def test_last_reply_that_trickles_in_earns_no_more_time() -> None:
    async with peer(Script(answers={"DOT": Act.TRICKLE})) as server, stage() as on:
        sending = on.begin(*direct(server.target))
        await until(lambda: len(server.messages) == 1)
        for _ in range(6):
            await on.pass_by(100)
        assert not sending.done()
        await on.pass_by(61)  # the message itself had a minute
        assert deferral(await sending).cause is Cause.LOST_AFTER_DOT


@pytest.mark.parametrize("offered", [OFFERED, (*OFFERED, "CHUNKING")], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("act", [Act.CLOSE, Act.RESET, Act.IGNORE])
async def test_message_that_may_have_arrived_goes_to_no_other_host(
    act: Act, offered: tuple[str, ...]
) -> None:
    script = Script(offered=offered, answers={"DOT": act, "BDAT": act})
    async with peer(script) as first, peer() as second, stage() as on:
        sending = on.begin(*direct(first.target, second.target))
        await until(lambda: len(first.messages) == 1)
        await on.pass_by(1000)
        outcome = deferral(await sending)
        assert outcome.cause is Cause.LOST_AFTER_DOT
        assert "it may have been taken" in outcome.reply.text
        assert second.connections == 0


async def test_silent_address_is_given_up_by_the_same_clock() -> None:
    async with peer(silent()) as first, stage() as on:
        sending = on.begin(*direct(first.target))
        await until(lambda: first.connections == 1)
        await on.pass_by(3.1)
        await on.pass_by(300)
        assert deferral(await sending).cause is Cause.SILENT
    assert on.watch.signs() == [(Sign.MUTE, False), (Sign.MUTE, True)]


class Broken(Watch):
    """Has an error of its own."""

    def saw(self, observation: Observation) -> None:
        if observation.sign is Sign.REFUSED:
            raise RuntimeError("a bug")


async def test_an_error_of_our_own_beside_the_first_way_ends_the_attempt() -> None:
    clock = FakeClock()
    async with peer(silent()) as quiet:
        smtp = SmtpDelivery(settings(tick_s=0.01), clock, Broken())
        sending = asyncio.ensure_future(smtp.deliver(direct(quiet.target, dead()), job()))
        await until(lambda: quiet.connections == 1)
        looks = Looks(smtp._pool)
        clock.advance(3)
        await looks.some()
        smtp._pool.leave(looks)
        assert not sending.done()
        clock.advance(300)  # the first, which is right, comes to its end
        with pytest.raises(RuntimeError, match="a bug"):
            await sending
        await smtp.close(0.5)
        assert smtp.open_connections == 0
