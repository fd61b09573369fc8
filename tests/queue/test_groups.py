"""Groups, slots, the line and the calendar."""

import pytest
from tests.queue.stage import DELIVERED, GREYLISTED, SILENT, UNKNOWN, smtp
from tests.spool.mail import message

from postern.mail.outcome import Cause, Deferred, Outcome
from postern.mail.reply import reply
from postern.queue.groups import BLOCKED_AFTER_S, Groups, Work

OUR_DNS = Deferred(reply(451, "4.4.3", "no answer from DNS"), Cause.DNS)


def ready(groups: Groups, name: str, count: int = 1) -> None:
    for _ in range(count):
        made = message(1)
        groups[name].ready.append(Work(made, made.deliveries, smtp(name)))


def test_a_group_gets_its_share_and_no_more() -> None:
    groups = Groups(10, 3, {})
    ready(groups, "a", 9)
    assert [groups.take_lane(groups["a"]) for _ in range(4)] == [True, True, True, False]
    assert groups.used == 3
    assert not groups.is_line  # it has its share: it waits for nobody


def test_groups_stand_in_line_for_a_free_slot_in_order() -> None:
    groups = Groups(1, 1, {})
    for name in ("a", "b", "c"):
        ready(groups, name)
    assert groups.take_lane(groups["a"])
    assert not groups.take_lane(groups["b"])
    assert not groups.take_lane(groups["c"])
    assert not groups.take_lane(groups["b"])
    assert groups.next_in_line() is None
    groups.give_lane(groups["a"])
    assert groups.next_in_line() is groups["b"]


def test_the_local_store_has_lanes_of_its_own() -> None:
    groups = Groups(1, 1, {"local": 2})
    ready(groups, "a")
    ready(groups, "local", 5)
    assert groups.take_lane(groups["a"])
    assert groups.take_lane(groups["local"])
    assert groups.take_lane(groups["local"])
    assert not groups.take_lane(groups["local"])
    assert groups.used == 1


def test_the_calendar_wakes_each_group_once_at_its_earliest_time() -> None:
    groups = Groups(10, 3, {})
    assert groups.note_due("a", 20.0)
    assert groups.note_due("a", 10.0)
    assert not groups.note_due("a", 15.0)
    assert not groups.note_due("b", 12.0)
    assert groups.next_due() == 10.0
    assert groups.pop_due(9.9) == []
    assert [group.name for group in groups.pop_due(12.0)] == ["a", "b"]
    assert groups.pop_due(30.0) == []


def test_a_calendar_of_overtaken_entries_does_not_grow() -> None:
    groups = Groups(10, 3, {})
    for turn in range(10_000):
        groups.note_due("a", 1e9)
        groups.note_due("a", float(turn))
        assert [group.name for group in groups.pop_due(float(turn))] == ["a"]
    assert len(groups._calendar) < 200


def test_groups_nothing_is_known_of_are_forgotten() -> None:
    groups = Groups(10, 3, {})
    for number in range(100):
        groups.drop_idle(groups[f"g{number}"])
    assert list(groups) == []
    groups["a"].has_more = True
    groups.drop_idle(groups["a"])
    assert [group.name for group in groups] == ["a"]


@pytest.mark.parametrize(
    ("outcomes", "is_blocked"),
    [
        ([], False),
        ([SILENT], True),
        ([SILENT, SILENT, SILENT], True),
        ([SILENT, DELIVERED], False),
        ([DELIVERED, SILENT], False),  # it answered within the hour
        ([SILENT, GREYLISTED], False),  # a 4xx is an answer
        ([SILENT, UNKNOWN], False),
        ([OUR_DNS], False),
        ([SILENT, OUR_DNS], True),  # our own DNS says nothing about the path
    ],
)
def test_a_group_is_blocked_while_nothing_but_the_network_fails(
    outcomes: list[Outcome], *, is_blocked: bool
) -> None:
    group = Groups(10, 3, {})["a"]
    for at, outcome in enumerate(outcomes):
        group.note_outcomes([outcome], float(at))
    assert group.is_blocked(100.0) is is_blocked


def test_a_group_that_last_answered_an_hour_ago_counts_as_blocked() -> None:
    group = Groups(10, 3, {})["a"]
    group.note_outcomes([DELIVERED], 0.0)
    group.note_outcomes([SILENT], 10.0)
    assert not group.is_blocked(BLOCKED_AFTER_S - 1)
    assert group.is_blocked(BLOCKED_AFTER_S)
