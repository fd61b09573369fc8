"""Mail that requires TLS on all its way: it looks for a host that promises, and else comes back."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.delivery.jobs import BODY, job, route, settings
from tests.delivery.scripted import OFFERED, Peer, Script, peer
from tests.peers.certificates import Authority
from tests.peers.process import free_port

from postern.delivery.smtp import SmtpDelivery
from postern.mail.address import Address
from postern.mail.envelope import Sender
from postern.mail.outcome import Cause, Deferred, Delivered, Refused
from postern.mail.route import Target, TlsPolicy
from postern.runtime.clock import SystemClock

REQUIRES = Sender(Address("ann", "us.test"), requiretls=True)
VERIFY = TlsPolicy.VERIFY


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def trusted(authority: Authority) -> ssl.SSLContext:
    pair = authority.issue("peer.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


@asynccontextmanager
async def delivery(authority: Authority) -> AsyncIterator[SmtpDelivery]:
    made = SmtpDelivery(settings(ca_file=authority.ca), SystemClock())
    try:
        yield made
    finally:
        await made.close(2)


def promising(context: ssl.SSLContext) -> Script:
    return Script(offered=(*OFFERED, "REQUIRETLS"), tls=context)


def verbs_after_ehlo(server: Peer) -> set[str]:
    return set(server.verbs()) - {"EHLO", "STARTTLS", "QUIT"}


async def test_the_host_that_promises_is_found_behind_one_that_does_not(
    authority: Authority, trusted: ssl.SSLContext
) -> None:
    async with (
        peer(Script(tls=trusted)) as silent,
        peer(promising(trusted)) as good,
        delivery(authority) as smtp,
    ):
        ways = route(silent.target, good.target, tls=VERIFY)
        result = await smtp.deliver(ways, job(sender=REQUIRES))
    assert isinstance(result.outcomes[0], Delivered)
    assert good.messages == [BODY]
    assert any(c.startswith("MAIL FROM:<ann@us.test> ") and c.endswith(" REQUIRETLS")
               for c in good.commands)  # fmt: skip
    assert verbs_after_ehlo(silent) == set(), "not even its envelope was shown"


async def test_where_no_host_promises_it_comes_back_at_once(
    authority: Authority, trusted: ssl.SSLContext
) -> None:
    async with (
        peer(Script(tls=trusted)) as first,
        peer(Script(tls=trusted)) as second,
        delivery(authority) as smtp,
    ):
        ways = route(first.target, second.target, tls=VERIFY)
        result = await smtp.deliver(ways, job(sender=REQUIRES))
        (outcome,) = result.outcomes
        assert isinstance(outcome, Refused)
        assert (outcome.reply.enhanced, outcome.cause) == ("5.7.30", Cause.UNENCRYPTED)
        assert len(result.attempts) == 2
        for server in (first, second):
            assert server.messages == []
            assert verbs_after_ehlo(server) == set()
        other = await smtp.deliver(ways, job())
    assert isinstance(other.outcomes[0], Delivered), "other mail is not concerned"


async def test_a_host_that_is_down_may_be_the_one_that_promises(
    authority: Authority, trusted: ssl.SSLContext
) -> None:
    down = Target("peer.test", "127.0.0.1", free_port())
    async with peer(Script(tls=trusted)) as server, delivery(authority) as smtp:
        ways = route(server.target, down, tls=VERIFY)
        result = await smtp.deliver(ways, job(sender=REQUIRES))
    assert isinstance(result.outcomes[0], Deferred)
    assert server.messages == []
