"""What people do to the mail of one worker: hold, release, retry, cancel, reroute."""

from collections.abc import Awaitable, Callable

from postern.queue.request import Request, Tally
from postern.queue.worker import QueueWorker
from postern.runtime.clock import Clock
from postern.spool.spool import Spool

Progress = Callable[[Tally], Awaitable[None]]


class Surgery:
    """Carries out requests on one worker's mail."""

    def __init__(self, queue: QueueWorker, spool: Spool, clock: Clock) -> None:
        self._queue = queue
        self._spool = spool
        self._clock = clock

    async def carry_out(self, request: Request, progress: Progress) -> Tally:
        """Do what was asked."""
        return Tally(is_done=True)
