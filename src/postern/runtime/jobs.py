"""Jobs in the background that never end by themselves: one that does is begun again."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine

import structlog

log = structlog.get_logger("postern.worker")

AGAIN_S = 5.0
"""How long after its end a job is begun again: what ends at once must not spin."""

Job = Callable[[], Coroutine[None, None, None]]


class Jobs:
    """Some jobs of one event loop, until ``stop``."""

    def __init__(self, again_s: float = AGAIN_S) -> None:
        self._again_s = again_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._is_stopping = False

    def begin(self, name: str, job: Job) -> None:
        """Keep ``job`` going; ``name`` is what the log calls it when it ends."""
        self._timers.pop(name, None)
        task = asyncio.get_running_loop().create_task(job(), name=name)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if self._is_stopping:
                return
            how = "given up" if task.cancelled() else repr(error) if error else "ended"
            log.error("worker.job_ended", job=name, error=how, exc_info=error)
            again = task.get_loop().call_later(self._again_s, self.begin, name, job)
            self._timers[name] = again

        task.add_done_callback(ended)

    async def stop(self) -> None:
        """End them all."""
        self._is_stopping = True
        for timer in self._timers.values():
            timer.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
