from pathlib import Path as File

from tests.routing.paths.rig import route, worker

from postern.routing.paths import census as census_module
from postern.routing.paths.census import Census, Met
from postern.routing.paths.store.view import PathView
from postern.runtime.clock import FakeClock


async def test_domains_and_addresses_of_a_group_are_on_file(tmp_path: File) -> None:
    async with worker(tmp_path) as one:
        for number in range(38):
            one.census.met(route("google", f"tea{number:02}.example", "192.0.2.1", "192.0.2.2"))
        one.census.met(route("slow.example", "slow.example", "192.0.2.9"))
        one.census.met(route("relay:us1", "", "192.0.2.8", egress="us1"))
    view = PathView.open(tmp_path)
    assert view.domain_counts() == {"google": 38, "slow.example": 1}
    assert view.domains("google", 2) == ["tea00.example", "tea01.example"]
    assert view.group_of("tea37.example") == "google"
    assert view.group_of("other.example") is None
    known = view.addresses(["google"])
    assert [(one.place, one.ip, one.egress) for one in known] == [
        (1, "192.0.2.1", "direct"),
        (2, "192.0.2.2", "direct"),
    ]
    view.close()


async def test_a_domain_that_moves_counts_where_it_is_now(tmp_path: File) -> None:
    async with worker(tmp_path) as one:
        one.census.met(route("google", "tea.example", "192.0.2.1"))
        one.census.met(route("outlook", "tea.example", "192.0.2.5"))
    view = PathView.open(tmp_path)
    assert view.domain_counts() == {"outlook": 1}
    view.close()


def test_what_is_known_is_not_written_again_for_a_day() -> None:
    clock, met = FakeClock(), list[Met]()
    census = Census(clock, met.append)
    for _ in range(10):
        census.met(route("google", "tea.example", "192.0.2.1", "192.0.2.2"))
        census.met(route("google", "tea.example", "192.0.2.2", "192.0.2.1"))  # shuffled
    assert len(met) == 1
    clock.advance(census_module.AGAIN_S)
    census.met(route("google", "tea.example", "192.0.2.1", "192.0.2.2"))
    assert len(met) == 2
    census.met(route("google", "tea.example", "192.0.2.3"))
    assert len(met) == 3


def test_a_groups_addresses_are_those_met_last() -> None:
    census = Census(FakeClock())
    for number in range(40):
        census.met(route("outlook", f"tea{number}.example", f"192.0.2.{number}"))
    found = census.targets("outlook", "direct")
    assert [target.ip for target in found[:2]] == ["192.0.2.39", "192.0.2.38"]
    assert len(found) == census_module.MAX_ADDRESSES
    assert census.targets("outlook", "us1") == []


def test_what_a_worker_remembers_is_bounded() -> None:
    census = Census(FakeClock())
    for number in range(census_module.MAX_KEPT + 100):
        census.met(route(f"g{number}.example", f"g{number}.example", "192.0.2.1"))
    assert census.targets("g0.example", "direct") == []
    assert len(census.targets(f"g{census_module.MAX_KEPT}.example", "direct")) == 1


async def test_addresses_that_a_provider_has_left_are_shown_no_more(tmp_path: File) -> None:
    clock = FakeClock()
    async with worker(tmp_path, clock) as one:
        one.census.met(route("google", "tea.example", "192.0.2.1", "192.0.2.2"))
        clock.advance(3 * 86_400)
        one.census.met(route("google", "tea.example", "192.0.2.2", "192.0.2.3"))
    view = PathView.open(tmp_path)
    assert [one.ip for one in view.addresses()] == ["192.0.2.2", "192.0.2.3"]
    view.close()
