"""MX groups and their slots: the queue schedules by group, not by message.

A group holds at most its share of all slots, so no destination, however slow, takes another's. What
is ready is in memory; what waits is on disk and only its earliest time is kept here.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from postern.mail.outcome import Cause, Deferred, Delivered, Outcome
from postern.mail.route import Route
from postern.spool.message import Delivery, Message

UNSORTED = ""
"""The group of deliveries that have no route yet."""

CLAIM_PER_LANE = 2
MIN_CLAIM = 16
SORT_AT_ONCE = 200
CALENDAR_SLACK = 64
BLOCKED_AFTER_S = 3600.0
_NETWORK = frozenset({Cause.REFUSED, Cause.SILENT, Cause.RESET, Cause.CLOSED, Cause.TLS})
_OURS = frozenset(
    {Cause.DNS, Cause.NO_EGRESS, Cause.LOCAL, Cause.BUG, Cause.EXPIRED, Cause.CANCELLED}
)
"""Causes that say nothing about the path."""


@dataclass(slots=True)
class Work:
    """Deliveries of one message that go the same way: one transaction."""

    message: Message
    deliveries: list[Delivery]
    route: Route


@dataclass(slots=True, eq=False)
class Group:
    """One MX group in one worker.

    ``lanes`` are sessions at work for it now, ``busy`` its deliveries in memory and on their way,
    ``taken`` those claimed from disk and not yet concluded; ``has_more``: more of it is due on disk
    than was claimed; ``failing_since``: nothing but network trouble since then; ``reached_at``: it
    last answered.
    """

    name: str
    most_lanes: int
    ready: deque[Work] = field(default_factory=deque)
    lanes: int = 0
    busy: int = 0
    taken: int = 0
    next_due: float | None = None
    has_more: bool = False
    is_claiming: bool = False
    is_in_line: bool = False
    failing_since: float | None = None
    reached_at: float | None = None

    @property
    def most_taken(self) -> int:
        """How many deliveries may be claimed from disk in one go, and before others are."""
        if self.name == UNSORTED:
            return SORT_AT_ONCE
        return max(MIN_CLAIM, self.most_lanes * CLAIM_PER_LANE)

    @property
    def may_claim(self) -> bool:
        """True when what is in memory leaves room for more from disk."""
        return self.taken < self.most_taken and len(self.ready) < self.most_taken

    def note_outcomes(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Remember whether the group could be reached."""
        for outcome in outcomes:
            if isinstance(outcome, Deferred) and outcome.cause in _NETWORK:
                self.failing_since = now if self.failing_since is None else self.failing_since
            elif isinstance(outcome, Delivered) or outcome.cause not in _OURS:
                self.failing_since = None
                self.reached_at = now

    def is_blocked(self, now: float) -> bool:
        """True while every try ends in network trouble and none got through within the hour."""
        if self.failing_since is None:
            return False
        return self.reached_at is None or now - self.reached_at >= BLOCKED_AFTER_S

    @property
    def wants_lane(self) -> bool:
        """True when there is work and the group's share is not used up."""
        return bool(self.ready) and self.lanes < self.most_lanes

    @property
    def is_idle(self) -> bool:
        """True when nothing is known of it; it may be dropped."""
        at_work = self.ready or self.lanes or self.busy or self.taken or self.has_more
        return not at_work and self.next_due is None


class Groups:
    """All groups of one worker, their slots, and the calendar of what is due when."""

    def __init__(self, slots: int, group_slots: int, own_slots: dict[str, int]) -> None:
        """``own_slots``: groups with lanes of their own that take no slot (the local store)."""
        self.slots = slots
        self._group_slots = group_slots
        self._own_slots = own_slots
        self._groups: dict[str, Group] = {}
        self._line: deque[Group] = deque()
        self._calendar: list[tuple[float, str]] = []
        self.used = 0

    def __getitem__(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None:
            most = self._own_slots.get(name, self._group_slots)
            group = self._groups[name] = Group(name, most)
        return group

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def resize(self, slots: int, group_slots: int) -> None:
        """Other numbers of slots; a group that holds more than its new share gives them back."""
        self.slots = slots
        self._group_slots = group_slots
        for group in self._groups.values():
            if group.name not in self._own_slots:
                group.most_lanes = group_slots

    def take_lane(self, group: Group) -> bool:
        """Take a slot for ``group``; False, and a place in the line, when none is free."""
        if not group.wants_lane:
            return False
        if group.name not in self._own_slots:
            if self.used >= self.slots:
                self._stand_in_line(group)
                return False
            self.used += 1
        group.lanes += 1
        return True

    @property
    def is_line(self) -> bool:
        """True when another group waits for a slot."""
        return bool(self._line)

    def give_lane(self, group: Group) -> None:
        """The session has ended."""
        group.lanes -= 1
        if group.name not in self._own_slots:
            self.used -= 1

    def next_in_line(self) -> Group | None:
        """The group that has waited longest for a slot, when one is free."""
        while self._line and self.used < self.slots:
            group = self._line.popleft()
            group.is_in_line = False
            if group.wants_lane:
                return group
        return None

    def note_due(self, name: str, due: float) -> bool:
        """Something of a group is due at ``due``; True when that is the new earliest of all."""
        group = self[name]
        if group.next_due is not None and group.next_due <= due:
            return False
        group.next_due = due
        if len(self._calendar) > 2 * len(self._groups) + CALENDAR_SLACK:
            self._tidy()
        heapq.heappush(self._calendar, (due, name))
        return self._calendar[0] == (due, name)

    def pop_due(self, now: float) -> list[Group]:
        """Groups whose time has come; the queue claims what they have on disk."""
        due = []
        while self._calendar and self._calendar[0][0] <= now:
            when, name = heapq.heappop(self._calendar)
            group = self._groups.get(name)
            if group is not None and group.next_due == when:
                group.next_due = None
                due.append(group)
        return due

    def next_due(self) -> float | None:
        """The earliest entry of the calendar, or None."""
        return self._calendar[0][0] if self._calendar else None

    def drop_idle(self, group: Group) -> None:
        """Forget a group that nothing is known of; a million domains pass in a year."""
        if group.is_idle and not group.is_claiming and not group.is_in_line:
            self._groups.pop(group.name, None)

    def _tidy(self) -> None:
        """Leave out entries that were overtaken by earlier ones; they would pile up for hours."""
        self._calendar = [
            (group.next_due, name)
            for name, group in self._groups.items()
            if group.next_due is not None
        ]
        heapq.heapify(self._calendar)

    def _stand_in_line(self, group: Group) -> None:
        if not group.is_in_line:
            group.is_in_line = True
            self._line.append(group)
