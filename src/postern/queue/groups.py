"""All MX groups of one worker: the queue schedules by group, not by message.

What is ready is in memory; what waits is on disk and only each group's earliest time is kept.
"""

from collections.abc import Iterator, Mapping

from postern.queue.calendar import Calendar
from postern.queue.group import Group
from postern.queue.lanes import Lanes, Session
from postern.queue.pace import Paces
from postern.queue.settings import QueueSettings
from postern.queue.suspension import Suspension
from postern.routing.group import LOCAL


class Groups:
    """Groups by name, with their slots, and the calendar of what is due when."""

    def __init__(
        self, slots: int, group_slots: int, own_slots: dict[str, int], slow_slots: int = 0
    ) -> None:
        """``own_slots``: groups with lanes of their own that take no slot (the local store)."""
        self.lanes = Lanes(slots, slow_slots or slots)
        self.paces = Paces()
        self._group_slots = group_slots
        self._own_slots = own_slots
        self._groups: dict[str, Group] = {}
        self._calendar = Calendar()
        self._suspended: Mapping[str, Suspension] = {}

    def __getitem__(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None:
            own = self._own_slots.get(name)
            pace = self.paces.of(name)
            group = Group(name, self._group_slots if own is None else own, pace, own is not None)
            if own is not None and not pace.is_shut:
                pace.allowed = float(own)
            if self._suspended:
                group.suspension = self._suspended.get(name)
            self._groups[name] = group
        return group

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def __len__(self) -> int:
        return len(self._groups)

    def known(self, name: str) -> Group | None:
        """A group that has mail here, or None."""
        return self._groups.get(name)

    @property
    def slots(self) -> int:
        """Sessions there may be at once."""
        return self.lanes.fast + self.lanes.slow

    @property
    def used(self) -> int:
        """Sessions there are."""
        return self.lanes.used_fast + self.lanes.used_slow

    def resize(self, slots: int, group_slots: int, slow_slots: int = 0) -> None:
        """Other numbers of slots; a group that holds more than its new share gives them back."""
        self.lanes.resize(slots, slow_slots or slots)
        self._group_slots = group_slots
        for group in self._groups.values():
            if not group.has_own:
                group.most_lanes = group_slots

    def suspend(self, suspensions: Mapping[str, Suspension]) -> list[Group]:
        """The groups that people suspended, all of them; returns those that are so no more."""
        before, self._suspended = self._suspended, suspensions
        for name, suspension in suspensions.items():
            group = self._groups.get(name)
            if group is not None:
                group.suspension = suspension
        ended = (self._groups.get(name) for name in before if name not in suspensions)
        freed = [g for g in ended if g is not None and g.suspension and g.suspension.label]
        for group in freed:
            group.suspension = None
        return freed

    def suspended(self, name: str) -> Suspension | None:
        """What a person said about a group, whether mail waits for it or not."""
        return self._suspended.get(name)

    # --- lanes ---------------------------------------------------------------------------------

    def take_lane(self, group: Group, now: float) -> Session | None:
        """A slot for ``group``; None, and a place in the line, when none is free."""
        return self.lanes.take(group, now) if group.wants_lane else None

    # --- the calendar --------------------------------------------------------------------------

    def note_due(self, name: str, due: float) -> bool:
        """Something of a group is due at ``due``; True when that is the new earliest of all."""
        self[name]  # so that it is remembered while something of it waits
        return self._calendar.note(name, due)

    def pop_due(self, now: float) -> list[Group]:
        """Groups whose time has come; the queue claims what they have on disk."""
        names = self._calendar.pop(now)
        return [group for name in names if (group := self._groups.get(name)) is not None]

    def next_due(self) -> float | None:
        """The earliest entry of the calendar, or None."""
        return self._calendar.next

    def is_waiting(self, group: Group) -> bool:
        """True when mail of the group waits on disk."""
        return group.has_more or self._calendar.due(group.name) is not None

    def drop_idle(self, group: Group) -> None:
        """Forget a group that nothing is known of; a million domains pass in a year."""
        if group.is_at_work or group.is_claiming or group.is_in_line:
            return
        if self._calendar.due(group.name) is None:
            self._groups.pop(group.name, None)


def groups_of(settings: QueueSettings) -> Groups:
    """No groups yet, and the slots that one worker has for them."""
    return Groups(
        settings.worker_slots,
        settings.group_slots,
        {LOCAL: settings.local_lanes},
        settings.worker_slow_slots,
    )
