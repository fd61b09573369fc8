"""What TLSA records demand of a route, whatever DNS says or does not say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rdatatype
import pytest
from tests.routing.conftest import FakeMemory, FakePlaces, World
from tests.runtime.dns_servers import answering, failing, udp_server

from postern.mail.address import Address
from postern.mail.dns import Question, Status
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred
from postern.mail.route import ANY_TLS, NoRoute, SmtpRoute, Tlsa, TlsDemand, TlsPolicy
from postern.mail.tlsrpt import PolicyType, TlsResult, Untried
from postern.routing.machine import Machine
from postern.routing.router import Router
from postern.routing.settings import EgressSettings, HostPort, RoutingSettings
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.forward import ForwardZone, ForwardZones
from postern.runtime.resolver.resolver import Resolver
from postern.runtime.resolver.settings import ResolverLimits, ResolverSettings

RECORD = "3 1 1 " + "ab" * 32
PARSED = Tlsa(3, 1, 1, b"\xab" * 32)
TLSA = Question("_25._tcp.mx.tea.test", "TLSA")


@pytest.fixture
def signed(world: World) -> World:
    """``tea.test`` with one mail host, all of it under DNSSEC."""
    world.dns.add("tea.test", "MX", "10 mx.tea.test", secure=True)
    world.dns.add("mx.tea.test", "A", "192.0.2.1", secure=True)
    world.dns.add("mx.tea.test", "AAAA", status=Status.NO_DATA, secure=True)
    world.dns.add("_25._tcp.mx.tea.test", "TLSA", RECORD, secure=True)
    return world


async def demand(world: World) -> TlsDemand:
    (target,) = (await world.smtp("tea.test")).targets
    return target.tls


async def test_records_are_demanded_at_their_host_s_addresses(signed: World) -> None:
    names = ("mx.tea.test", "tea.test")
    assert await demand(signed) == TlsDemand(TlsPolicy.DANE, names, (PARSED,), "dane")
    assert signed.dane.domains == {"tea.test"}


async def test_other_ports_have_other_records(signed: World) -> None:
    signed.set(port=2525)
    assert await demand(signed) == ANY_TLS
    assert Question("_2525._tcp.mx.tea.test", "TLSA") in signed.dns.queries


async def test_each_host_has_its_own(signed: World) -> None:
    signed.dns.add("tea.test", "MX", "10 mx.tea.test", "20 b.tea.test", secure=True)
    signed.dns.add("b.tea.test", "A", "192.0.2.2", secure=True)
    demands = [target.tls.policy for target in (await signed.smtp("tea.test")).targets]
    assert demands == [TlsPolicy.DANE, TlsPolicy.OPPORTUNISTIC]


async def test_a_domain_without_mx_has_those_of_its_own_name(world: World) -> None:
    world.dns.add("tea.test", "MX", status=Status.NO_DATA, secure=True)
    world.dns.add("tea.test", "A", "192.0.2.1", secure=True)
    world.dns.add("_25._tcp.tea.test", "TLSA", RECORD, secure=True)
    assert (await demand(world)).policy is TlsPolicy.DANE


async def test_below_an_insecure_address_or_domain_nobody_is_asked_for_records(
    signed: World,
) -> None:
    signed.dns.add("mx.tea.test", "A", "192.0.2.1")
    assert await demand(signed) == ANY_TLS
    signed.router.forget()
    signed.dns.add("mx.tea.test", "A", "192.0.2.1", secure=True)
    signed.dns.add("tea.test", "MX", "10 mx.tea.test")
    assert await demand(signed) == ANY_TLS
    assert TLSA not in signed.dns.queries


async def test_an_insecure_address_of_one_kind_makes_the_host_insecure(signed: World) -> None:
    signed.dns.add("mx.tea.test", "AAAA", "2001:db8::1")
    demands = {target.tls for target in (await signed.smtp("tea.test")).targets}
    assert demands == {ANY_TLS}


async def test_insecure_records_demand_nothing(signed: World) -> None:
    signed.dns.add("_25._tcp.mx.tea.test", "TLSA", RECORD)
    assert await demand(signed) == ANY_TLS


@pytest.mark.parametrize("status", [Status.NO_NAME, Status.NO_DATA])
async def test_no_records_demand_nothing_and_are_asked_for_once(
    signed: World, status: Status
) -> None:
    signed.dns.add("_25._tcp.mx.tea.test", "TLSA", status=status, secure=True)
    for _ in range(3):
        assert await demand(signed) == ANY_TLS
    assert signed.dns.queries.count(TLSA) == 1


async def test_records_that_cannot_be_used_demand_tls_all_the_same(signed: World) -> None:
    signed.dns.add("_25._tcp.mx.tea.test", "TLSA", "1 1 1 " + "ab" * 32, secure=True)
    found = await demand(signed)
    assert (found.policy, found.source, found.fault) == (TlsPolicy.ENCRYPT, "dane", "tlsa-invalid")


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
async def test_where_dns_does_not_tell_the_host_is_not_used(signed: World, status: Status) -> None:
    signed.dns.add("_25._tcp.mx.tea.test", "TLSA", status=status)
    outcome = await signed.deferred("tea.test")
    assert (outcome.cause, outcome.whose) == (Cause.DNS, Whose.BETWEEN)
    assert outcome.reply.enhanced == "4.4.3"
    assert "TLSA" in outcome.reply.text
    why = Untried(PolicyType.TLSA, TlsResult.DNSSEC_INVALID, "mx.tea.test")
    assert signed.counts.told == [("tea.test", why)], "no session tells of it"
    signed.dns.add("tea.test", "MX", "10 mx.tea.test", "20 b.tea.test", secure=True)
    signed.dns.add("b.tea.test", "A", "192.0.2.2", secure=True)
    signed.clock.advance(31)
    assert await signed.ips("tea.test") == ["192.0.2.2"]
    signed.dns.add("_25._tcp.mx.tea.test", "TLSA", RECORD, secure=True)
    signed.clock.advance(31)
    assert await signed.ips("tea.test") == ["192.0.2.1", "192.0.2.2"]


async def test_a_route_is_kept_no_longer_than_the_records(signed: World) -> None:
    signed.dns.add("_25._tcp.mx.tea.test", "TLSA", RECORD, secure=True, ttl_s=20)
    await demand(signed)
    signed.dns.add("_25._tcp.mx.tea.test", "TLSA", "3 1 1 " + "cd" * 32, secure=True, ttl_s=20)
    signed.clock.advance(21)
    assert (await demand(signed)).tlsa[0].data == b"\xcd" * 32


async def test_of_an_alias_the_name_it_leads_to_is_asked_first(signed: World) -> None:
    signed.dns.add("mx.tea.test", "A", "192.0.2.1", secure=True, canonical="real.host.test")
    signed.dns.add("_25._tcp.real.host.test", "TLSA", "2 0 1 " + "cd" * 32, secure=True)
    found = await demand(signed)
    assert found.names == ("real.host.test", "tea.test", "mx.tea.test")
    assert found.tlsa[0].usage == 2
    assert TLSA not in signed.dns.queries
    signed.dns.add("_25._tcp.real.host.test", "TLSA", status=Status.NO_NAME, secure=True)
    signed.router.forget()
    assert (await demand(signed)).names == ("mx.tea.test", "tea.test")


async def test_a_signed_alias_that_leads_below_an_insecure_zone_has_records_of_its_own_name_alone(
    signed: World,
) -> None:
    signed.dns.add("mx.tea.test", "A", "192.0.2.1", canonical="real.host.test")
    signed.dns.add("mx.tea.test", "AAAA", status=Status.NO_DATA)
    signed.dns.add("mx.tea.test", "CNAME", "real.host.test", secure=True, ttl_s=20)
    signed.dns.add("_25._tcp.real.host.test", "TLSA", "2 0 1 " + "cd" * 32)
    assert await demand(signed) == TlsDemand(
        TlsPolicy.DANE, ("mx.tea.test", "tea.test"), (PARSED,), "dane"
    )
    assert Question("_25._tcp.real.host.test", "TLSA") not in signed.dns.queries
    signed.dns.add("mx.tea.test", "CNAME", "real.host.test")
    signed.clock.advance(21)  # the alias is kept for 20 s
    assert await demand(signed) == ANY_TLS, "an insecure alias is none that counts"


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
async def test_where_dns_does_not_tell_of_an_alias_whether_it_is_signed_the_host_is_not_used(
    signed: World, status: Status
) -> None:
    signed.dns.add("mx.tea.test", "A", "192.0.2.1", canonical="real.host.test")
    signed.dns.add("mx.tea.test", "CNAME", status=status)
    assert (await signed.deferred("tea.test")).cause is Cause.DNS
    assert TLSA not in signed.dns.queries


async def test_a_relay_that_somebody_wrote_down_is_not_asked_for_records(signed: World) -> None:
    relay = EgressSettings("us1", HostPort("mx.tea.test", 25), tls=TlsPolicy.VERIFY)
    signed.set(egresses=(relay,))
    assert await demand(signed) == TlsDemand(TlsPolicy.VERIFY)
    assert TLSA not in signed.dns.queries


async def test_another_resolver_s_word_does_not_take_dane_from_a_domain_that_had_it(
    signed: World,
) -> None:
    assert (await demand(signed)).policy is TlsPolicy.DANE
    # Now home fails for these names, and the answers are another's, whom nobody can vouch for.
    signed.dns.home = "home"
    signed.router.forget()
    outcome = await signed.deferred("tea.test")
    assert outcome.cause is Cause.DNS
    signed.dane.domains.clear()
    signed.clock.advance(31)
    signed.dns.add("tea.test", "MX", "10 mx.tea.test")
    assert await demand(signed) == ANY_TLS


# --- a home that is away for a moment ------------------------------------------------------------


class Zone:
    """A DNS server's answers for ``tea.test``; ``is_down``: it fails."""

    def __init__(self, *, secure: bool) -> None:
        self.is_down = False
        self.secure = secure
        self.data = {"MX": "10 mx.tea.test.", "A": "192.0.2.1", "TLSA": RECORD}

    def answer(self, query: dns.message.Message) -> list[bytes]:
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        if self.is_down:
            return [failing(query)]
        records = [self.data[kind]] if kind in self.data else []
        response = dns.message.from_wire(answering(query, *records, ttl=86_400))
        if self.secure:
            response.flags |= dns.flags.AD
        return [response.to_wire()]


@dataclass
class Two:
    """A router with two resolvers, the first of which validates."""

    home: Zone
    other: Zone
    resolver: Resolver
    router: Router
    clock: FakeClock

    async def tls(self) -> TlsDemand | None:
        """What is demanded now; None: the mail waits."""
        route = await self.router.route(Address("wang", "tea.test"))
        if isinstance(route, SmtpRoute):
            return route.targets[0].tls
        assert isinstance(route, NoRoute)
        assert isinstance(route.outcome, Deferred)
        return None


@asynccontextmanager
async def two() -> AsyncIterator[Two]:
    zones = Zone(secure=True), Zone(secure=False)
    clock = FakeClock()
    async with udp_server(zones[0].answer) as near, udp_server(zones[1].answer) as far:
        named = [
            ResolverSettings.parse(name, [server.address], tries_s=(20.0,))
            for name, server in (("home", near), ("abroad", far))
        ]
        resolver = Resolver(named, clock, ResolverLimits(limit_s=60.0))
        router = Router(
            FakePlaces(),
            resolver,
            RoutingSettings(hostname="us.test"),
            clock,
            Machine(has_ipv6=False, owns=lambda _: False),
            memory=FakeMemory(),
        )
        yield Two(*zones, resolver, router, clock)


async def test_a_hiccup_of_dns_delays_mail_for_dane_by_seconds_and_not_by_another_s_ttl() -> None:
    async with two() as on:
        demand = await on.tls()
        assert demand is not None
        assert demand.policy is TlsPolicy.DANE
        on.home.is_down = True
        on.clock.advance(86_400)
        assert await on.tls() is None
        on.home.is_down = False
        on.clock.advance(31)
        assert await on.tls() == demand


async def test_a_hiccup_of_dns_takes_dane_from_a_domain_met_first_for_seconds_only() -> None:
    async with two() as on:
        on.home.is_down = True
        assert await on.tls() == ANY_TLS
        on.home.is_down = False
        on.clock.advance(31)
        demand = await on.tls()
        assert demand is not None
        assert demand.policy is TlsPolicy.DANE


async def test_home_is_asked_again_before_mail_waits_for_it() -> None:
    """Home was away while the mail hosts were asked for, and is back when their records are."""
    async with two() as on:
        demand = await on.tls()
        on.home.is_down = True
        on.clock.advance(86_400)
        await on.tls()
        on.home.is_down = False
        on.clock.advance(10)  # another's answers are still good, home's failures are not
        on.router.forget()
        assert await on.tls() == demand


async def test_a_zone_looked_up_elsewhere_keeps_the_dane_that_home_vouches_for() -> None:
    async with two() as on:
        demand = await on.tls()
        on.resolver.forward(ForwardZones([ForwardZone("tea.test", "abroad", None, "id-1")]))
        on.router.forget()
        assert await on.tls() == demand
        on.home.is_down = True
        on.clock.advance(86_400)
        assert await on.tls() is None


async def test_hosts_that_home_does_not_name_are_not_used_for_a_domain_that_had_dane() -> None:
    async with two() as on:
        assert await on.tls() is not None
        on.other.data["MX"] = "10 mx.elsewhere.test."
        on.resolver.forward(ForwardZones([ForwardZone("tea.test", "abroad", None, "id-1")]))
        on.router.forget()
        assert await on.tls() is None


async def test_a_domain_that_gave_up_dnssec_goes_on_without_dane_as_home_says() -> None:
    async with two() as on:
        assert await on.tls() is not None
        on.home.secure = False
        on.clock.advance(86_400)
        on.resolver.forward(ForwardZones([ForwardZone("tea.test", "abroad", None, "id-1")]))
        assert await on.tls() == ANY_TLS
