"""Routes on disk: made, found again as they were meant, ended, taken the place of, and bounded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from postern.directory.model import Problem, Refused
from postern.directory.store.site import SiteStore
from postern.measures import store as measures
from postern.measures.temporary import Kind
from postern.routing.routes import store as module
from postern.routing.routes.route import BY_POSTERN, GroupPolicy, PinnedRoute, Policy, RouteMatch
from postern.routing.routes.store import RouteDraft, RouteStore
from postern.runtime.clock import FakeClock

DAY_S = 86_400.0
GOOGLE = RouteDraft(RouteMatch.GROUP, "google", "us1", "25/tcp blocked", 14 * DAY_S)


class Stand:
    """A site and its routes."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.site = SiteStore.open(folder, self.clock, "cli:li")
        self.routes = RouteStore(self.site.database, self.clock, "cli:li")
        self.postern = RouteStore(self.site.database, self.clock, BY_POSTERN)

    def add(self, draft: RouteDraft = GOOGLE) -> tuple[PinnedRoute, tuple[PinnedRoute, ...]]:
        made = self.routes.add(draft)
        assert not isinstance(made, Refused), made
        return made

    def engage(self, value: str = "google") -> tuple[PinnedRoute, bool]:
        draft = RouteDraft(RouteMatch.GROUP, value, "us1", "3 of 5", DAY_S, is_automatic=True)
        made = self.postern.engage(draft, DAY_S)
        assert not isinstance(made, Refused), made
        return made


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.site.close()


def test_a_route_is_found_again_as_it_was_meant_with_reason_owner_and_end(stand: Stand) -> None:
    made, before = stand.add()
    assert (made.label, made.match, made.value, made.via, made.is_automatic) == (
        "R1", RouteMatch.GROUP, "google", "us1", False,
    )  # fmt: skip
    assert before == ()
    temporary = made.temporary
    assert (temporary.kind, temporary.reason, temporary.author) == (
        Kind.ROUTE, "25/tcp blocked", "cli:li",
    )  # fmt: skip
    assert made.until == stand.clock.now() + 14 * DAY_S
    assert stand.routes.all() == [made]
    assert stand.routes.by_id(made.id) == made


def test_a_domain_is_kept_in_its_one_spelling(stand: Stand) -> None:
    made, _ = stand.add(RouteDraft(RouteMatch.DOMAIN, "@Teehändler.Example.", "us1", "why"))
    assert made.value == "xn--teehndler-y2a.example"
    assert made.until is None


def test_a_route_for_the_same_mail_takes_the_place_of_the_one_before(stand: Stand) -> None:
    first, _ = stand.add()
    other, _ = stand.add(RouteDraft(RouteMatch.DOMAIN, "google", "us1", "a domain of that name"))
    second, before = stand.add(RouteDraft(RouteMatch.GROUP, "google", "de1", "us1 is down"))
    assert [one.label for one in before] == [first.label]
    assert stand.routes.all() == [other, second]


def test_a_route_is_over_by_itself_and_one_that_was_ended_at_once(stand: Stand) -> None:
    made, _ = stand.add()
    ended = stand.routes.end("r1")
    assert isinstance(ended, PinnedRoute)
    assert (ended.temporary.ended_at, ended.temporary.ended_by) == (stand.clock.now(), "cli:li")
    assert stand.routes.all() == []
    found = stand.routes.by_id(made.id)
    assert found is not None
    assert found.temporary.ended_by == "cli:li"
    again = stand.routes.end("R1")
    assert isinstance(again, Refused)
    assert again.problem is Problem.NOT_THERE
    stand.add()
    stand.clock.advance(14 * DAY_S)
    assert stand.routes.all() == []


def test_workers_that_engage_at_the_same_moment_share_one_route(stand: Stand) -> None:
    first, made_first = stand.engage()
    second, made_second = stand.engage()
    assert (made_first, made_second) == (True, False)
    assert first == second
    assert (first.is_automatic, first.temporary.author) == (True, BY_POSTERN)
    assert len(stand.routes.all()) == 1


def test_what_a_person_pinned_is_not_engaged_over(stand: Stand) -> None:
    stand.add()
    draft = RouteDraft(RouteMatch.GROUP, "google", "de1", "3 of 5", DAY_S, is_automatic=True)
    refused = stand.postern.engage(draft, DAY_S)
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.ALREADY_THERE


def test_a_person_takes_the_place_of_what_postern_engaged(stand: Stand) -> None:
    engaged, _ = stand.engage()
    _, before = stand.add()
    assert [one.id for one in before] == [engaged.id]


@pytest.mark.parametrize(
    "draft",
    [
        RouteDraft(RouteMatch.GROUP, " ", "us1", "why"),
        RouteDraft(RouteMatch.DOMAIN, "a..b", "us1", "why"),
        RouteDraft(RouteMatch.GROUP, "google", "us1", "  "),
        RouteDraft(RouteMatch.GROUP, "google", "us1", "two\nlines"),
        RouteDraft(RouteMatch.GROUP, "x" * 300, "us1", "why"),
    ],
    ids=["no-group", "no-domain", "no-reason", "two-lines", "long"],
)
def test_what_cannot_be_a_route_is_refused_and_changes_nothing(
    stand: Stand, draft: RouteDraft
) -> None:
    assert isinstance(stand.routes.add(draft), Refused)
    assert stand.routes.all() == []
    assert stand.site.changes(0, 10) == []


def test_there_is_a_bound(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROUTES", 1)
    monkeypatch.setattr(module, "MAX_POLICIES", 1)
    stand.add()
    assert isinstance(stand.routes.add(RouteDraft(RouteMatch.GROUP, "b", "us1", "x")), Refused)
    assert isinstance(stand.routes.set_policy("google", Policy.NEVER), GroupPolicy)
    assert isinstance(stand.routes.set_policy("other", Policy.NEVER), Refused)
    assert [one.group for one in stand.routes.policies()] == ["google"]


def test_what_postern_makes_leaves_room_for_people_and_the_idlest_makes_room_for_the_next(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_AUTOMATIC", 2)
    used, _ = stand.engage("dead1.example")
    stand.engage("dead2.example")
    draft = RouteDraft(RouteMatch.GROUP, "google", "us1", "3 of 5", DAY_S, is_automatic=True)
    assert isinstance(stand.postern.engage(draft, DAY_S), Refused), "both may be of use"
    stand.add(RouteDraft(RouteMatch.GROUP, "outlook", "us1", "why"))
    stand.clock.advance(module.IDLE_S)
    with stand.site.database.write() as connection:
        measures.count_uses(connection, {used.id: (1, stand.clock.now())})
    stand.engage("google")
    assert [one.value for one in stand.routes.all()] == ["dead1.example", "outlook", "google"]


def test_a_policy_holds_until_another_is_set_or_none(stand: Stand) -> None:
    stand.routes.set_policy("google", Policy.NEVER)
    stand.routes.set_policy("google", Policy.PROPOSE)
    (found,) = stand.routes.policies()
    assert (found.group, found.policy, found.author) == ("google", Policy.PROPOSE, "cli:li")
    stand.routes.set_policy("google", None)
    assert stand.routes.policies() == []
    assert isinstance(stand.routes.set_policy("", Policy.NEVER), Refused)


def test_changes_are_on_record(stand: Stand) -> None:
    made, _ = stand.add()
    stand.routes.end(made.label)
    stand.routes.set_policy("google", Policy.NEVER)
    changes = [(c.noun, c.action) for c in stand.site.changes(0, 10)]
    assert changes == [("route", "added"), ("route", "ended"), ("route-policy", "set")]


def test_migrated_tables_are_exactly_those_declared(stand: Stand) -> None:
    def is_ours(_item: object, name: str | None, kind: str, *_: object) -> bool:
        # The key into another room's table is the migration's alone.
        return kind not in {"table", "foreign_key_constraint"} or name in module.metadata.tables

    with stand.site.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        assert compare_metadata(context, module.metadata) == []
