"""Attempts against servers that do as they are told: every end is an outcome with its cause."""

import asyncio
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.delivery.jobs import BODY, Streamed, job, route, settings, until
from tests.delivery.scripted import OFFERED, Act, Answer, Peer, Script, peer
from tests.peers.certificates import Authority, self_signed
from tests.peers.process import free_port

from postern.delivery.job import JobResult
from postern.delivery.smtp import SmtpDelivery
from postern.mail.content import BytesContent
from postern.mail.hops import relays_of
from postern.mail.outcome import Cause, Deferred, Delivered, Refused
from postern.mail.route import Egress, Target, TlsPolicy, Way
from postern.runtime.clock import FakeClock, SystemClock


@asynccontextmanager
async def delivery(**changes: object) -> AsyncIterator[SmtpDelivery]:
    made = SmtpDelivery(settings(**changes), SystemClock())
    try:
        yield made
    finally:
        await made.close(2)
        assert made.open_connections == 0


async def attempt(script: Script, *locals_: str, **changes: object) -> tuple[JobResult, Peer]:
    async with peer(script) as server, delivery(**changes) as smtp:
        return await smtp.deliver(route(server.target), job(*locals_)), server


def cause(result: JobResult) -> Cause:
    outcome = result.outcomes[0]
    assert isinstance(outcome, Deferred), outcome
    return outcome.cause


async def test_message_arrives_as_it_is_and_the_attempt_is_on_record() -> None:
    result, server = await attempt(Script())
    (outcome,) = result.outcomes
    assert isinstance(outcome, Delivered)
    assert outcome.remote == "peer.test [127.0.0.1]"
    assert server.messages == [BODY]
    (record,) = result.attempts
    assert record.egress == "direct"
    assert record.mx == "peer.test"
    assert record.address == f"127.0.0.1:{server.port}"
    assert record.reply == "250 2.0.0 queued"
    assert (record.outcome, record.cause, record.tls) == ("delivered", "", "")
    assert record.recipients == (0,)


async def test_small_message_to_a_peer_with_chunking_arrives_in_one_chunk() -> None:
    result, server = await attempt(Script(offered=(*OFFERED, "CHUNKING")))
    assert isinstance(result.outcomes[0], Delivered)
    assert server.messages == [BODY]
    assert server.verbs()[:4] == ["EHLO", "MAIL", "RCPT", "BDAT"]


async def test_message_goes_over_ipv6_and_the_record_says_so() -> None:
    async with peer(host="::1") as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target), job())
    (outcome,) = result.outcomes
    assert isinstance(outcome, Delivered)
    assert outcome.remote == "peer.test [::1]"
    assert server.messages == [BODY]
    assert result.attempts[0].address == f"[::1]:{server.port}"


async def test_egress_with_a_source_address_is_seen_to_come_from_there() -> None:
    egress = Egress("second", source_ip="127.0.0.2")
    async with peer() as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target, egress=egress), job())
        assert isinstance(result.outcomes[0], Delivered)
        (writer,) = server.writers
        assert writer.get_extra_info("peername")[0] == "127.0.0.2"
    assert result.attempts[0].egress == "second"


async def test_source_address_of_one_family_does_not_stop_mail_over_the_other() -> None:
    egress = Egress("second", source_ip="127.0.0.2")
    async with peer(host="::1") as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target, egress=egress), job())
    assert isinstance(result.outcomes[0], Delivered)


async def test_recipients_that_fare_differently_have_records_of_their_own() -> None:
    answers = {"RCPT TO:<eve@peer.test>": "550 5.1.1 nobody"}
    result, _ = await attempt(Script(answers=answers), "bob", "eve", "zoe")
    assert [type(o) for o in result.outcomes] == [Delivered, Refused, Delivered]
    assert [(r.outcome, r.recipients, r.reply) for r in result.attempts] == [
        ("delivered", (0, 2), "250 2.0.0 queued"),
        ("refused", (1,), "550 5.1.1 nobody"),
    ]


async def test_connection_carries_message_after_message() -> None:
    async with peer() as server, delivery() as smtp:
        for _ in range(5):
            result = await smtp.deliver(route(server.target), job())
            assert isinstance(result.outcomes[0], Delivered)
        assert server.connections == 1
        assert len(server.messages) == 5
    assert server.verbs().count("EHLO") == 1


async def test_refused_message_does_not_spoil_the_next() -> None:
    answers = {"RCPT TO:<eve@peer.test>": "550 5.1.1 nobody"}
    script = Script(offered=("8BITMIME",), answers=answers)
    async with peer(script) as server, delivery() as smtp:
        assert isinstance(
            (await smtp.deliver(route(server.target), job("eve"))).outcomes[0], Refused
        )
        assert isinstance((await smtp.deliver(route(server.target), job())).outcomes[0], Delivered)
        assert server.connections == 1
    assert server.verbs()[1:5] == ["MAIL", "RCPT", "RSET", "MAIL"]


async def test_connection_closed_while_it_rested_is_replaced_without_a_word() -> None:
    async with peer() as server, delivery() as smtp:
        await smtp.deliver(route(server.target), job())
        server.hang_up()
        result = await smtp.deliver(route(server.target), job())
        assert isinstance(result.outcomes[0], Delivered)
        assert [r.outcome for r in result.attempts] == ["delivered"]
        assert server.connections == 2


async def test_421_about_the_session_alone_is_replaced_without_a_word() -> None:
    async with peer() as server, delivery() as smtp:
        await smtp.deliver(route(server.target), job())
        server.script.once["MAIL"] = "421 4.3.2 too many messages in this session"
        result = await smtp.deliver(route(server.target), job())
        assert isinstance(result.outcomes[0], Delivered)
        assert [r.outcome for r in result.attempts] == ["delivered"]
        assert server.connections == 2


async def test_connections_are_kept_no_longer_than_they_are_worth() -> None:
    clock = FakeClock()
    async with peer() as server:
        smtp = SmtpDelivery(settings(), clock)
        await smtp.deliver(route(server.target), job())
        clock.advance(4)
        await smtp.deliver(route(server.target), job())
        assert server.connections == 1
        clock.advance(6)  # rested too long
        await smtp.deliver(route(server.target), job())
        assert server.connections == 2
        for _ in range(76):
            clock.advance(4)
            await smtp.deliver(route(server.target), job())
        assert server.connections == 3  # grew older than 300 s
        clock.advance(6)
        await until(lambda: smtp.open_connections == 0)
        await smtp.close(1)


async def test_resting_connections_are_bounded() -> None:
    async with peer() as server, delivery(idle_connections=2, reuse_idle_s=60) as smtp:
        await asyncio.gather(*[smtp.deliver(route(server.target), job()) for _ in range(6)])
        await until(lambda: smtp.open_connections <= 2)


async def test_reuse_can_be_switched_off() -> None:
    async with peer() as server, delivery(reuse_idle_s=0) as smtp:
        for _ in range(3):
            await smtp.deliver(route(server.target), job())
        assert server.connections == 3


# Failures, each with its cause


async def test_nobody_listens_is_connection_refused() -> None:
    async with delivery() as smtp:
        result = await smtp.deliver(route(Target("peer.test", "127.0.0.1", free_port())), job())
    assert cause(result) is Cause.REFUSED
    assert result.attempts[0].cause == "connection-refused"


async def test_address_that_swallows_connections_is_no_answer() -> None:
    # A full backlog makes the kernel drop SYNs, as a firewall does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        async with delivery(connect_timeout_s=0.2) as smtp:
            result = await smtp.deliver(route(Target("peer.test", "127.0.0.1", port)), job())
        for each in waiting:
            each.close()
    assert cause(result) is Cause.SILENT
    assert result.outcomes[0].reply.enhanced == "4.4.1"


@pytest.mark.parametrize(("script", "expected"), [
    (Script(greeting=Act.CLOSE), Cause.CLOSED),
    (Script(greeting=Act.RESET), Cause.RESET),
    (Script(greeting=Act.SILENCE), Cause.SILENT),
    (Script(greeting=Act.FLOOD), Cause.PROTOCOL),
    (Script(greeting="HTTP/1.1 400 Bad Request"), Cause.PROTOCOL),
    (Script(greeting="421 4.3.2 busy"), Cause.REPLY),
    (Script(greeting="554 5.7.1 blocked"), Cause.REPLY),
    (Script(answers={"EHLO": Act.CLOSE}), Cause.CLOSED),
    (Script(answers={"EHLO": "421 4.7.0 no"}), Cause.REPLY),
    (Script(answers={"EHLO": Act.SILENCE}), Cause.SILENT),
    (Script(answers={"EHLO": Act.FLOOD}), Cause.PROTOCOL),
    (Script(answers={"MAIL": Act.CLOSE}), Cause.CLOSED),
    (Script(answers={"MAIL": Act.SILENCE}), Cause.SILENT),
    (Script(answers={"RCPT": Act.CLOSE}), Cause.CLOSED),
    (Script(answers={"RCPT": Act.SILENCE}), Cause.SILENT),
    (Script(answers={"RCPT": "421 4.3.2 no"}), Cause.REPLY),
    (Script(answers={"RCPT": "whatever"}), Cause.PROTOCOL),
    (Script(answers={"DATA": Act.FLOOD}), Cause.PROTOCOL),
    (Script(answers={"DOT": Act.CLOSE}), Cause.LOST_AFTER_DOT),
    (Script(answers={"DOT": Act.RESET}), Cause.LOST_AFTER_DOT),
    (Script(answers={"DOT": Act.SILENCE}), Cause.LOST_AFTER_DOT),
    (Script(answers={"DOT": "421 4.3.2 no"}), Cause.REPLY),
])  # fmt: skip
async def test_misbehaving_peer_defers_with_its_cause(script: Script, expected: Cause) -> None:
    limits = {
        "session_budget_s": 0.3, "final_dot_timeout_s": 0.3, "body_min_s": 0.1, "body_max_s": 0.1,
    }  # fmt: skip
    result, _ = await attempt(script, **limits)
    assert cause(result) is expected
    assert result.attempts[-1].outcome == "deferred"
    assert result.attempts[-1].cause == expected.value


@pytest.mark.parametrize("answer", ["550 5.7.1 no", "451 4.7.1 later"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_refusals_are_the_peers_own_words(verb: str, answer: str) -> None:
    result, _ = await attempt(Script(answers={verb: answer}), "bob", "eve")
    for outcome in result.outcomes:
        assert isinstance(outcome, Refused if answer.startswith("5") else Deferred)
        assert str(outcome.reply) == answer


async def test_slow_peer_cannot_stretch_the_session_with_a_little_at_a_time() -> None:
    clock = FakeClock()
    async with peer(Script(answers={"RCPT": "250 ok", "DATA": Act.SILENCE})) as server:
        smtp = SmtpDelivery(settings(), clock)
        sending = asyncio.ensure_future(smtp.deliver(route(server.target), job()))
        await until(lambda: "DATA" in server.verbs())
        clock.advance(299)
        await until(lambda: smtp.open_connections == 1)
        assert not sending.done()
        clock.advance(2)
        result = await sending
        assert cause(result) is Cause.SILENT
        assert "DATA" in result.outcomes[0].reply.text
        await smtp.close(1)


# Several targets


async def dead() -> Target:
    return Target("dead.test", "127.0.0.1", free_port())


@pytest.mark.parametrize(
    "first",
    [Script(greeting="554 no"), Script(greeting="421 busy"), Script(greeting=Act.CLOSE),
     Script(answers={"EHLO": "421 no"}), Script(answers={"MAIL": "421 no"}),
     Script(answers={"MAIL": Act.CLOSE})],
)  # fmt: skip
async def test_next_target_is_tried_until_one_answers_mail(first: Script) -> None:
    async with peer(first) as bad, peer() as good, delivery() as smtp:
        targets = (await dead(), bad.target, good.target)
        result = await smtp.deliver(route(*targets), job())
    assert isinstance(result.outcomes[0], Delivered)
    assert [r.outcome for r in result.attempts] == ["deferred", "deferred", "delivered"]
    assert result.attempts[0].cause == "connection-refused"


@pytest.mark.parametrize("answer", ["550 5.7.1 no", "451 4.7.1 later"])
async def test_target_that_answered_mail_has_decided(answer: str) -> None:
    async with (
        peer(Script(answers={"MAIL": answer})) as first,
        peer() as second,
        delivery() as smtp,
    ):
        result = await smtp.deliver(route(first.target, second.target), job())
    assert str(result.outcomes[0].reply) == answer
    assert second.connections == 0


async def test_resting_connection_to_any_target_saves_the_dead_one_before_it() -> None:
    async with peer() as server, delivery() as smtp:
        way = route(await dead(), server.target)
        first = await smtp.deliver(way, job())
        second = await smtp.deliver(way, job())
    assert len(first.attempts) == 2
    assert len(second.attempts) == 1


async def test_all_targets_failing_defers_with_a_servers_words_first() -> None:
    async with peer(Script(greeting="554 5.7.1 blocked")) as server, delivery() as smtp:
        result = await smtp.deliver(route(await dead(), server.target, await dead()), job())
    assert len(result.attempts) == 3
    outcome = result.outcomes[0]
    assert isinstance(outcome, Deferred)
    assert str(outcome.reply) == "554 5.7.1 blocked"


async def test_no_more_targets_are_tried_than_allowed() -> None:
    async with delivery(max_targets=2) as smtp:
        result = await smtp.deliver(route(*[await dead() for _ in range(5)]), job())
        assert len(result.attempts) == 2
        nothing = await smtp.deliver(route(), job())
    assert isinstance(nothing.outcomes[0], Deferred)
    assert nothing.attempts == ()


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


@pytest.fixture(scope="module")
def trusted(authority: Authority) -> ssl.SSLContext:
    pair = authority.issue("peer.test")
    return server_context(pair.cert, pair.key)


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    pair = self_signed(tmp_path_factory.mktemp("self"), "other.test")
    return server_context(pair.cert, pair.key)


@pytest.mark.parametrize("policy", [TlsPolicy.OPPORTUNISTIC, TlsPolicy.ENCRYPT])
async def test_tls_is_used_where_it_is_offered_whoever_vouches(
    unknown: ssl.SSLContext, policy: TlsPolicy
) -> None:
    async with peer(Script(tls=unknown)) as server, delivery() as smtp:
        for _ in range(2):
            result = await smtp.deliver(route(server.target, tls=policy), job())
            assert isinstance(result.outcomes[0], Delivered)
            assert result.attempts[0].tls == "TLS1.3 TLS_AES_256_GCM_SHA384"
        assert server.connections == 1
    assert server.messages == [BODY, BODY]


async def test_large_message_goes_through_tls(unknown: ssl.SSLContext) -> None:
    content = Streamed((b"x" * 1022 + b"\r\n") * 64, 40)
    async with peer(Script(tls=unknown)) as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target), job(content=content))
        assert isinstance(result.outcomes[0], Delivered)
    assert len(server.messages[0]) == content.size_bytes


async def test_never_means_in_clear_even_where_tls_is_offered(unknown: ssl.SSLContext) -> None:
    async with peer(Script(tls=unknown)) as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target, tls=TlsPolicy.NEVER), job())
    assert isinstance(result.outcomes[0], Delivered)
    assert "STARTTLS" not in server.verbs()


async def test_verify_takes_the_right_name_and_no_other(
    authority: Authority, trusted: ssl.SSLContext, unknown: ssl.SSLContext
) -> None:
    way = TlsPolicy.VERIFY
    async with (
        peer(Script(tls=trusted)) as good,
        peer(Script(tls=unknown)) as bad,
        delivery(ca_file=authority.ca) as smtp,
    ):
        result = await smtp.deliver(route(good.target, tls=way), job())
        assert isinstance(result.outcomes[0], Delivered)
        wrong_name = Target("elsewhere.test", "127.0.0.1", good.port)
        for target in (bad.target, wrong_name):
            result = await smtp.deliver(route(target, tls=way), job())
            assert cause(result) is Cause.TLS
            assert "certificate" in result.outcomes[0].reply.text
            assert len(result.attempts) == 1
    assert bad.messages == []


@pytest.mark.parametrize("policy", [TlsPolicy.ENCRYPT, TlsPolicy.VERIFY])
async def test_required_tls_is_never_given_up(policy: TlsPolicy) -> None:
    async with peer() as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target, tls=policy), job())
    assert cause(result) is Cause.UNENCRYPTED
    assert server.messages == []


ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
BROKEN: list[bytes | Act] = [ALERT, b"421 no TLS today\r\n", Act.CLOSE, Act.RESET, Act.SILENCE]


@pytest.mark.parametrize("broken", BROKEN)
async def test_broken_handshake_is_tried_in_clear_last_and_both_are_on_record(
    unknown: ssl.SSLContext, broken: bytes | Act
) -> None:
    script = Script(tls=unknown, after_starttls=broken)
    result, server = await attempt(script, tls_timeout_s=0.3)
    assert isinstance(result.outcomes[0], Delivered)
    assert [(r.outcome, r.cause) for r in result.attempts] == [
        ("deferred", "tls"),
        ("delivered", ""),
    ]
    assert server.messages == [BODY]


async def test_broken_handshake_goes_to_the_next_target_before_clear_text(
    unknown: ssl.SSLContext,
) -> None:
    broken = Script(tls=unknown, after_starttls=ALERT)
    async with peer(broken) as first, peer(Script(tls=unknown)) as second, delivery() as smtp:
        result = await smtp.deliver(route(first.target, second.target), job())
    assert [(r.outcome, bool(r.tls)) for r in result.attempts] == [
        ("deferred", False),
        ("delivered", True),
    ]
    assert first.connections == 1


async def test_broken_handshake_never_weakens_required_tls(unknown: ssl.SSLContext) -> None:
    broken = Script(tls=unknown, after_starttls=ALERT)
    async with peer(broken) as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target, tls=TlsPolicy.ENCRYPT), job())
    assert cause(result) is Cause.TLS
    assert len(result.attempts) == 1
    assert server.messages == []


# Relays with a password

RELAY = Egress("us1", helo="cn1.us.test", username="cn1", password="s3cret")


async def test_password_goes_out_under_tls_only(unknown: ssl.SSLContext) -> None:
    offered = (*OFFERED, "AUTH PLAIN LOGIN")
    script = Script(offered=offered, tls=unknown)
    async with peer(script) as secure, peer(Script(offered=offered)) as clear, delivery() as smtp:
        result = await smtp.deliver(route(secure.target, egress=RELAY), job())
        assert isinstance(result.outcomes[0], Delivered)
        result = await smtp.deliver(route(clear.target, egress=RELAY), job())
        assert cause(result) is Cause.TLS
    assert "AUTH PLAIN AGNuMQBzM2NyZXQ=" in secure.commands
    assert secure.commands[0] == "EHLO cn1.us.test"
    assert "AUTH" not in clear.verbs()


async def test_broken_handshake_never_sends_a_password_in_clear(unknown: ssl.SSLContext) -> None:
    offered = (*OFFERED, "AUTH PLAIN")
    script = Script(offered=offered, tls=unknown, after_starttls=ALERT)
    async with peer(script) as server, delivery(clear_auth_on_loopback=False) as smtp:
        result = await smtp.deliver(route(server.target, egress=RELAY), job())
    assert cause(result) is Cause.TLS
    assert "AUTH" not in server.verbs()
    assert len(result.attempts) == 1


async def test_wrong_password_delays_and_does_not_bounce() -> None:
    script = Script(offered=(*OFFERED, "AUTH LOGIN"), answers={"AUTH": "535 5.7.8 wrong"})
    async with peer(script) as server, delivery(clear_auth_on_loopback=True) as smtp:
        result = await smtp.deliver(route(server.target, egress=RELAY), job())
    outcome = result.outcomes[0]
    assert isinstance(outcome, Deferred)
    assert str(outcome.reply) == "535 5.7.8 wrong"


# Large messages

LARGE = Streamed((b"y" * 1022 + b"\r\n") * 256, 64)


async def test_streamed_message_arrives_whole() -> None:
    async with peer() as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target), job(content=LARGE))
    assert isinstance(result.outcomes[0], Delivered)
    assert len(server.messages[0]) == LARGE.size_bytes


async def test_fifty_megabytes_at_a_hundred_kilobytes_a_second_arrive() -> None:
    clock = FakeClock()
    piece = (b"y" * 1022 + b"\r\n") * 256
    slow = Streamed(piece, 200, clock=clock, seconds_per_piece=len(piece) / 100_000)
    async with peer() as server:
        smtp = SmtpDelivery(settings(tick_s=0.001), clock)
        result = await smtp.deliver(route(server.target), job(content=slow))
        assert isinstance(result.outcomes[0], Delivered)
        assert result.attempts[0].seconds > 500
        await smtp.close(1)
    assert len(server.messages[0]) == slow.size_bytes == 52_428_800


def test_time_for_a_message_grows_with_it_between_a_minute_and_an_hour() -> None:
    limits = settings()
    assert limits.body_timeout_s(0) == 60
    assert limits.body_timeout_s(100_000) == 100
    assert limits.body_timeout_s(50 << 20) == 3600


async def test_memory_stays_small_while_a_large_message_streams() -> None:
    async with peer(Script(answers={"MIDDLE": Act.STALL})) as server, delivery() as smtp:
        tracemalloc.start()
        try:
            sending = asyncio.ensure_future(smtp.deliver(route(server.target), job(content=LARGE)))
            await until(lambda: "DATA" in server.verbs())
            # The peer reads nothing, so what is not in the kernel's buffers stays with us.
            stalled_at = 0
            while (now := tracemalloc.get_traced_memory()[1]) != stalled_at:
                stalled_at = now
                await asyncio.sleep(0.1)
        finally:
            tracemalloc.stop()
        assert stalled_at < 1_000_000  # with what the peer has read ahead
        sending.cancel()
        await asyncio.wait([sending])


async def test_message_that_cannot_be_read_to_its_end_is_not_ended() -> None:
    content = Streamed(b"z" * 1000 + b"\r\n", 100, error_after=50)
    async with peer() as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target), job(content=content))
        assert cause(result) is Cause.LOCAL
    assert server.messages == []


@pytest.mark.parametrize(("answer", "expected"), [
    ("552 5.3.4 too big", Refused),
    ("421 4.3.2 no", Deferred),
    ("250 2.0.0 fine already", Deferred),
    (Act.CLOSE, Deferred),
    (Act.RESET, Deferred),
])  # fmt: skip
async def test_peer_that_speaks_in_the_middle_of_a_message_is_heard(
    answer: Answer, expected: type
) -> None:
    async with peer(Script(answers={"MIDDLE": answer})) as server, delivery() as smtp:
        result = await smtp.deliver(route(server.target), job(content=LARGE))
    assert isinstance(result.outcomes[0], expected)
    assert server.messages == []


async def test_peer_that_stops_reading_is_given_up_after_the_body_limit() -> None:
    clock = FakeClock()
    async with peer(Script(answers={"MIDDLE": Act.STALL})) as server:
        smtp = SmtpDelivery(settings(), clock)
        sending = asyncio.ensure_future(smtp.deliver(route(server.target), job(content=LARGE)))
        await until(lambda: "DATA" in server.verbs())
        clock.advance(3599)
        await until(lambda: smtp.open_connections == 1)
        assert not sending.done()
        clock.advance(3)
        result = await sending
        assert cause(result) is Cause.SILENT
        await smtp.close(1)


async def test_cancelled_delivery_drops_its_connection() -> None:
    async with peer(Script(answers={"DATA": Act.SILENCE})) as server, delivery() as smtp:
        sending = asyncio.ensure_future(smtp.deliver(route(server.target), job()))
        await until(lambda: "DATA" in server.verbs())
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(lambda: smtp.open_connections == 0)


async def test_closing_lets_work_finish_and_says_quit() -> None:
    async with peer() as server:
        smtp = SmtpDelivery(settings(), SystemClock())
        sending = asyncio.ensure_future(smtp.deliver(route(server.target), job()))
        await until(lambda: server.connections == 1)
        await smtp.close(5)
        result = await sending
        assert isinstance(result.outcomes[0], Delivered)
        await until(lambda: "QUIT" in server.verbs())


async def test_closing_does_not_wait_longer_than_its_grace() -> None:
    async with peer(Script(answers={"DATA": Act.SILENCE})) as server:
        smtp = SmtpDelivery(settings(), SystemClock())
        sending = asyncio.ensure_future(smtp.deliver(route(server.target), job()))
        await until(lambda: "DATA" in server.verbs())
        await smtp.close(0.05)
        assert cause(await sending) is Cause.LOCAL


async def test_resting_line_that_was_cut_is_given_up_soon_for_another_way() -> None:
    mail = job(content=BytesContent(b"Subject: x\r\n\r\n" + (b"y" * 78 + b"\r\n") * 10_000))
    script = Script(offered=(*OFFERED, "CHUNKING"))
    async with (
        peer(script, is_narrow=True) as server,
        delivery(hedge_s=0.2, chunk_limit_bytes=2_000_000) as smtp,
    ):
        await smtp.deliver(route(server.target), job())
        # As behind a cut line, not an octet of what follows is taken in any more.
        script.once["MAIL"] = Act.STALL
        result = await smtp.deliver(route(server.target), mail)
        assert isinstance(result.outcomes[0], Delivered)
        assert [r.outcome for r in result.attempts] == ["deferred", "delivered"]
        assert server.connections == 2
        assert len(server.messages) == 2


async def test_message_that_is_all_there_goes_nowhere_else_however_late_the_answer() -> None:
    script = Script(offered=(*OFFERED, "CHUNKING"))
    async with peer(script) as server, delivery(hedge_s=0.1, session_budget_s=0.5) as smtp:
        await smtp.deliver(route(server.target), job())
        script.once["MAIL"] = Act.SILENCE
        result = await smtp.deliver(route(server.target), job())
        assert cause(result) is Cause.LOST_AFTER_DOT
        assert server.connections == 1


async def test_mail_through_a_relay_is_marked_and_its_record_says_why() -> None:
    key = b"k" * 32
    us1 = Egress("us1", hop_key=key)
    async with peer(Script()) as server, delivery() as smtp:
        way = Way(us1, server.target, group="relay:us1", reason="relayed: google is blocked")
        direct = route(server.target)
        through = await smtp.deliver((way,), job())
        await smtp.deliver(direct, job())
    marked, plain = server.messages
    assert plain == BODY
    field, _, rest = marked.partition(b"\r\n")
    assert rest == BODY
    assert relays_of([field.partition(b":")[2]], key) == ("us1",)
    assert through.attempts[0].reason == "relayed: google is blocked"
