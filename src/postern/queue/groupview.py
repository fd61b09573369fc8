"""What holds an MX group, over all workers and in words: slots, a suspension, silence."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from postern.queue.standing import CONDITIONS, DRAINING, SHUT, SUSPENDED
from postern.runtime.clock import Instant
from postern.runtime.processes import FRESH_S, GroupStatus, LaneStatus, read_statuses


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group: the gravest of its ``condition`` in any worker, and slots added up.

    ``until``: nothing of it goes before that, in the worker where it is soonest; None: no end is
    known. ``label`` is the temporary that a person made.
    """

    name: str
    condition: str
    since: Instant
    until: Instant | None
    because: str
    label: str
    used: int
    most: int
    slow_used: int
    busy: int

    @property
    def slots_in_words(self) -> str:
        """``2 of 2 slots``, and in which lane."""
        lane = " in the slow lane" if self.slow_used and self.slow_used == self.used else ""
        return f"{self.used} of {self.most} slots{lane}"

    def in_words(self, until: str, since: str) -> str:
        """What holds it, in one line; ``until`` and ``since`` as the reader's clock has them."""
        if self.condition == SUSPENDED:
            who = f" ({self.label})" if self.label else ""
            end = f"until {until}" if until else "until it is resumed"
            return f"suspended {end}{who}: {self.because}"
        if self.condition == SHUT:
            return f"nothing answers since {since}: one message at a time is tried, to see"
        if self.condition == DRAINING:
            return f"open again since {since}: what waited goes at {self.because} and faster"
        cap = "cap reached; " if self.used >= self.most else ""
        return f"{self.slots_in_words} ({cap}others not affected)"


def standing(run_dir: Path, now: Instant) -> dict[str, GroupView]:
    """What running workers tell of groups now, by group."""
    statuses = (status for status in read_statuses(run_dir) if now - status.at <= FRESH_S)
    return joined(status.groups for status in statuses)


def joined(workers: Iterable[Iterable[GroupStatus]]) -> dict[str, GroupView]:
    """What all workers tell, by group."""
    found: dict[str, GroupView] = {}
    for statuses in workers:
        for status in statuses:
            before = found.get(status.name)
            view = _view(status)
            found[status.name] = view if before is None else _together(before, view)
    return found


def joined_lanes(workers: Iterable[Iterable[LaneStatus]]) -> tuple[LaneStatus, ...]:
    """The slots of each lane, added up."""
    found: dict[str, LaneStatus] = {}
    for lanes in workers:
        for lane in lanes:
            before = found.get(lane.name, LaneStatus(lane.name, 0, 0))
            used, slots = before.used + lane.used, before.all + lane.all
            found[lane.name] = LaneStatus(lane.name, used, slots)
    return tuple(found.values())


def _view(status: GroupStatus) -> GroupView:
    return GroupView(
        status.name,
        status.condition,
        status.since,
        status.until,
        status.because,
        status.label,
        status.used,
        status.most,
        status.slow_used,
        status.busy,
    )


def _together(one: GroupView, other: GroupView) -> GroupView:
    """Two workers' views of a group; what is graver counts, and the sooner end of two."""
    first, second = sorted((one, other), key=lambda view: CONDITIONS.index(view.condition))
    until = first.until
    if first.condition == second.condition and until is not None and second.until is not None:
        until = min(until, second.until)
    return replace(
        first,
        since=min(one.since, other.since) if one.condition == other.condition else first.since,
        until=until,
        used=one.used + other.used,
        most=one.most + other.most,
        slow_used=one.slow_used + other.slow_used,
        busy=one.busy + other.busy,
    )
