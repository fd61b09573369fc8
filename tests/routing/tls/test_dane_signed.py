"""DANE from signed zones to the handshake: nsd, unbound, our resolver, our routes, our delivery."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.delivery.chains import Made, make, serving
from tests.delivery.jobs import job, settings
from tests.delivery.scripted import Peer, Script, peer
from tests.peers.dnssec import SignedDns
from tests.peers.process import free_port
from tests.routing.conftest import FakeMemory, FakePlaces

from postern.delivery.smtp import SmtpDelivery
from postern.mail.address import Address
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome
from postern.mail.route import NoRoute, Route, SmtpRoute, TlsPolicy
from postern.routing.machine import Machine
from postern.routing.router import Router
from postern.routing.settings import RoutingSettings
from postern.runtime.clock import SystemClock
from postern.runtime.resolver.resolver import Resolver
from postern.runtime.resolver.settings import ResolverSettings

pytestmark = pytest.mark.peers("nsd", "unbound")

ROOT = make("root", ca=True)
LEAF = make("mx.tea.test", ROOT, names=("mx.tea.test",), ca=False)
OTHER = make("elsewhere.test", ROOT, names=("elsewhere.test",), ca=False)
STRANGER = make("stranger")


@dataclass(frozen=True)
class World:
    """A resolver that validates, and the port of all mail hosts."""

    dns: SignedDns
    port: int

    async def route(self, domain: str, *, trusted: bool | None = None) -> Route:
        server = ResolverSettings.parse("home", [self.dns.address], tries_s=(20.0,))
        home = ResolverSettings("home", server.servers, tries_s=(20.0,), trusted=trusted)
        clock = SystemClock()
        routing = RoutingSettings("us.test", port=self.port)
        machine = Machine(has_ipv6=False, owns=lambda _: False)
        router = Router(
            FakePlaces(), Resolver([home], clock), routing, clock, machine, memory=FakeMemory()
        )
        return await router.route(Address("bob", domain))

    async def send(self, domain: str, *shown: Made) -> tuple[Outcome, Peer]:
        route = await self.route(domain)
        assert isinstance(route, SmtpRoute), route
        smtp = SmtpDelivery(settings(), SystemClock())
        script = Script(tls=serving(*shown) if shown else None)
        async with peer(script, port=self.port) as server:
            outcome = (await smtp.deliver(route.ways, job())).outcomes[0]
            await smtp.close(2)
        return outcome, server


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    port = free_port()
    tlsa = f"_{port}._tcp"
    head = "@ MX 10 mx\nmx A 127.0.0.1\n"
    zones = {
        "ee.test": f"{head}{tlsa}.mx TLSA {LEAF.record(3)}",
        "ta.test": f"{head}{tlsa}.mx TLSA {ROOT.record(2, 0)}",
        "tea.test": f"{head}{tlsa}.mx TLSA {ROOT.record(2, 1, 2)}",
        "alias.test": f"@ MX 10 a\na CNAME mx.tea.test.\n{tlsa}.a TLSA {STRANGER.record(3)}",
        "none.test": head,
        "pkix.test": f"{head}{tlsa}.mx TLSA {ROOT.record(0)}",
        "spoilt.test": f"{head}{tlsa}.mx TLSA {LEAF.record(3)}",
        "half.test": "@ MX 10 mx.plain.test.",
        "away.test": f"@ MX 10 a\na CNAME mx.plain.test.\n{tlsa}.a TLSA {LEAF.record(3)}",
        "bare.test": "@ MX 10 a\na CNAME mx.plain.test.",
    }
    plain = {"plain.test": f"{head}{tlsa}.mx TLSA {STRANGER.record(3)}"}
    spoilt = [f"{tlsa}.mx.spoilt.test"]
    with SignedDns(zones, unsigned=plain, spoilt=spoilt) as dns:
        yield World(dns, port)


async def test_the_key_in_dns_is_enough_and_another_gets_nothing(world: World) -> None:
    outcome, server = await world.send("ee.test", LEAF)
    assert isinstance(outcome, Delivered)
    assert len(server.messages) == 1
    for shown in ([STRANGER], []):
        outcome, server = await world.send("ee.test", *shown)
        assert isinstance(outcome, Deferred)
        assert outcome.cause is (Cause.TLS if shown else Cause.UNENCRYPTED)
        assert "MAIL" not in server.verbs()


async def test_the_authority_in_dns_is_enough_for_a_certificate_of_that_name(world: World) -> None:
    outcome, _ = await world.send("tea.test", LEAF, ROOT)
    assert isinstance(outcome, Delivered)
    outcome, server = await world.send("tea.test", OTHER, ROOT)
    assert isinstance(outcome, Deferred)
    assert "elsewhere.test" in outcome.reply.text
    assert "MAIL" not in server.verbs()
    outcome, _ = await world.send("ta.test", LEAF, ROOT)  # its host is mx.ta.test
    assert isinstance(outcome, Deferred)


async def test_a_signed_alias_has_the_records_of_the_name_it_leads_to(world: World) -> None:
    outcome, _ = await world.send("alias.test", LEAF, ROOT)
    assert isinstance(outcome, Delivered)


async def test_a_signed_alias_of_an_insecure_name_has_records_of_its_own(world: World) -> None:
    outcome, _ = await world.send("away.test", LEAF)
    assert isinstance(outcome, Delivered)
    outcome, server = await world.send("away.test", STRANGER)
    assert isinstance(outcome, Deferred)
    assert "MAIL" not in server.verbs()


async def test_records_that_are_not_for_smtp_ask_for_tls_of_any_kind(world: World) -> None:
    outcome, server = await world.send("pkix.test", STRANGER)
    assert isinstance(outcome, Delivered)
    assert server.is_secure
    outcome, server = await world.send("pkix.test")
    assert isinstance(outcome, Deferred)
    assert server.messages == []


@pytest.mark.parametrize("domain", ["none.test", "plain.test", "half.test", "bare.test"])
async def test_without_records_that_count_mail_goes_as_ever(world: World, domain: str) -> None:
    outcome, _ = await world.send(domain)
    assert isinstance(outcome, Delivered)


async def test_records_whose_signatures_do_not_fit_stop_the_mail(world: World) -> None:
    route = await world.route("spoilt.test")
    assert isinstance(route, NoRoute)
    assert isinstance(route.outcome, Deferred)
    assert route.outcome.cause is Cause.DNS


async def test_a_resolver_that_is_not_trusted_makes_no_dane(world: World) -> None:
    route = await world.route("ee.test", trusted=False)
    assert isinstance(route, SmtpRoute)
    assert route.targets[0].tls.policy is TlsPolicy.OPPORTUNISTIC
