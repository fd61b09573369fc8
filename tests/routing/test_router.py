"""The order of the router's questions, and what it remembers."""

from collections.abc import Callable

import pytest
from tests.routing.conftest import World

from postern.mail.address import Address
from postern.mail.dns import Question, Status
from postern.mail.finding import Whose
from postern.mail.outcome import Cause
from postern.mail.route import (
    ANY_TLS,
    LmtpRoute,
    MaildirRoute,
    NoRoute,
    SmtpRoute,
    TlsDemand,
    TlsPolicy,
)
from postern.measures.temporary import Kind, Temporary
from postern.routing.places import GatewayDomain, LocalDomainUnknown, LocalMailbox
from postern.routing.router import MAX_KEPT
from postern.routing.routes.route import PinnedRoute, RouteMatch
from postern.routing.settings import EgressSettings, HostPort, LiteralPolicy
from postern.routing.tls.domains.policy import DomainPolicy

WANG = Address("wang", "tea.test")
US1 = EgressSettings(
    "us1", HostPort("us1.host.test", 587), username="cn1", password="s3cret", tls=TlsPolicy.VERIFY
)


def with_mx(world: World, ttl_s: int = 300) -> None:
    world.dns.add("tea.test", "MX", "10 mx.tea.test", ttl_s=ttl_s)
    world.dns.add("mx.tea.test", "A", "192.0.2.1", ttl_s=ttl_s)
    world.dns.add("mx.tea.test", "AAAA", status=Status.NO_DATA, ttl_s=ttl_s)


# --- what is ours -------------------------------------------------------------------------------


async def test_our_mailbox_is_put_in_its_maildir_without_a_question(world: World) -> None:
    world.places.domains["tea.test"] = LocalMailbox("tea.test/wang")
    assert world.router.cached_route(WANG) == MaildirRoute("local", "tea.test/wang")
    assert await world.route("tea.test") == MaildirRoute("local", "tea.test/wang")
    assert not world.dns.queries


async def test_our_mailbox_goes_to_the_lmtp_store_where_there_is_one(world: World) -> None:
    world.set(lmtp="unix:/run/dovecot/lmtp")
    world.places.domains["tea.test"] = LocalMailbox("tea.test/wang")
    assert world.router.cached_route(WANG) == LmtpRoute("local", "unix:/run/dovecot/lmtp")


async def test_our_mail_never_leaves_through_a_relay(world: World) -> None:
    world.set(egresses=(US1,))
    world.places.domains["tea.test"] = LocalMailbox("tea.test/wang")
    assert isinstance(await world.route("tea.test", "us1"), MaildirRoute)


async def test_mailbox_that_is_gone_is_refused(world: World) -> None:
    world.places.domains["tea.test"] = LocalDomainUnknown()
    outcome = await world.refused("tea.test")
    assert (outcome.reply.enhanced, outcome.cause) == ("5.1.1", Cause.NO_MAILBOX)


async def test_change_of_the_directory_holds_at_once(world: World) -> None:
    with_mx(world)
    await world.smtp("tea.test")
    world.places.domains["tea.test"] = LocalMailbox("tea.test/wang")
    assert isinstance(world.router.cached_route(WANG), MaildirRoute)


# --- gateways -----------------------------------------------------------------------------------


async def test_gateway_domain_goes_to_its_server_and_not_to_its_mx(world: World) -> None:
    with_mx(world)
    world.places.domains["tea.test"] = GatewayDomain("mail.customer.test", 2525)
    world.dns.add("mail.customer.test", "A", "192.0.2.50")
    route = await world.smtp("tea.test")
    assert route.group == "gateway:mail.customer.test:2525"
    assert [(t.host, t.ip, t.port) for t in route.targets] == [
        ("mail.customer.test", "192.0.2.50", 2525)
    ]


@pytest.mark.parametrize(
    ("ip", "group"),
    [("192.0.2.50", "gateway:192.0.2.50:2525"), ("2001:db8::5", "gateway:[2001:db8::5]:2525")],
)
async def test_gateway_by_address_needs_no_dns(world: World, ip: str, group: str) -> None:
    world.places.domains["tea.test"] = GatewayDomain(ip, 2525)
    route = await world.smtp("tea.test")
    assert (route.group, [t.ip for t in route.targets]) == (group, [ip])
    assert not world.dns.queries
    assert world.router.cached_route(WANG) == route


async def test_gateway_mail_never_leaves_through_a_relay(world: World) -> None:
    world.set(egresses=(US1, EgressSettings("office", source_ip="192.0.2.9")))
    world.places.domains["tea.test"] = GatewayDomain("192.0.2.50", 25)
    for via in (None, "us1", "nonsense"):
        route = await world.smtp("tea.test", via)
        assert (route.egress.name, route.egress.password) == ("office", None)


async def test_missing_gateway_host_delays_for_it_is_only_a_setting(world: World) -> None:
    world.places.domains["tea.test"] = GatewayDomain("mail.customer.test", 25)
    outcome = await world.deferred("tea.test")
    assert (outcome.reply.enhanced, outcome.whose) == ("4.4.4", Whose.RECIPIENT)


async def test_gateway_that_couldnt_be_told_delays(world: World) -> None:
    world.places.domains["tea.test"] = GatewayDomain("mail.customer.test", 25)
    world.dns.time_out("mail.customer.test", "A")
    assert (await world.deferred("tea.test")).cause is Cause.DNS


async def test_gateway_that_is_ourselves_delays(world: World) -> None:
    world.set(listeners=(HostPort("127.0.0.1", 2525),))
    world.places.domains["tea.test"] = GatewayDomain("127.0.0.1", 2525)
    outcome = await world.deferred("tea.test")
    assert (outcome.cause, outcome.whose) == (Cause.LOOP, Whose.US)


async def test_gateway_on_this_machine_with_another_port_is_ordinary(world: World) -> None:
    world.set(listeners=(HostPort("0.0.0.0", 2525),))
    world.places.domains["tea.test"] = GatewayDomain("127.0.0.1", 2526)
    assert await world.ips("tea.test") == ["127.0.0.1"]


# --- relays and egresses ------------------------------------------------------------------------


async def test_everything_leaves_through_the_usual_relay_without_asking_about_the_domain(
    world: World,
) -> None:
    world.set(egresses=(EgressSettings("direct"), US1), via="us1")
    world.dns.add("us1.host.test", "A", "198.51.100.7", "198.51.100.8")
    world.dns.add("us1.host.test", "AAAA", status=Status.NO_DATA, ttl_s=300)
    route = await world.smtp("tea.test")
    assert {(t.host, t.port) for t in route.targets} == {("us1.host.test", 587)}
    assert {t.ip for t in route.targets} == {"198.51.100.7", "198.51.100.8"}
    assert route.group == "relay:us1"
    assert {target.tls for target in route.targets} == {TlsDemand(TlsPolicy.VERIFY)}
    assert (route.egress.username, route.egress.password) == ("cn1", "s3cret")
    assert {question.name for question in world.dns.queries} == {"us1.host.test"}
    assert world.router.cached_route(Address("li", "coffee.test")) == route


async def test_first_egress_is_the_usual_one_when_none_is_named(world: World) -> None:
    world.set(egresses=(US1,))
    world.dns.add("us1.host.test", "A", "198.51.100.7")
    assert (await world.smtp("tea.test")).egress.name == "us1"


async def test_named_egress_overrules_the_usual_one_both_ways(
    make_world: Callable[[], World],
) -> None:
    for via, usual in [("us1", "direct"), ("direct", "us1")]:
        world = make_world()
        world.set(egresses=(US1,), via=usual)
        with_mx(world)
        world.dns.add("us1.host.test", "A", "198.51.100.7")
        assert (await world.smtp("tea.test")).egress.name == usual
        assert (await world.smtp("tea.test", via)).egress.name == via
        cached = world.router.cached_route(WANG, via)
        assert isinstance(cached, SmtpRoute)
        assert cached.egress.name == via


async def test_egress_that_is_not_there_delays(world: World) -> None:
    outcome = await world.deferred("tea.test", "us9")
    assert (outcome.reply.enhanced, outcome.whose) == ("4.3.5", Whose.US)
    assert "us9" in outcome.reply.text


async def test_missing_relay_host_delays_as_our_mistake(world: World) -> None:
    world.set(egresses=(US1,))
    outcome = await world.deferred("tea.test")
    assert (outcome.reply.enhanced, outcome.whose) == ("4.4.4", Whose.US)


async def test_password_of_a_relay_is_never_shown(world: World) -> None:
    world.set(egresses=(US1,))
    world.dns.add("us1.host.test", "A", "198.51.100.7")
    assert "s3cret" not in repr(world.settings)
    assert "s3cret" not in repr(await world.route("tea.test"))


async def test_tls_of_a_relay_does_not_bind_mail_that_goes_directly(world: World) -> None:
    world.set(egresses=(EgressSettings("direct", tls=TlsPolicy.VERIFY),))
    with_mx(world)
    assert {target.tls for target in (await world.smtp("tea.test")).targets} == {ANY_TLS}


async def test_source_address_decides_the_family(world: World) -> None:
    world.set(egresses=(EgressSettings("v4", source_ip="192.0.2.9", helo="out.host.test"),))
    with_mx(world)
    world.dns.add("mx.tea.test", "AAAA", "2001:db8::1")
    route = await world.smtp("tea.test")
    assert [t.ip for t in route.targets] == ["192.0.2.1"]
    assert (route.egress.source_ip, route.egress.helo) == ("192.0.2.9", "out.host.test")


async def test_nothing_of_the_sources_family_delays(world: World) -> None:
    world.set(egresses=(EgressSettings("v6", source_ip="2001:db8::9"),))
    with_mx(world)
    assert (await world.deferred("tea.test")).whose is Whose.US


# --- address literals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "ip"),
    [("[198.41.0.4]", "198.41.0.4"), ("[IPv6:2001:503:ba3e::2:30]", "2001:503:ba3e::2:30")],
)
async def test_public_literal_is_its_own_host_and_group(
    world: World, literal: str, ip: str
) -> None:
    route = await world.smtp(literal)
    assert (route.group, [t.ip for t in route.targets]) == (literal, [ip])
    assert not world.dns.queries


@pytest.mark.parametrize(
    "literal",
    ["[10.0.0.1]", "[192.168.1.1]", "[169.254.169.254]", "[IPv6:fd00::1]", "[IPv6:fe80::1]",
     "[IPv6:::ffff:10.0.0.1]", "[0.0.0.0]", "[224.0.0.1]"],
)  # fmt: skip
async def test_literals_of_our_own_network_are_refused(world: World, literal: str) -> None:
    assert (await world.refused(literal)).reply.enhanced == "5.7.1"


async def test_private_literal_is_allowed_where_it_is_set_so_and_loopback_stays_a_loop(
    world: World,
) -> None:
    world.set(literals=LiteralPolicy.ANY)
    assert await world.ips("[10.0.0.1]") == ["10.0.0.1"]
    assert (await world.refused("[127.0.0.1]")).cause is Cause.LOOP
    assert (await world.refused("[IPv6:::ffff:127.0.0.1]")).cause is Cause.LOOP
    assert (await world.refused("[0.0.0.0]")).reply.enhanced == "5.7.1"


async def test_no_literal_goes_out_where_they_are_switched_off(world: World) -> None:
    world.set(literals=LiteralPolicy.NEVER)
    assert (await world.refused("[198.41.0.4]")).reply.enhanced == "5.7.1"


async def test_literal_that_is_no_address_is_refused(world: World) -> None:
    assert (await world.refused("[x400:nonsense]")).reply.enhanced == "5.1.2"


async def test_literal_leaves_through_the_relay_where_all_mail_does(world: World) -> None:
    world.set(egresses=(US1,))
    world.dns.add("us1.host.test", "A", "198.51.100.7")
    assert await world.ips("[10.0.0.1]") == ["198.51.100.7"]


async def test_address_without_domain_waits(world: World) -> None:
    assert (await world.deferred("")).whose is Whose.US


# --- what is remembered -------------------------------------------------------------------------


async def test_route_is_known_without_asking_as_long_as_the_smallest_ttl(world: World) -> None:
    with_mx(world, ttl_s=600)
    world.dns.add("mx.tea.test", "A", "192.0.2.1", ttl_s=120)
    assert world.router.cached_route(WANG) is None
    route = await world.smtp("tea.test")
    world.clock.advance(119)
    assert world.router.cached_route(WANG) == route
    world.clock.advance(1)
    assert world.router.cached_route(WANG) is None


async def test_refusal_is_remembered_by_its_ttl(world: World) -> None:
    route = await world.route("tea.test")
    assert isinstance(route, NoRoute)
    assert world.router.cached_route(WANG) == route
    world.clock.advance(60)
    assert world.router.cached_route(WANG) is None


async def test_ttl_zero_is_asked_for_every_time(world: World) -> None:
    with_mx(world, ttl_s=0)
    await world.smtp("tea.test")
    assert world.router.cached_route(WANG) is None
    await world.smtp("tea.test")
    assert world.dns.queries.count(Question("tea.test", "MX")) == 2


async def test_group_of_a_domain_is_known_once_it_was_asked_for(world: World) -> None:
    with_mx(world)
    world.dns.add("tea.test", "MX", "10 mx.provider.test")
    world.dns.add("mx.provider.test", "A", "192.0.2.1")
    assert world.router.group_of("tea.test") is None
    await world.smtp("tea.test")
    assert world.router.group_of("tea.test") == "provider.test"


async def test_forgetting_asks_again(world: World) -> None:
    with_mx(world)
    await world.smtp("tea.test")
    world.router.forget()
    assert world.router.cached_route(WANG) is None


async def test_memory_of_domains_is_bounded(world: World) -> None:
    with_mx(world)
    await world.smtp("tea.test")
    for number in range(MAX_KEPT):
        await world.route(f"d{number}.test")
    assert world.router.cached_route(WANG) is None
    assert world.router.cached_route(Address("wang", "d5.test")) is not None


async def test_what_we_ask_of_tls_for_a_domain_holds_at_once_and_for_it_alone(world: World) -> None:
    for name in ("far.test", "other.test"):
        world.dns.add(name, "MX", "10 mx.far.test")
    world.dns.add("mx.far.test", "A", "192.0.2.7")

    async def asked(domain: str) -> TlsDemand:
        return (await world.smtp(domain)).targets[0].tls

    assert await asked("far.test") == ANY_TLS
    world.ours.fill([DomainPolicy("far.test", TlsPolicy.VERIFY, "", "cli:li", 0.0)])
    assert await asked("far.test") == TlsDemand(TlsPolicy.VERIFY, source="domain")
    # Other mail for the same hosts goes in a transaction of its own.
    assert await asked("other.test") == ANY_TLS
    world.ours.fill([])
    assert await asked("far.test") == ANY_TLS


async def test_a_domain_that_a_person_routes_alone_shares_no_transaction(world: World) -> None:
    world.dns.add("far.test", "MX", "10 mx.far.test")
    world.dns.add("mx.far.test", "A", "192.0.2.1")
    assert not (await world.smtp("far.test")).is_apart
    made = Temporary("01R", Kind.ROUTE, "ticket 1", "cli:li", 0.0, None)
    pin = PinnedRoute(
        "R1", RouteMatch.DOMAIN, "far.test", "us1", is_automatic=False, temporary=made
    )
    world.table.load([pin], [])
    assert (await world.smtp("far.test")).is_apart, "from the next message on"
    world.table.load([], [])
    assert not (await world.smtp("far.test")).is_apart
