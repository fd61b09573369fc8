"""What is due when, by group: one moment for each, kept in memory; the rest is on disk."""

import asyncio
import heapq
from collections.abc import Callable, Iterator

from postern.runtime.clock import Clock

SLACK = 64
MAX_SLEEP_S = 60.0
"""The wall clock may be set: the calendar is looked at once a minute at least."""


class Calendar:
    """The earliest due time of each group."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def due(self, name: str) -> float | None:
        """When a group's next mail is due, as far as it was noted."""
        return self._due.get(name)

    def note(self, name: str, due: float) -> bool:
        """Something of a group is due at ``due``; True when that is the new earliest of all."""
        known = self._due.get(name)
        if known is not None and known <= due:
            return False
        self._due[name] = due
        if len(self._heap) > 2 * len(self._due) + SLACK:
            self._tidy()
        else:
            heapq.heappush(self._heap, (due, name))
        return self._heap[0] == (due, name)

    def pop(self, now: float) -> Iterator[str]:
        """The groups whose time has come; each must be noted again for its next."""
        while self._heap and self._heap[0][0] <= now:
            when, name = heapq.heappop(self._heap)
            if self._due.get(name) == when:
                del self._due[name]
                yield name

    @property
    def next(self) -> float | None:
        """The earliest entry, or None."""
        return self._heap[0][0] if self._heap else None

    def _tidy(self) -> None:
        """Leave out entries that were overtaken by earlier ones; they would pile up for hours."""
        self._heap = [(due, name) for name, due in self._due.items()]
        heapq.heapify(self._heap)


class Alarm:
    """Rings when the earliest entry is due. For the loop's thread."""

    def __init__(self, ring: Callable[[], None], clock: Clock) -> None:
        self._ring = ring
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float | None) -> None:
        """Ring at ``due`` instead of any time before, and within ``MAX_SLEEP_S`` in any case."""
        self.stop()
        wait_s = MAX_SLEEP_S if due is None else due - self._clock.now()
        delay_s = min(max(0.0, wait_s), MAX_SLEEP_S)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
