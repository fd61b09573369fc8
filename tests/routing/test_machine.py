from postern.routing.machine import owns_address, this_machine


def test_loopback_is_ours_and_documentation_addresses_are_not() -> None:
    assert owns_address("127.0.0.1")
    assert not owns_address("192.0.2.1")
    assert not owns_address("2001:db8::1")


def test_facts_are_gathered_without_an_error_on_any_machine() -> None:
    machine = this_machine()
    assert machine.has_ipv6 in {True, False}
    assert machine.owns("127.0.0.1")
