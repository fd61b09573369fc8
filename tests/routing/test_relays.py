"""Relays: their addresses are known ahead, and kept while DNS is silent."""

from dataclasses import replace

from postern.mail.paths import Path
from postern.routing.relays import AGAIN_S, Relay, Relays
from postern.routing.settings import EgressSettings, HostPort
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver

US1 = EgressSettings("us1", HostPort("us1.example", 587))


class Stand:
    """Relays over a fake resolver."""

    def __init__(self, *settings: EgressSettings) -> None:
        self.dns = FakeResolver()
        self.clock = FakeClock()
        self.relays = Relays(
            settings or (US1,), self.dns, self.clock, lambda ip, _: ip == "192.0.2.200",
            want_ipv6=True,
        )  # fmt: skip

    def relay(self, name: str = "us1") -> Relay:
        found = self.relays[name]
        assert found is not None
        return found

    def ips(self) -> list[str]:
        return [target.ip for target in self.relay().targets]


def test_an_address_that_is_written_down_is_known_at_once() -> None:
    stand = Stand(replace(US1, relay=HostPort("198.51.100.5", 587)))
    assert stand.ips() == ["198.51.100.5"]
    assert stand.relay().paths() == (Path("us1", "198.51.100.5", 587, encrypted=True),)
    assert stand.relay().public_ips == ("198.51.100.5",)


async def test_a_name_is_looked_up_and_again_when_its_ttl_is_over() -> None:
    stand = Stand()
    assert stand.ips() == []
    stand.dns.add("us1.example", "A", "198.51.100.5", ttl_s=300)
    await stand.relays.look_up()
    assert stand.ips() == ["198.51.100.5"]
    version = stand.relays.version
    stand.dns.add("us1.example", "A", "198.51.100.6", ttl_s=300)
    await stand.relays.look_up()
    assert stand.ips() == ["198.51.100.5"], "not before"
    stand.clock.advance(300)
    await stand.relays.look_up()
    assert stand.ips() == ["198.51.100.6"]
    assert stand.relays.version > version


async def test_what_was_known_is_kept_while_dns_is_silent() -> None:
    stand = Stand()
    stand.dns.add("us1.example", "A", "198.51.100.5", ttl_s=60)
    await stand.relays.look_up()
    stand.dns.fail_all()
    stand.clock.advance(3600)
    await stand.relays.look_up()
    assert stand.ips() == ["198.51.100.5"]
    stand.dns.fail_all(None)
    stand.dns.add("us1.example", "A", "198.51.100.6", ttl_s=60)
    stand.clock.advance(AGAIN_S)
    await stand.relays.look_up()
    assert stand.ips() == ["198.51.100.6"]


async def test_a_reload_while_dns_is_silent_keeps_what_was_known() -> None:
    before, other = Stand(), replace(US1, name="de1")
    before.dns.add("us1.example", "A", "198.51.100.5")
    before.dns.add("us1.example", "AAAA", "2001:db8::5")
    await before.relays.look_up()
    after = Stand(US1, other)
    after.dns.fail_all()
    assert after.relays.inherit(before.relays) == {"us1"}
    await after.relays.look_up()
    assert after.ips() == ["198.51.100.5", "2001:db8::5"]
    assert after.relay("de1").targets == ()
    moved = Stand(replace(US1, relay=HostPort("us2.example", 587)))
    assert moved.relays.inherit(before.relays) == frozenset()
    assert moved.ips() == [], "another host"


async def test_a_relay_that_is_ourselves_is_never_used() -> None:
    stand = Stand()
    stand.dns.add("us1.example", "A", "192.0.2.200", "198.51.100.5")
    await stand.relays.look_up()
    assert stand.ips() == ["198.51.100.5"]


async def test_only_addresses_of_the_sources_family_are_used() -> None:
    stand = Stand(replace(US1, source_ip="203.0.113.5", addresses=("203.0.113.99",)))
    stand.dns.add("us1.example", "A", "198.51.100.5")
    stand.dns.add("us1.example", "AAAA", "2001:db8::5")
    await stand.relays.look_up()
    assert stand.ips() == ["198.51.100.5"]
    assert stand.relay().public_ips == ("203.0.113.99",)
