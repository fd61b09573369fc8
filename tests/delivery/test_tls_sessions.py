"""Sessions are counted by how their TLS went, once each, for every domain they carry mail for."""

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.delivery.jobs import job, route, settings
from tests.delivery.scripted import Act, Script, peer
from tests.peers.certificates import self_signed
from tests.peers.process import free_port

from postern.delivery.smtp import SmtpDelivery
from postern.mail.address import Address
from postern.mail.envelope import Recipient
from postern.mail.paths import UNWATCHED
from postern.mail.route import Target, TlsPolicy, Way
from postern.mail.tlsrpt import TlsResult
from postern.runtime.clock import SystemClock

MISSING, INVALID = TlsResult.STARTTLS_NOT_SUPPORTED, TlsResult.VALIDATION_FAILURE
UNTRUSTED = TlsResult.CERTIFICATE_NOT_TRUSTED


class Counting:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[set[str], TlsResult | None]] = []

    def session(self, way: Way, domains: Iterable[str], result: TlsResult | None) -> None:
        self.told.append((set(domains), result))

    @property
    def results(self) -> list[TlsResult | None]:
        return [result for _, result in self.told]


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    pair = self_signed(tmp_path, "peer.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


@asynccontextmanager
async def delivery() -> AsyncIterator[tuple[SmtpDelivery, Counting]]:
    counting = Counting()
    made = SmtpDelivery(settings(tls_timeout_s=0.3), SystemClock(), UNWATCHED, counting)
    try:
        yield made, counting
    finally:
        await made.close(2)


async def test_one_session_is_counted_however_much_mail_it_carries(tls: ssl.SSLContext) -> None:
    async with peer(Script(tls=tls)) as server, delivery() as (smtp, counting):
        for _ in range(3):
            await smtp.deliver(route(server.target), job("bob", "eve"))
        assert server.connections == 1
    assert counting.told == [({"peer.test"}, None)]


@pytest.mark.parametrize(
    ("script", "policy", "results"),
    [
        (Script(), TlsPolicy.OPPORTUNISTIC, [MISSING]),
        (Script(), TlsPolicy.ENCRYPT, [MISSING]),
        (Script(), TlsPolicy.NEVER, []),
        (Script(greeting="421 4.3.2 not now"), TlsPolicy.ENCRYPT, []),
    ],
    ids=["opportunistic", "demanded", "never", "busy"],
)
async def test_what_is_not_offered_is_counted_where_tls_was_wanted(
    script: Script, policy: TlsPolicy, results: list[TlsResult | None]
) -> None:
    async with peer(script) as server, delivery() as (smtp, counting):
        await smtp.deliver(route(server.target, tls=policy), job())
    assert counting.results == results


async def test_a_stall_and_the_session_in_clear_after_it_are_one_failure(
    tls: ssl.SSLContext,
) -> None:
    stalls = Script(tls=tls, after_starttls=Act.STALL)
    async with peer(stalls) as server, delivery() as (smtp, counting):
        await smtp.deliver(route(server.target), job())
        assert len(server.messages) == 1
    assert counting.results == [INVALID]


async def test_a_stranger_is_counted_as_such(tls: ssl.SSLContext) -> None:
    async with peer(Script(tls=tls)) as server, delivery() as (smtp, counting):
        await smtp.deliver(route(server.target, tls=TlsPolicy.VERIFY), job())
    assert counting.results == [UNTRUSTED]


async def test_what_never_was_a_session_is_not_counted(tls: ssl.SSLContext) -> None:
    dead = Target("dead.test", "127.0.0.1", free_port())
    async with peer(Script(tls=tls)) as server, delivery() as (smtp, counting):
        await smtp.deliver(route(dead), job())
        await smtp.verify(route(server.target), Recipient(Address("bob", "peer.test")))
    assert counting.results == []
