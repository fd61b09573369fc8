"""Groups: what each may have at a time, what is remembered of it, and when it is forgotten."""

import math

import pytest
from tests.queue.stage import DELIVERED, GREYLISTED, SILENT, UNKNOWN, smtp
from tests.spool.mail import message

from postern.mail.outcome import Cause, Deferred, Outcome
from postern.mail.reply import reply
from postern.queue.group import BLOCKED_AFTER_S, Work
from postern.queue.groups import Groups
from postern.queue.suspension import Suspension

OUR_DNS = Deferred(reply(451, "4.4.3", "no answer from DNS"), Cause.DNS)
NOW = 1_000.0


def ready(groups: Groups, name: str, count: int = 1) -> None:
    for _ in range(count):
        made = message(1)
        groups[name].ready.append(Work(made, made.deliveries, smtp(name)))


def test_a_group_gets_what_it_has_earned_and_its_share_at_most() -> None:
    groups = Groups(10, 3, {})
    ready(groups, "a", 9)
    took = [groups.take_lane(groups["a"], NOW) for _ in range(3)]
    assert [session is not None for session in took] == [True, True, False]
    groups["a"].pace.allowed = 9.0
    assert groups.take_lane(groups["a"], NOW) is not None
    assert groups.take_lane(groups["a"], NOW) is None
    assert groups.used == 3
    assert not groups.lanes.is_line  # it has its share: it waits for nobody


def test_the_local_store_has_lanes_of_its_own() -> None:
    groups = Groups(1, 1, {"local": 2})
    ready(groups, "a")
    ready(groups, "local", 5)
    assert groups.take_lane(groups["a"], NOW)
    assert groups.take_lane(groups["local"], NOW)
    assert groups.take_lane(groups["local"], NOW)
    assert groups.take_lane(groups["local"], NOW) is None
    assert groups.used == 1


def test_what_was_learnt_of_a_group_outlives_its_mail() -> None:
    groups = Groups(10, 3, {})
    groups["a"].pace.was_slow(NOW)
    groups.drop_idle(groups["a"])
    assert list(groups) == []
    assert groups["a"].pace.is_slow(NOW)


def test_a_suspended_group_gets_no_slot_whenever_its_mail_came() -> None:
    groups = Groups(10, 3, {})
    ready(groups, "old")
    groups.suspend({name: Suspension(name, "ticket", NOW, None, "Q1") for name in ("old", "new")})
    ready(groups, "new")
    assert groups.take_lane(groups["old"], NOW) is None
    assert groups.take_lane(groups["new"], NOW) is None
    assert groups["new"].opens_at(NOW) == math.inf
    assert [group.name for group in groups.suspend({})] == ["old", "new"]
    assert groups.take_lane(groups["new"], NOW) is not None


def test_a_shut_group_gets_one_try_at_a_time() -> None:
    groups = Groups(10, 3, {})
    ready(groups, "a", 3)
    group = groups["a"]
    group.pace.shut(NOW)
    assert group.opens_at(NOW) == group.pace.probe_at > NOW
    assert group.opens_at(group.pace.probe_at) is None
    assert groups.take_lane(group, NOW) is not None
    assert groups.take_lane(group, NOW) is None
    assert group.opens_at(group.pace.probe_at) == math.inf  # until that one has ended
    assert group.most_taken == 1


def test_groups_nothing_is_known_of_are_forgotten() -> None:
    groups = Groups(10, 3, {})
    for number in range(100):
        groups.drop_idle(groups[f"g{number}"])
    assert list(groups) == []
    groups["a"].has_more = True
    groups.drop_idle(groups["a"])
    groups.note_due("b", 10.0)
    groups.drop_idle(groups["b"])
    assert [group.name for group in groups] == ["a", "b"]


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
