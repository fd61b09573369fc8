"""Forward zones on disk: made, found again as they were meant, ended, and over by themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from postern.directory.model import Problem, Refused
from postern.directory.store.site import SiteStore
from postern.measures.temporary import Kind
from postern.routing.zones import store as module
from postern.routing.zones.store import ForwardZoneStore, StoredZone
from postern.runtime.clock import FakeClock

DAY_S = 86_400.0


class Stand:
    """A site and its forward zones."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.site = SiteStore.open(folder, self.clock, "cli:li")
        self.zones = ForwardZoneStore(self.site.database, self.clock, "cli:li")

    def add(
        self, zone: str, via: str = "us1", lasts_s: float | None = 30 * DAY_S
    ) -> tuple[StoredZone, tuple[StoredZone, ...]]:
        made = self.zones.add(zone, via, lasts_s=lasts_s, reason="ticket 812")
        assert not isinstance(made, Refused), made
        return made

    def via(self, name: str) -> str | None:
        found = self.zones.active().of(name, self.clock.now())
        return None if found is None else found.via


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.site.close()


def test_a_zone_is_found_again_as_it_was_meant_with_reason_owner_and_end(stand: Stand) -> None:
    made, before = stand.add("Teehändler.Example.")
    assert (made.label, made.forward.zone, made.forward.via) == (
        "Z1", "xn--teehndler-y2a.example", "us1",
    )  # fmt: skip
    assert before == ()
    temporary = made.temporary
    assert (temporary.kind, temporary.reason, temporary.author) == (
        Kind.RESOLVER, "ticket 812", "cli:li",
    )  # fmt: skip
    assert made.forward.until == temporary.until == stand.clock.now() + 30 * DAY_S
    assert stand.zones.all() == [made]
    assert stand.via("mail.xn--teehndler-y2a.example") == "us1"


def test_the_nearest_zone_counts(stand: Stand) -> None:
    stand.add("tea.example", "us1")
    stand.add("shop.tea.example", "de1")
    assert stand.via("a.shop.tea.example") == "de1"
    assert stand.via("tea.example") == "us1"
    assert stand.via("example") is None


def test_a_zone_is_over_by_itself_and_one_that_was_ended_at_once(stand: Stand) -> None:
    stand.add("tea.example", lasts_s=DAY_S)
    made, _ = stand.add("coffee.example", lasts_s=None)
    stand.clock.advance(DAY_S)
    assert stand.via("tea.example") is None
    assert stand.zones.all() == [made]
    ended = stand.zones.end("z2")
    assert isinstance(ended, StoredZone)
    assert (ended.temporary.ended_at, ended.temporary.ended_by) == (stand.clock.now(), "cli:li")
    assert stand.via("coffee.example") is None
    again = stand.zones.end("Z2")
    assert isinstance(again, Refused)
    assert again.problem is Problem.NOT_THERE


def test_a_zone_named_again_takes_the_place_of_the_one_before(stand: Stand) -> None:
    stand.add("tea.example", "us1")
    made, before = stand.add("tea.example", "de1")
    assert [one.label for one in before] == ["Z1"]
    assert stand.zones.all() == [made]
    assert stand.via("tea.example") == "de1"


@pytest.mark.parametrize("zone", ["", ".", "a..b", "tea example", "x" * 300])
def test_what_is_no_zone_is_refused_and_changes_nothing(stand: Stand, zone: str) -> None:
    refused = stand.zones.add(zone, "us1", lasts_s=DAY_S, reason="x")
    assert isinstance(refused, Refused)
    assert stand.zones.all() == []


def test_there_is_a_bound(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ZONES", 2)
    stand.add("a.example")
    stand.add("b.example")
    assert isinstance(stand.zones.add("c.example", "us1", lasts_s=None, reason="x"), Refused)


def test_changes_are_on_record(stand: Stand) -> None:
    made, _ = stand.add("tea.example")
    stand.zones.end(made.label)
    changes = [(c.noun, c.action) for c in stand.site.changes(0, 10)]
    assert changes == [("forward-zone", "added"), ("forward-zone", "ended")]


def test_migrated_table_is_exactly_the_one_declared(stand: Stand) -> None:
    def is_ours(_item: object, name: str | None, kind: str, *_: object) -> bool:
        # The key into another room's table is the migration's alone.
        return kind not in {"table", "foreign_key_constraint"} or name in module.metadata.tables

    with stand.site.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        assert compare_metadata(context, module.metadata) == []
