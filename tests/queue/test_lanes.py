"""Two lanes: who is slow leaves the fast one, and who is quick finds a slot in it."""

from tests.queue.stage import smtp
from tests.spool.mail import message

from postern.queue.group import Group, Work
from postern.queue.groups import Groups
from postern.queue.lanes import LONG_S, Lane, Session

NOW = 1_000.0


class Street:
    """Groups, and sessions that begin at given seconds."""

    def __init__(self, fast: int, slow: int, share: int = 5) -> None:
        self.groups = Groups(fast, share, {}, slow)

    def line_up(self, name: str, *, is_proven: bool = False, count: int = 1) -> None:
        group = self.groups[name]
        group.pace.is_proven = is_proven
        for _ in range(count):
            made = message(1)
            group.ready.append(Work(made, made.deliveries, smtp(name)))

    def begin(self, name: str, at: float = 0.0, *, is_proven: bool = False) -> Session | None:
        self.line_up(name, is_proven=is_proven)
        group = self.groups[name]
        session = self.groups.take_lane(group, NOW)
        if session is not None:
            self.groups.lanes.begin(session, group.ready.popleft(), at)
        return session

    def sweep(self, at: float) -> None:
        self.groups.lanes.sweep(at, NOW + at)


def lane_of(session: Session) -> Lane:
    return session.lane


def test_a_session_of_fifteen_seconds_leaves_its_fast_slot_to_others() -> None:
    street = Street(fast=1, slow=1)
    slow = street.begin("tarpit")
    assert slow is not None
    street.sweep(LONG_S - 1)
    assert lane_of(slow) is Lane.FAST
    street.sweep(LONG_S + 1)
    assert lane_of(slow) is Lane.SLOW
    assert (street.groups.lanes.used_fast, street.groups.lanes.used_slow) == (0, 1)
    assert street.begin("quick") is not None
    street.groups.lanes.give(slow)
    assert street.groups.lanes.used_slow == 0


def test_while_others_wait_a_second_is_long_enough() -> None:
    street = Street(fast=1, slow=1)
    slow = street.begin("tarpit", 0.0)
    assert street.begin("quick") is None
    street.sweep(0.9)
    assert street.groups.lanes.next_in_line() is None
    street.sweep(1.1)
    assert slow is not None
    assert lane_of(slow) is Lane.SLOW
    assert not street.groups["tarpit"].pace.is_slow(NOW + 1.1)  # a second is nothing to blame
    following = street.groups.lanes.next_in_line()
    assert following is street.groups["quick"]
    street.sweep(LONG_S + 1)
    assert street.groups["tarpit"].pace.is_slow(NOW + LONG_S + 1)  # by now it is


def test_a_group_that_was_slow_begins_in_the_slow_lane_from_then_on() -> None:
    street = Street(fast=5, slow=2)
    first = street.begin("tarpit")
    street.sweep(LONG_S + 1)
    assert first is not None
    street.groups.lanes.give(first)
    second = street.begin("tarpit", 20.0)
    assert second is not None
    assert lane_of(second) is Lane.SLOW
    assert street.groups["tarpit"].slow_lanes == 1


def test_a_large_message_may_take_its_time() -> None:
    street = Street(fast=1, slow=1)
    made = message(1, body=b"x" * 3_000_000)
    street.groups["there"].ready.append(Work(made, made.deliveries, smtp("there")))
    session = street.groups.take_lane(street.groups["there"], NOW)
    assert session is not None
    street.groups.lanes.begin(session, street.groups["there"].ready.popleft(), 0.0)
    street.sweep(30.0)
    assert lane_of(session) is Lane.SLOW  # it holds nobody up
    assert not street.groups["there"].pace.is_slow(NOW + 30.0)  # and is nobody's fault


def test_unknown_groups_leave_a_quarter_of_the_fast_lane_to_those_known_as_quick() -> None:
    street = Street(fast=8, slow=1)
    took = [street.begin(f"new{n}") for n in range(8)]
    assert [session is not None for session in took] == [True] * 6 + [False] * 2
    assert street.begin("known", is_proven=True) is not None
    assert street.begin("known", is_proven=True) is not None
    assert street.begin("known", is_proven=True) is None
    street.groups.lanes.give(took[0])  # type: ignore[arg-type]  # it is a session
    assert street.groups.lanes.next_in_line() is street.groups["new6"]  # has waited longest


def test_a_quick_group_turned_tarpit_fills_no_more_than_the_unknown_may() -> None:
    street = Street(fast=4, slow=0, share=5)
    street.groups.lanes.resize(4, 0)
    for name in ("a", "b", "c"):
        assert street.begin(name, is_proven=True) is not None
    street.sweep(LONG_S + 1)
    assert street.begin("new") is None
    assert street.begin("quick", is_proven=True) is not None


def test_the_slow_lane_has_a_line_of_its_own() -> None:
    street = Street(fast=1, slow=1)
    street.groups["a"].pace.was_slow(NOW)
    street.groups["b"].pace.was_slow(NOW)
    first = street.begin("a")
    assert first is not None
    assert street.begin("b") is None
    quick = street.begin("quick")
    assert quick is not None
    assert street.groups.lanes.is_wanted(first)
    assert not street.groups.lanes.is_wanted(quick)
    street.groups.lanes.give(first)
    assert street.groups.lanes.next_in_line() is street.groups["b"]


class Pits:
    """Tarpits that are met for the first time: no session of theirs ends."""

    def __init__(self, street: Street, count: int, each: int) -> None:
        self.street = street
        self.held: dict[str, int] = {}
        for n in range(count):
            street.line_up(f"pit{n}", count=each)
            self.pump(street.groups[f"pit{n}"], 0.0)

    def pump(self, group: Group, at: float) -> None:
        """As the queue does it: sessions as far as there are slots."""
        while (session := self.street.groups.take_lane(group, NOW + at)) is not None:
            self.street.groups.lanes.begin(session, group.ready.popleft(), at)
            self.held[group.name] = self.held.get(group.name, 0) + 1

    def live(self, until_s: float) -> None:
        """The lanes are looked at, and whoever stands in line goes."""
        at = 0.0
        while at < until_s:
            at += 0.25
            self.street.sweep(at)
            while (group := self.street.groups.lanes.next_in_line()) is not None:
                self.pump(group, at)


def test_a_group_that_is_met_for_the_first_time_finds_a_slot_beside_tarpits() -> None:
    street = Street(fast=24, slow=24)
    pits = Pits(street, 24, each=3)
    pits.live(4.0)
    assert len(pits.held) == 24  # each was tried
    assert sum(pits.held.values()) < 36
    met = street.begin("never-met", 4.0)
    assert met is not None
    assert lane_of(met) is Lane.FAST
    pits.live(60.0)
    assert sum(pits.held.values()) < 36


def test_a_group_alone_may_have_a_second_session_before_its_first_answer() -> None:
    street = Street(fast=24, slow=24)
    assert street.begin("new", 0.0) is not None
    assert street.begin("new", 0.0) is not None


def test_groups_known_to_be_slow_leave_room_for_those_that_are_found_so() -> None:
    street = Street(fast=4, slow=8)
    for n in range(8):
        street.groups[f"slow{n}"].pace.was_slow(NOW)
    took = [street.begin(f"slow{n}") for n in range(8)]
    assert [session is not None for session in took] == [True] * 6 + [False] * 2
    found = [street.begin(f"new{n}") for n in range(3)]
    street.sweep(LONG_S + 1)
    assert [lane_of(s) for s in found if s] == [Lane.SLOW, Lane.SLOW, Lane.FAST]


def test_the_one_try_of_a_shut_group_finds_a_slot_beside_slow_groups() -> None:
    street = Street(fast=4, slow=4)
    for n in range(4):
        street.groups[f"slow{n}"].pace.was_slow(NOW)
        street.begin(f"slow{n}")
    street.groups["dead"].pace.shut(NOW)
    assert street.begin("dead") is not None
    assert street.groups.lanes.next_in_line() is None  # nobody is asked in a circle


def test_a_slow_group_has_more_than_one_session_only_while_half_the_lane_is_free() -> None:
    street = Street(fast=4, slow=8, share=8)
    for name in ("many", "other"):
        street.groups[name].pace.was_slow(NOW)
        street.groups[name].pace.allowed = 8.0
    took = [street.begin("many") for _ in range(6)]
    assert sum(session is not None for session in took) == 4
    assert street.begin("other") is not None
    assert street.begin("other") is None
