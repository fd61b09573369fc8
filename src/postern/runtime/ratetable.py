"""How often something happened lately, counted by all workers in one table that they share.

Each key has a leaky bucket that remembers when it will be empty (the "theoretical arrival time" of
GCRA, the generic cell rate algorithm), so nothing has to be swept: what is past counts as nothing.
The buckets are a sketch: a key has one cell in each of three rows, and the emptiest of them counts.
Memory is bounded whatever clients send, and an innocent key is taken for a busy one only where it
shares all three cells with busy ones.

There are no locks. Two workers that count the same key in the same microsecond may count it once:
a limit is then reached one message later. Made before the supervisor forks.
"""

import mmap

ROWS = 3
CELL_BITS = 18
CELLS = 1 << CELL_BITS
"""Cells of a row; 6 MB in all. Of 20 million keys, one is taken for busy while 1,000 others are."""
CELL_BYTES = 8


class RateTable:
    """The table. Pages that were never counted in take no memory."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, ROWS * CELLS * CELL_BYTES)).cast("d")

    def wait_s(self, key: str, most: int, period_s: float, now: float, ahead: int = 0) -> float:
        """Seconds until one more of ``key`` would stay within ``most`` a period; 0: it would now.

        Args:
            key: what is counted; two limits with keys of their own do not meet.
            most: so many may come at once, and as many are forgotten in each period, evenly.
            period_s: seconds.
            now: of the monotonic clock, which is one for all processes.
            ahead: so many more are to be counted before it.
        """
        cells = self._cells
        empty_at = max(now, min(cells[place] for place in _places(key)))
        over_s = empty_at + (ahead + 1) * period_s / most - now - period_s
        return over_s if over_s > 1e-6 else 0.0  # sums of thirds are not exact

    def count(self, key: str, most: int, period_s: float, now: float, times: int = 1) -> None:
        """One more of ``key``, or several."""
        cells = self._cells
        places = _places(key)
        empty_at = max(now, min(cells[place] for place in places)) + times * period_s / most
        for place in places:
            cells[place] = max(cells[place], empty_at)

    def forget(self, key: str) -> None:
        """Count it from nothing again; a key that shares one of its cells may pass for new too."""
        for place in _places(key):
            self._cells[place] = 0.0


def _places(key: str) -> list[int]:
    """One cell in each row."""
    # hash() is salted, so nobody outside can pick keys that share cells, and the salt is the
    # supervisor's: the same in every process that it forks. It has 64 bits; each row takes 18.
    number = hash(key)
    return [row * CELLS + (number >> row * CELL_BITS & CELLS - 1) for row in range(ROWS)]
