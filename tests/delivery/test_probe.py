"""Tests without mail: what each kind of server shows, and that none is asked to take anything."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path as File

import pytest
from tests.delivery.jobs import Looks, Watch, route, settings, until
from tests.delivery.scripted import Act, Answer, Script, peer
from tests.peers.certificates import self_signed
from tests.peers.postfix import PostfixSettings, postfix
from tests.peers.process import free_port

from postern.delivery.probe import WayProbe
from postern.mail.paths import Sign
from postern.mail.route import Target, TlsPolicy
from postern.runtime.clock import FakeClock, SystemClock


@asynccontextmanager
async def probing(
    watch: Watch, clock: FakeClock | None = None, **changes: object
) -> AsyncIterator[WayProbe]:
    probe = WayProbe(settings(tick_s=0.01, **changes), clock or SystemClock(), watch)
    try:
        yield probe
    finally:
        await probe.close()


def tls_script(tmp_path: File, **changes: object) -> Script:
    certificate = self_signed(tmp_path, "peer.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    return Script(tls=context, **changes)  # type: ignore[arg-type]  # a test's shorthand


async def test_a_good_server_is_greeted_encrypted_and_left(tmp_path: File) -> None:
    watch = Watch()
    async with peer(tls_script(tmp_path)) as server, probing(watch) as probe:
        await probe.probe(route(server.target)[0])
        await until(lambda: "QUIT" in server.verbs())
        assert server.verbs() == ["EHLO", "STARTTLS", "EHLO", "QUIT"]
    (seen,) = watch.seen
    assert (seen.sign, seen.is_probe, seen.is_final) == (Sign.ANSWERED, True, True)
    assert (seen.path.encrypted, seen.path.egress, seen.group) == (True, "direct", "peer.test")
    assert seen.host == "peer.test"


async def test_a_path_in_clear_is_tested_in_clear(tmp_path: File) -> None:
    watch = Watch()
    async with peer(tls_script(tmp_path)) as server, probing(watch) as probe:
        await probe.probe(route(server.target, tls=TlsPolicy.NEVER)[0])
        await until(lambda: "QUIT" in server.verbs())
        assert server.verbs() == ["EHLO", "QUIT"]
    assert [(seen.sign, seen.path.encrypted) for seen in watch.seen] == [(Sign.ANSWERED, False)]


@pytest.mark.parametrize(
    ("greeting", "sign"),
    [
        ("421 4.3.2 too busy", Sign.BUSY),
        ("554 5.7.1 go away", Sign.UNWELCOME),
        (Act.CLOSE, Sign.CLOSED),
        (Act.RESET, Sign.RESET),
    ],
    ids=["busy", "unwelcome", "closed", "reset"],
)
async def test_what_a_server_does_in_place_of_a_greeting_is_told_apart(
    greeting: Answer, sign: Sign
) -> None:
    watch = Watch()
    async with peer(Script(greeting=greeting)) as server, probing(watch) as probe:
        await probe.probe(route(server.target)[0])
    assert watch.signs() == [(sign, True)]


async def test_a_greeting_that_has_begun_is_slow_and_not_silent() -> None:
    watch = Watch()
    async with peer(Script(greeting=Act.TRICKLE)) as server, probing(watch, hedge_s=0.1) as probe:
        testing = asyncio.ensure_future(probe.probe(route(server.target)[0]))
        await until(lambda: bool(watch.seen))
        assert watch.signs() == [(Sign.SLOW, False)]
        assert watch.seen[0].text.startswith("was not ready for mail within")
        await probe.close()
        await testing


async def test_nobody_listens() -> None:
    watch = Watch()
    async with probing(watch) as probe:
        await probe.probe(route(Target("peer.test", "127.0.0.1", free_port()))[0])
    assert watch.signs() == [(Sign.REFUSED, True)]
    assert "refused" in watch.seen[0].text


async def test_silence_of_who_is_connected_is_told_after_three_and_ten_seconds_and_at_the_end() -> (
    None
):
    watch, clock = Watch(), FakeClock()
    async with peer(Script(greeting=Act.SILENCE)) as server, probing(watch, clock) as probe:
        task = asyncio.ensure_future(probe.probe(route(server.target)[0]))
        await until(lambda: server.connections)
        looks = Looks(probe._pool)
        clock.advance(2.9)
        await looks.some()
        probe._pool.leave(looks)
        assert watch.seen == []
        clock.advance(0.2)
        await until(lambda: watch.seen)
        assert watch.signs() == [(Sign.MUTE, False)]
        clock.advance(7)
        await until(lambda: len(watch.seen) == 2)
        assert watch.seen[1].seconds >= 10
        clock.advance(10)
        await task
    assert watch.signs() == [(Sign.MUTE, False), (Sign.MUTE, False), (Sign.MUTE, True)]
    assert all(seen.is_probe for seen in watch.seen)


@pytest.mark.parametrize(
    ("starttls", "after", "sign"),
    [
        ("454 4.7.0 not now", None, Sign.TLS_REFUSED),
        (None, Act.CLOSE, Sign.TLS_CUT),
        (None, b"not a handshake at all\r\n", Sign.TLS_BROKEN),
    ],
    ids=["refused", "closed", "no handshake"],
)
async def test_what_a_server_does_in_place_of_tls_is_told_apart(
    tmp_path: File, starttls: str | None, after: bytes | Act | None, sign: Sign
) -> None:
    watch = Watch()
    answers = {"STARTTLS": starttls} if starttls else {}
    script = tls_script(tmp_path, answers=answers, after_starttls=after)
    async with peer(script) as server, probing(watch) as probe:
        await probe.probe(route(server.target, tls=TlsPolicy.ENCRYPT)[0])
    assert watch.signs() == [(sign, True)]


async def test_a_starttls_that_stalls_is_told_while_it_does(tmp_path: File) -> None:
    watch, clock = Watch(), FakeClock()
    script = tls_script(tmp_path, after_starttls=Act.STALL)
    async with peer(script) as server, probing(watch, clock) as probe:
        task = asyncio.ensure_future(probe.probe(route(server.target)[0]))
        await until(lambda: "STARTTLS" in server.verbs())
        clock.advance(3.1)
        await until(lambda: watch.seen)
        assert watch.signs() == [(Sign.TLS_STALLED, False)]
        clock.advance(20)
        await task
    assert watch.signs()[-1] == (Sign.TLS_STALLED, True)


@pytest.mark.peers("postfix")
async def test_postfix_is_tested_and_sees_nothing_but_that(tmp_path: File) -> None:
    watch = Watch()
    with postfix(PostfixSettings(certificate=self_signed(tmp_path, "peer.test"))) as server:
        async with probing(watch) as probe:
            await probe.probe(route(Target("peer.test", "127.0.0.1", server.port))[0])
        assert watch.signs() == [(Sign.ANSWERED, True)]
        assert watch.seen[0].path.encrypted
        ended = await asyncio.to_thread(server.wait_for_log, r"disconnect from .* (ehlo=.*)")
        assert re.search(r"ehlo=\d( starttls=1) quit=1 commands=\d", ended.group(1))
        assert "mail=" not in ended.group(1)
        assert server.queue_length() == 0
