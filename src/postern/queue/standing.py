"""How groups stand in one worker, for ``postern queue``: who holds slots, and who may not go."""

from collections.abc import Iterator
from itertools import islice

from postern.queue.group import UNSORTED, Group
from postern.queue.groups import Groups
from postern.runtime.processes import GroupStatus, LaneStatus

MAX_TOLD = 200
"""Groups that are told of: more than a person reads."""
OFTEN = 1_000
"""So many groups can be looked through every second; more are looked through every ten."""
SELDOM_S = 10.0

SUSPENDED, SHUT, DRAINING, SLOW, CAPPED = "suspended", "shut", "draining", "slow", "capped"
CONDITIONS = (SUSPENDED, SHUT, DRAINING, SLOW, CAPPED)


class Standing:
    """Looks through the groups of one worker."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._seen_at = 0.0
        self._seen: tuple[GroupStatus, ...] = ()
        self.counts: dict[str, int] = dict.fromkeys(CONDITIONS, 0)

    def lanes(self) -> tuple[LaneStatus, ...]:
        """Slots by lane."""
        lanes = self._groups.lanes
        return (
            LaneStatus("fast", lanes.used_fast, lanes.fast),
            LaneStatus("slow", lanes.used_slow, lanes.slow),
        )

    def told(self, now: float) -> tuple[GroupStatus, ...]:
        """Groups that are not simply well, those first that hold most."""
        if now - self._seen_at < SELDOM_S and len(self._groups) > OFTEN:
            return self._seen
        self._seen_at = now
        self.counts = dict.fromkeys(CONDITIONS, 0)
        found = list(self._look(now))
        found.sort(key=lambda status: (-status.used, -status.busy, status.name))
        self._seen = tuple(islice(found, MAX_TOLD))
        return self._seen

    def _look(self, now: float) -> Iterator[GroupStatus]:
        for group in self._groups:
            condition = _condition(group, now)
            if condition and group.name != UNSORTED:
                self.counts[condition] += 1
                yield _status(group, condition, now)


def _condition(group: Group, now: float) -> str:
    """What is to be told of a group; empty: nothing."""
    pace = group.pace
    if group.suspension is not None:
        return SUSPENDED
    if pace.is_shut:
        return SHUT
    if group.drain is not None:
        return DRAINING
    if pace.slow_until > now:
        return SLOW
    if group.ready and group.lanes >= group.most_lanes:
        return CAPPED
    return ""


def _status(group: Group, condition: str, now: float) -> GroupStatus:
    pace, suspension = group.pace, group.suspension
    since, until, because, label = now, None, "", ""
    if suspension is not None:
        since, until = suspension.since, suspension.until
        because, label = suspension.reason, suspension.label
    elif condition == SHUT:
        since, until, because = pace.shut_since, max(now, pace.probe_at), pace.because
    elif group.drain is not None:
        since, because = group.drain.opened_at, f"{group.drain.per_s * 60:.0f}/min"
    elif condition == SLOW:
        since = pace.slow_since
    return GroupStatus(
        group.name,
        condition,
        since,
        until,
        because,
        label,
        group.lanes,
        group.limit,
        group.slow_lanes,
        group.busy,
    )
