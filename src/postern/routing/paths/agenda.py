"""Which tests are due, and which of them goes first: nobody waits behind a thousand dead addresses.

Due tests stand in lines by ``Urgency``. In each line the groups take turns: one address of every
group before the second of any. What is urgent goes first, and slots are kept free for it: the test
of a dead address takes ten seconds, and that of one that answers none.
Nothing here is sorted: a turn costs what it begins, whatever waits.
"""

import heapq
import itertools
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from enum import IntEnum

from postern.mail.paths import Path

MAX_DUE = 20_000
MAX_MOVED = 1000
"""Tests that become due in one turn; the rest do in the next."""


class Urgency(IntEnum):
    """What a test is for; the value is the line it stands in."""

    ASKED = 0  # a relay takes the group's mail until it answers
    PROBING = 1  # it answers again, and two good answers more make it healthy
    BESIDE = 2  # it has failed once, or another of its group has
    NEEDED = 3  # blocked, and mail met it lately
    REST = 4  # blocked for long


_KEPT = (0.0, 0.05, 0.1, 0.25, 0.25)
"""Of all slots, those kept free for more urgent lines."""
_ORDERS = (
    tuple(Urgency),
    (Urgency.ASKED, Urgency.BESIDE, Urgency.PROBING, Urgency.NEEDED, Urgency.REST),
)

Rank = Callable[[Path], tuple[Urgency, str]]
"""How urgent the test of a path is now, and its group."""


class Agenda:
    """For one worker. Times are monotonic seconds.

    Args:
        rank: asked when a test becomes due, and again when its turn has come.
    """

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._at: dict[Path, float] = {}
        self._heap: list[tuple[float, int, Path]] = []
        self._count = itertools.count()
        self._lines: list[OrderedDict[str, deque[Path]]] = [OrderedDict() for _ in Urgency]
        self._line_of: dict[Path, Urgency] = {}
        self._is_odd = False

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, path: Path) -> bool:
        return path in self._at

    def put(self, path: Path, at: float) -> bool:
        """Test it then, whatever was meant before; False: there is too much already."""
        if path not in self._at and len(self._at) >= MAX_DUE:
            return False
        self._line_of.pop(path, None)
        self._at[path] = at
        if len(self._heap) > 2 * MAX_DUE:
            self._heap = [entry for entry in self._heap if self._holds(entry)]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (at, next(self._count), path))
        return True

    def put_sooner(self, path: Path, at: float) -> bool:
        """Test it then, unless it is tested before; False: it is, or there is too much."""
        return at < self._at.get(path, math.inf) and self.put(path, at)

    def drop(self, path: Path) -> None:
        """It need not be tested."""
        self._at.pop(path, None)
        self._line_of.pop(path, None)

    def promote(self, path: Path) -> None:
        """It may have become more urgent; if it waits, it changes lines."""
        line = self._line_of.get(path)
        if line is not None and self._rank(path)[0] < line:
            self._stand(path)

    def due_in(self, now: float) -> float:
        """Seconds until the next test is due; 0: one is, and waits for its turn."""
        if self._line_of:
            return 0.0
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        return max(self._heap[0][0] - now, 0.0) if self._heap else math.inf

    def take(self, now: float, most: int, free: int, slots: int) -> list[Path]:
        """The tests to begin now; each must be ``put`` again, or dropped.

        Args:
            now: the moment.
            most: so many at most.
            free: slots that are free.
            slots: slots there are.
        """
        self._gather(now)
        taken: list[Path] = []
        while len(taken) < most and (path := self._first(free - len(taken), slots)) is not None:
            taken.append(path)
        return taken

    def _first(self, free: int, slots: int) -> Path | None:
        """Whose turn it is; None: nobody's, or no slot is free for those who wait."""
        self._is_odd = not self._is_odd
        for urgency in _ORDERS[self._is_odd]:
            kept = min(math.ceil(_KEPT[urgency] * slots), slots - 1)
            if free > kept and (path := self._next(urgency)) is not None:
                return path
        return None

    def _next(self, urgency: Urgency) -> Path | None:
        line = self._lines[urgency]
        while line:
            group, paths = next(iter(line.items()))
            path = paths.popleft()
            if paths:
                line.move_to_end(group)
            else:
                del line[group]
            if self._line_of.get(path) is not urgency:
                continue  # it changed lines, or was put off
            if self._rank(path)[0] > urgency:
                self._stand(path)
                continue
            del self._line_of[path]
            return path
        return None

    def _gather(self, now: float) -> None:
        for _ in range(MAX_MOVED):
            if not self._heap or self._heap[0][0] > now:
                return
            entry = heapq.heappop(self._heap)
            if self._holds(entry):
                self._stand(entry[2])

    def _holds(self, entry: tuple[float, int, Path]) -> bool:
        at, _, path = entry
        return self._at.get(path) == at and path not in self._line_of

    def _stand(self, path: Path) -> None:
        urgency, group = self._rank(path)
        self._line_of[path] = urgency
        self._lines[urgency].setdefault(group, deque()).append(path)
