"""How many of a thing each worker has, seen by all: one table in memory that the tree shares.

Every worker writes only its own part, so there are no locks; what is read is the sum over all
parts. The supervisor makes the table before it forks, and clears a worker's part before it is
started again.
"""

import mmap

CELLS = 1 << 16
"""Cells of one worker. Two keys that share a cell count as one: with 65,536 of them that is rarer
than one in a hundred keys while fewer than 600 others are counted."""
CELL_BYTES = 4
ALL = 0
"""The cell that counts everything."""


class Headcount:
    """The table. Pages that were never counted in take no memory."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._cells = memoryview(mmap.mmap(-1, workers * CELLS * CELL_BYTES)).cast("I")

    def change(self, worker: int, key: str, by: int) -> tuple[int, int]:
        """Count ``by`` more (or fewer) of ``key`` in one worker.

        Returns:
            What all workers now have: of everything, and of ``key``.
        """
        # hash() is salted, so nobody outside can pick keys that share a cell, and the salt is the
        # supervisor's: the same in every process that it forks.
        cell = 1 + hash(key) % (CELLS - 1)
        cells = self._cells
        mine = worker * CELLS
        cells[mine] += by
        cells[mine + cell] += by
        if self.workers == 1:
            return cells[ALL], cells[cell]
        return sum(cells[ALL::CELLS]), sum(cells[cell::CELLS])

    def in_all(self) -> int:
        """What all workers have of everything."""
        return sum(self._cells[ALL::CELLS])

    def clear(self, worker: int) -> None:
        """Forget what one worker had."""
        begin = worker * CELLS
        self._cells[begin : begin + CELLS] = memoryview(bytes(CELLS * CELL_BYTES)).cast("I")
