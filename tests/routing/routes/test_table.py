"""Routes as a worker looks them up."""

from postern.measures.temporary import Kind, Temporary
from postern.routing.routes.route import GroupPolicy, PinnedRoute, Policy, RouteMatch
from postern.routing.routes.table import RouteTable
from postern.runtime.clock import FakeClock


def route(label: str, match: RouteMatch, value: str, until: float | None = None) -> PinnedRoute:
    temporary = Temporary(label, Kind.ROUTE, "why", "cli:li", 0.0, until)
    return PinnedRoute(label, match, value, "us1", label == "R9", temporary)


def test_a_domains_own_route_comes_before_its_groups() -> None:
    table = RouteTable(FakeClock())
    group = route("R1", RouteMatch.GROUP, "google")
    domain = route("R2", RouteMatch.DOMAIN, "tea.example")
    table.load([group, domain], [])
    assert table.of("google", "tea.example") == domain
    assert table.of("google", "coffee.example") == group
    assert table.of("other", "coffee.example") is None
    assert table.of_group("google") == group
    assert table.of_group("tea.example") is None


def test_a_route_is_over_when_its_time_has_passed_though_nothing_was_read_anew() -> None:
    clock = FakeClock()
    table = RouteTable(clock)
    table.load([route("R9", RouteMatch.GROUP, "google", clock.now() + 60)], [])
    assert table.of("google", "tea.example") is not None
    assert [one.label for one in table.automatic()] == ["R9"]
    clock.advance(60)
    assert table.of("google", "tea.example") is None
    assert table.automatic() == ()


def test_the_version_moves_only_when_something_changed() -> None:
    table = RouteTable(FakeClock())
    assert table.load([route("R1", RouteMatch.GROUP, "google")], [])
    before = table.version
    assert not table.load([route("R1", RouteMatch.GROUP, "google")], [])
    assert table.version == before
    assert table.load([], [])
    assert table.version != before


def test_a_groups_policy_comes_before_the_default() -> None:
    table = RouteTable(FakeClock(), Policy.PROPOSE)
    table.load([], [GroupPolicy("google", Policy.NEVER, "cli:li", 0.0)])
    assert table.policy_of("google") is Policy.NEVER
    assert table.policy_of("other") is Policy.PROPOSE
