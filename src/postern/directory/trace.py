"""Trace counters: numbers that no worker is given twice, whatever crashes."""

from collections import deque
from collections.abc import Callable

LOW_WATER = 8_192


class TraceCounter:
    """Hands out counters from blocks that were made durable before their first use.

    A crash leaves the rest of a block unused; nothing is given twice. Used from one thread, except
    for ``reserve_ahead``.

    Args:
        reserve: takes a block of counters durably, such as ``SiteStore.reserve_counters``.
    """

    def __init__(self, reserve: Callable[[], range]) -> None:
        self._reserve = reserve
        self._block = iter(range(0))
        self._left = 0
        self._ahead: deque[range] = deque()

    @property
    def runs_low(self) -> bool:
        """True when it is time for ``reserve_ahead``."""
        return self._left < LOW_WATER and not self._ahead

    def reserve_ahead(self) -> None:
        """Take the next block already now, from any thread, so that ``next`` never waits for disk.

        Raises:
            DatabaseTroubleError: nothing was reserved; ``next`` goes on with what is left.
        """
        self._ahead.append(self._reserve())

    def next(self) -> int:
        """A counter nobody was given before; takes a block itself when none was taken ahead.

        Raises:
            DatabaseTroubleError: no counter is left and none could be reserved.
        """
        if not self._left:
            block = self._ahead.popleft() if self._ahead else self._reserve()
            self._block = iter(block)
            self._left = len(block)
        self._left -= 1
        return next(self._block)
