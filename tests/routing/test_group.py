import pytest

from postern.routing.group import LOCAL, group_of_hosts, organisation, own_name
from postern.routing.providers import Providers

NONE = Providers({})


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("alt1.aspmx.l.google.com", "google.com"),
        ("google.com", "google.com"),
        ("mx.tea.co.uk", "tea.co.uk"),
        ("tea.co.uk", "tea.co.uk"),
        ("mx1.tea.de", "tea.de"),
        ("mx.tea.sakura.ne.jp", "tea.sakura.ne.jp"),
        ("mx.kyoto.tea.ac.jp", "tea.ac.jp"),
        ("mx.abc.de", "abc.de"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_organisation_is_the_end_of_a_hosts_name(host: str, name: str) -> None:
    assert organisation(host) == name


def test_hosts_of_one_organisation_are_one_group() -> None:
    hosts = ["aspmx.l.google.com", "alt1.aspmx.l.google.com", "alt2.aspmx.l.google.com"]
    assert group_of_hosts(hosts, NONE) == "google.com"


def test_group_of_several_organisations_does_not_depend_on_their_order() -> None:
    assert group_of_hosts(["mx.b.test", "mx.a.test"], NONE) == "a.test+b.test"
    assert group_of_hosts(["mx2.a.test", "mx.b.test", "mx1.a.test"], NONE) == "a.test+b.test"


def test_group_of_many_organisations_is_bounded_and_still_its_own() -> None:
    many = [f"mx.org{number:03d}.test" for number in range(300)]
    group = group_of_hosts(many, NONE)
    assert len(group) < 60
    assert group == group_of_hosts(reversed(many), NONE)
    assert group != group_of_hosts([*many[:-1], "mx.other.test"], NONE)


def test_no_stranger_gets_among_our_own_mailboxes() -> None:
    assert own_name("local") != LOCAL
    assert group_of_hosts(["local"], NONE) != LOCAL
    assert own_name("tea.test") == "tea.test"
