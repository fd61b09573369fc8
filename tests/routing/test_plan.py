import random

from postern.mail.route import ANY_TLS
from postern.routing.plan import MAX_TARGETS, Host, Plan, targets


def plan(*hosts: Host) -> Plan:
    return Plan("tea.test", 25, hosts, 300.0)


def order(made: Plan, seed: int = 1, **options: bool) -> list[str]:
    return [target.ip for target in targets(made, random.Random(seed), ANY_TLS, **options)]


def test_lower_preference_always_comes_first() -> None:
    made = plan(Host("a", 5, ("192.0.2.1",)), Host("b", 10, ("192.0.2.2",)))
    assert {tuple(order(made, seed)) for seed in range(50)} == {("192.0.2.1", "192.0.2.2")}


def test_equal_preferences_share_the_load_evenly() -> None:
    hosts = [Host(f"h{n}", 10, (f"192.0.2.{n}",)) for n in range(4)]
    chance = random.Random(7)
    first = [targets(plan(*hosts), chance)[0].ip for _ in range(4000)]
    for n in range(4):
        assert 850 < first.count(f"192.0.2.{n}") < 1150


def test_every_host_of_a_preference_is_tried_before_a_second_address_of_one() -> None:
    made = plan(Host("a", 10, ("192.0.2.1", "192.0.2.2")), Host("b", 10, ("192.0.2.3",)))
    for seed in range(20):
        assert set(order(made, seed)[:2]) != {"192.0.2.1", "192.0.2.2"}


def test_ipv6_and_ipv4_of_a_host_alternate() -> None:
    made = plan(Host("a", 10, ("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")))
    assert [":" in ip for ip in order(made)] == [True, False, True, False]


def test_ipv6_goes_last_where_this_machine_has_none() -> None:
    made = plan(
        Host("a", 5, ("192.0.2.1",), ("2001:db8::1",)),
        Host("b", 10, ("192.0.2.2",), ("2001:db8::2",)),
    )
    assert order(made, ipv6_last=True) == ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]


def test_only_addresses_of_the_sources_family_are_taken() -> None:
    made = plan(Host("a", 5, ("192.0.2.1",), ("2001:db8::1",)))
    chance = random.Random(1)
    assert [t.ip for t in targets(made, chance, only_family=4)] == ["192.0.2.1"]
    assert [t.ip for t in targets(made, chance, only_family=6)] == ["2001:db8::1"]


def test_a_host_with_many_addresses_leaves_room_for_the_backup() -> None:
    made = plan(
        Host("a", 5, tuple(f"192.0.2.{n}" for n in range(1, 31))), Host("b", 10, ("198.51.100.1",))
    )
    assert order(made)[-1] == "198.51.100.1"


def test_no_more_than_ten_targets() -> None:
    made = plan(*(Host(f"h{n}", n, (f"192.0.2.{n}",)) for n in range(1, 30)))
    assert order(made) == [f"192.0.2.{n}" for n in range(1, MAX_TARGETS + 1)]


def test_targets_carry_host_and_port() -> None:
    (target,) = targets(plan(Host("mx.tea.test", 5, ("192.0.2.1",))), random.Random(1))
    assert (target.host, target.ip, target.port) == ("mx.tea.test", "192.0.2.1", 25)
