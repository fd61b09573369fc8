import pytest

from postern.routing.loops import Ourselves
from postern.routing.settings import HostPort


def ourselves(*listeners: HostPort, owned: str = "") -> Ourselves:
    return Ourselves("MX.Host.Test.", listeners, lambda ip: ip == owned)


def test_our_name_is_ourselves() -> None:
    assert ourselves().is_our_name("mx.host.test")
    assert not ourselves().is_our_name("mx2.host.test")


def test_a_listeners_address_is_ourselves_only_with_its_port() -> None:
    us = ourselves(HostPort("192.0.2.7", 2525))
    assert us.is_our_address("192.0.2.7", 2525)
    assert not us.is_our_address("192.0.2.7", 25)
    assert not us.is_our_address("192.0.2.8", 2525)


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_a_listener_on_all_addresses_is_ourselves_wherever_this_machine_is(everywhere: str) -> None:
    us = ourselves(HostPort(everywhere, 2525), owned="192.0.2.7")
    assert us.is_our_address("192.0.2.7", 2525)
    assert us.is_our_address("127.0.0.1", 2525)
    assert us.is_our_address("::1", 2525)
    assert not us.is_our_address("192.0.2.8", 2525)
    assert not us.is_our_address("192.0.2.7", 2526)


def test_loopback_is_ordinary_in_a_laboratory_and_ourselves_on_port_25() -> None:
    us = ourselves(HostPort("127.0.0.1", 2525))
    assert not us.is_our_address("127.0.0.1", 2526)
    assert us.is_our_address("127.0.0.1", 25)
    assert us.is_our_address("::1", 25)


def test_ipv4_in_the_clothes_of_ipv6_is_recognised() -> None:
    us = ourselves(HostPort("192.0.2.7", 25))
    assert us.is_our_address("::ffff:192.0.2.7", 25)
    assert us.is_our_address("::ffff:127.0.0.1", 25)


def test_one_ipv6_address_has_many_spellings() -> None:
    us = ourselves(HostPort("2001:DB8:0::7", 25))
    assert us.is_our_address("2001:db8::7", 25)
