"""From a domain to its mail hosts: every branch of what DNS can say."""

from collections.abc import Callable

import pytest
from tests.routing.conftest import OUR_ADDRESS, World

from postern.mail.dns import Question, Status
from postern.mail.finding import Whose
from postern.mail.outcome import Cause
from postern.mail.route import ANY_TLS
from postern.routing.settings import HostPort, Ipv6Policy


async def test_mx_hosts_are_tried_in_order_of_preference(world: World) -> None:
    world.dns.add("tea.test", "MX", "20 backup.tea.test", "10 mx.tea.test")
    world.dns.add("mx.tea.test", "A", "192.0.2.1")
    world.dns.add("backup.tea.test", "A", "192.0.2.2")
    route = await world.smtp("tea.test")
    assert [(t.host, t.ip, t.port) for t in route.targets] == [
        ("mx.tea.test", "192.0.2.1", 25),
        ("backup.tea.test", "192.0.2.2", 25),
    ]
    assert (route.group, route.egress.name) == ("tea.test", "direct")
    assert {target.tls for target in route.targets} == {ANY_TLS}


async def test_mx_hosts_name_the_group(world: World) -> None:
    world.dns.add("tea.test", "MX", "1 aspmx.l.google.test", "5 alt1.aspmx.l.google.test")
    world.dns.add("aspmx.l.google.test", "A", "192.0.2.1")
    assert (await world.smtp("tea.test")).group == "google.test"


async def test_equal_preferences_are_shuffled_anew_after_some_seconds(world: World) -> None:
    world.dns.add("tea.test", "MX", *(f"10 mx{n}.tea.test" for n in range(5)), ttl_s=86_400)
    for n in range(5):
        world.dns.add(f"mx{n}.tea.test", "A", f"192.0.2.{n}", ttl_s=86_400)
        world.dns.add(f"mx{n}.tea.test", "AAAA", status=Status.NO_DATA, ttl_s=86_400)
    orders = set()
    for _ in range(40):
        orders.add(tuple(await world.ips("tea.test")))
        world.clock.advance(6)
    assert len(orders) > 10
    assert {order[0] for order in orders} == {f"192.0.2.{n}" for n in range(5)}
    assert world.dns.queries.count(Question("tea.test", "MX")) == 1


async def test_recipients_of_one_moment_get_one_and_the_same_order(world: World) -> None:
    world.dns.add("tea.test", "MX", *(f"10 mx{n}.tea.test" for n in range(5)))
    for n in range(5):
        world.dns.add(f"mx{n}.tea.test", "A", f"192.0.2.{n}")
    assert len({tuple(await world.ips("tea.test")) for _ in range(20)}) == 1


async def test_no_mx_means_the_domains_own_addresses(world: World) -> None:
    world.dns.add("tea.test", "A", "192.0.2.1")
    world.dns.add("tea.test", "AAAA", "2001:db8::1")
    route = await world.smtp("tea.test")
    assert [t.ip for t in route.targets] == ["2001:db8::1", "192.0.2.1"]
    assert (route.group, route.targets[0].host) == ("tea.test", "tea.test")


async def test_ipv6_only_hosts_are_reached(world: World) -> None:
    world.dns.add("tea.test", "MX", "10 mx.tea.test")
    world.dns.add("mx.tea.test", "AAAA", "2001:db8::1")
    assert await world.ips("tea.test") == ["2001:db8::1"]


# --- no way, for good ---------------------------------------------------------------------------


async def test_missing_domain_is_refused(world: World) -> None:
    outcome = await world.refused("tea.test")
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.1.2")
    assert (outcome.cause, outcome.whose) == (Cause.NO_DOMAIN, Whose.SENDER)
    assert "tea.test" in outcome.reply.text


async def test_null_mx_is_refused_and_the_address_is_not_tried(world: World) -> None:
    world.dns.add("tea.test", "MX", "0 .")
    world.dns.add("tea.test", "A", "192.0.2.1")
    outcome = await world.refused("tea.test")
    assert (outcome.reply.code, outcome.reply.enhanced) == (556, "5.1.10")
    assert outcome.cause is Cause.NO_MAIL_HOST
    assert world.dns.queries == [Question("tea.test", "MX")]


async def test_null_mx_beside_a_real_one_is_passed_over(world: World) -> None:
    world.dns.add("tea.test", "MX", "0 .", "10 mx.tea.test")
    world.dns.add("mx.tea.test", "A", "192.0.2.1")
    assert await world.ips("tea.test") == ["192.0.2.1"]


async def test_domain_with_neither_mx_nor_address_is_refused(world: World) -> None:
    world.dns.add("tea.test", "TXT", "v=spf1 -all")
    outcome = await world.refused("tea.test")
    assert (outcome.reply.enhanced, outcome.cause) == ("5.4.4", Cause.NO_MAIL_HOST)


async def test_mx_hosts_without_addresses_are_refused_and_the_domains_own_is_not_tried(
    world: World,
) -> None:
    world.dns.add("tea.test", "MX", "10 gone.tea.test", "20 empty.tea.test")
    world.dns.add("empty.tea.test", "TXT", "nothing")
    world.dns.add("tea.test", "A", "192.0.2.1")
    outcome = await world.refused("tea.test")
    assert (outcome.reply.enhanced, outcome.cause) == ("5.4.4", Cause.NO_MAIL_HOST)
    assert outcome.whose is Whose.RECIPIENT


@pytest.mark.parametrize("ip", ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1"])
async def test_addresses_that_no_server_can_have_are_not_used(world: World, ip: str) -> None:
    world.dns.add("tea.test", "A", ip)
    assert (await world.refused("tea.test")).reply.enhanced == "5.4.4"


@pytest.mark.parametrize("ip", ["::", "ff02::1", "fe80::1", "::ffff:127.0.0.1"])
async def test_ipv6_addresses_that_no_server_can_have_are_not_used(world: World, ip: str) -> None:
    world.dns.add("tea.test", "AAAA", ip)
    assert (await world.refused("tea.test")).reply.enhanced == "5.4.4"


# --- couldn't tell ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
@pytest.mark.parametrize("asked", [("tea.test", "MX"), ("mx.tea.test", "A")])
async def test_dns_trouble_delays_and_never_refuses(
    world: World, status: Status, asked: tuple[str, str]
) -> None:
    world.dns.add("tea.test", "MX", "10 mx.tea.test", "20 gone.tea.test")
    world.dns.add("mx.tea.test", "A", "192.0.2.1")
    world.dns.add(*asked, status=status)
    outcome = await world.deferred("tea.test")
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.4.3")
    assert (outcome.cause, outcome.whose) == (Cause.DNS, Whose.BETWEEN)


async def test_dns_trouble_with_the_implicit_mx_delays(world: World) -> None:
    world.dns.add("tea.test", "TXT", "here")
    world.dns.time_out("tea.test", "A")
    assert (await world.deferred("tea.test")).cause is Cause.DNS


async def test_known_host_is_used_while_another_couldnt_be_told(world: World) -> None:
    world.dns.add("tea.test", "MX", "10 mx.tea.test", "20 backup.tea.test")
    world.dns.time_out("mx.tea.test", "A")
    world.dns.add("backup.tea.test", "A", "192.0.2.2", ttl_s=86_400)
    assert await world.ips("tea.test") == ["192.0.2.2"]
    world.dns.add("mx.tea.test", "A", "192.0.2.1")
    world.clock.advance(31)
    assert await world.ips("tea.test") == ["192.0.2.1", "192.0.2.2"]


async def test_known_ipv4_is_used_while_ipv6_times_out(world: World) -> None:
    world.dns.add("tea.test", "MX", "10 mx.tea.test")
    world.dns.add("mx.tea.test", "A", "192.0.2.1")
    world.dns.time_out("mx.tea.test", "AAAA")
    assert await world.ips("tea.test") == ["192.0.2.1"]


async def test_dns_trouble_is_not_remembered(world: World) -> None:
    world.dns.time_out("tea.test", "MX")
    await world.deferred("tea.test")
    world.dns.add("tea.test", "MX", "10 mx.tea.test")
    world.dns.add("mx.tea.test", "A", "192.0.2.1")
    assert await world.ips("tea.test") == ["192.0.2.1"]


# --- ourselves ----------------------------------------------------------------------------------


async def test_only_hosts_better_than_ourselves_are_used(world: World) -> None:
    world.dns.add("tea.test", "MX", "5 a.test", "10 mx.host.test", "10 b.test", "20 c.test")
    for number, host in enumerate("abc"):
        world.dns.add(f"{host}.test", "A", f"192.0.2.{number}")
    assert await world.ips("tea.test") == ["192.0.2.0"]


async def test_being_the_best_mx_of_a_strange_domain_is_a_loop(world: World) -> None:
    world.dns.add("tea.test", "MX", "5 mx.host.test", "10 b.test")
    world.dns.add("b.test", "A", "192.0.2.1")
    outcome = await world.refused("tea.test")
    assert (outcome.reply.enhanced, outcome.cause, outcome.whose) == (
        "5.4.6",
        Cause.LOOP,
        Whose.US,
    )
    assert "mx.host.test" in outcome.reply.text


async def test_our_address_under_another_name_is_ourselves_too(
    make_world: Callable[[], World],
) -> None:
    for listener, ip in [("192.0.2.7", "192.0.2.7"), ("0.0.0.0", OUR_ADDRESS)]:
        world = make_world()
        world.set(listeners=(HostPort(listener, 25),))
        world.dns.add("tea.test", "MX", "5 a.test", "10 alias.test", "20 c.test")
        world.dns.add("a.test", "A", "192.0.2.1")
        world.dns.add("alias.test", "A", ip)
        world.dns.add("c.test", "A", "192.0.2.3")
        assert await world.ips("tea.test") == ["192.0.2.1"]


async def test_domain_whose_own_address_is_ours_is_a_loop(world: World) -> None:
    world.set(listeners=(HostPort("192.0.2.7", 25),))
    world.dns.add("tea.test", "A", "192.0.2.7")
    assert (await world.refused("tea.test")).cause is Cause.LOOP


async def test_loopback_mx_on_port_25_is_a_loop(world: World) -> None:
    world.dns.add("tea.test", "A", "127.0.0.1")
    assert (await world.refused("tea.test")).cause is Cause.LOOP


async def test_loopback_mx_is_ordinary_on_another_port_than_our_listeners(world: World) -> None:
    world.set(listeners=(HostPort("127.0.0.1", 2525),), port=2526)
    world.dns.add("tea.test", "MX", "10 mx.tea.test")
    world.dns.add("mx.tea.test", "A", "127.0.0.1")
    route = await world.smtp("tea.test")
    assert (route.targets[0].ip, route.targets[0].port) == ("127.0.0.1", 2526)


async def test_better_host_that_couldnt_be_told_delays_and_is_no_loop(world: World) -> None:
    world.dns.add("tea.test", "MX", "5 a.test", "10 mx.host.test")
    world.dns.time_out("a.test", "A")
    assert (await world.deferred("tea.test")).cause is Cause.DNS


# --- odd zones ----------------------------------------------------------------------------------


async def test_mx_that_is_an_address_is_tolerated(world: World) -> None:
    world.dns.add("tea.test", "MX", "10 192.0.2.1")
    assert await world.ips("tea.test") == ["192.0.2.1"]


async def test_mx_with_an_impossible_name_is_passed_over(world: World) -> None:
    world.dns.add("tea.test", "MX", "5 mail\\@tea.test", "6 a..test", "10 mx_1.tea.test")
    world.dns.add("mx_1.tea.test", "A", "192.0.2.1")
    assert await world.ips("tea.test") == ["192.0.2.1"]


async def test_host_listed_twice_is_used_at_its_better_place(world: World) -> None:
    world.dns.add("tea.test", "MX", "30 a.test", "20 b.test", "10 a.test")
    world.dns.add("a.test", "A", "192.0.2.1")
    world.dns.add("b.test", "A", "192.0.2.2")
    assert await world.ips("tea.test") == ["192.0.2.1", "192.0.2.2"]


async def test_zone_with_hundreds_of_hosts_costs_few_lookups(world: World) -> None:
    world.dns.add("tea.test", "MX", *(f"{n} mx{n}.tea.test" for n in range(1, 300)))
    for n in range(1, 300):
        world.dns.add(f"mx{n}.tea.test", "A", f"192.0.2.{n % 250 + 1}")
    assert len(await world.ips("tea.test")) == 10
    assert len(world.dns.queries) == 1 + 2 * 10


# --- IPv6 ---------------------------------------------------------------------------------------


async def test_ipv6_goes_last_on_a_machine_without_it(world: World) -> None:
    world.machine = type(world.machine)(has_ipv6=False, owns=world.machine.owns)
    world.dns.add("tea.test", "A", "192.0.2.1")
    world.dns.add("tea.test", "AAAA", "2001:db8::1")
    assert await world.ips("tea.test") == ["192.0.2.1", "2001:db8::1"]


async def test_ipv6_goes_last_where_it_is_set_so(world: World) -> None:
    world.set(ipv6=Ipv6Policy.LAST)
    world.dns.add("tea.test", "A", "192.0.2.1")
    world.dns.add("tea.test", "AAAA", "2001:db8::1")
    assert await world.ips("tea.test") == ["192.0.2.1", "2001:db8::1"]


async def test_ipv6_is_not_even_asked_for_where_it_is_switched_off(world: World) -> None:
    world.set(ipv6=Ipv6Policy.NEVER)
    world.dns.add("tea.test", "A", "192.0.2.1")
    world.dns.add("tea.test", "AAAA", "2001:db8::1")
    assert await world.ips("tea.test") == ["192.0.2.1"]
    assert Question("tea.test", "AAAA") not in world.dns.queries


async def test_ipv6_only_domain_is_refused_as_our_doing_where_ipv6_is_switched_off(
    world: World,
) -> None:
    world.set(ipv6=Ipv6Policy.NEVER)
    world.dns.add("tea.test", "AAAA", "2001:db8::1")
    outcome = await world.refused("tea.test")
    assert (outcome.reply.enhanced, outcome.whose) == ("5.4.4", Whose.US)


# --- what one resolver alone says is not there ---------------------------------------------------


async def test_domain_is_returned_only_when_a_second_resolver_does_not_know_it_either(
    world: World,
) -> None:
    world.dns.add_second("gone.test", "MX", status=Status.NO_NAME)
    assert (await world.refused("gone.test")).reply.enhanced == "5.1.2"
    world.dns.add_second("doubt.test", "MX", status=Status.TIMEOUT)
    doubtful = await world.deferred("doubt.test")
    assert (doubtful.reply.enhanced, doubtful.whose) == ("4.4.3", Whose.BETWEEN)
    assert "second could not confirm" in doubtful.reply.text
    world.dns.add_second("hidden.test", "MX", "10 mx.tea.test")
    world.dns.add("mx.tea.test", "A", "192.0.2.1")
    assert await world.ips("hidden.test") == ["192.0.2.1"]


async def test_mx_and_addresses_that_only_the_second_sees_are_used(world: World) -> None:
    world.dns.add("tea.test", "TXT", "the name is there")
    world.dns.add_second("tea.test", "MX", "10 mx.tea.test")
    world.dns.add_second("mx.tea.test", "A", "192.0.2.1")
    assert await world.ips("tea.test") == ["192.0.2.1"]


async def test_domain_without_mail_host_is_not_returned_while_the_second_couldnt_tell(
    world: World,
) -> None:
    world.dns.add("tea.test", "TXT", "the name is there")
    world.dns.add_second("tea.test", "MX", status=Status.SERVER_FAILURE)
    assert (await world.deferred("tea.test")).reply.enhanced == "4.4.3"
