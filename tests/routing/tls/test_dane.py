"""What TLSA records demand of a route, whatever DNS says or does not say."""

import pytest
from tests.routing.conftest import World

from postern.mail.dns import Question, Status
from postern.mail.finding import Whose
from postern.mail.outcome import Cause
from postern.mail.route import ANY_TLS, Tlsa, TlsDemand, TlsPolicy
from postern.routing.settings import EgressSettings, HostPort

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
