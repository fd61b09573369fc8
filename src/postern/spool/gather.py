"""Messages that end at nearly the same moment are committed together.

A commit costs a tenth of a millisecond of work and an fsync however many messages it holds, so on a
busy worker the first to end waits a moment for the others that are under way. It never waits when
it is alone, nor once all that are under way have ended: an idle server answers at once.
"""

import asyncio
from collections.abc import Callable

from postern.spool.writer import Accept


class Gathering:
    """Holds accepted messages back for ``wait_s`` at most, while others are under way."""

    def __init__(self, put: Callable[[Accept], None], wait_s: float) -> None:
        self._put = put
        self._wait_s = wait_s
        self._held: list[Accept] = []
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None

    def begun(self) -> None:
        """A transaction is under way."""
        self._under_way += 1

    def ended(self) -> None:
        """A transaction is over, with a message or without."""
        self._under_way -= 1
        if self._held and len(self._held) >= self._under_way:
            self.release()

    def add(self, operation: Accept) -> None:
        """A message is complete; its transaction stays under way until it is answered."""
        self._held.append(operation)
        if len(self._held) >= self._under_way:
            self.release()
        elif len(self._held) == 1:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self.release)

    def release(self) -> None:
        """Let go of all that is held."""
        if self._timer is not None:
            # Left to itself it would cut short the wait of those who come next.
            self._timer.cancel()
            self._timer = None
        held, self._held = self._held, []
        for operation in held:
            self._put(operation)
