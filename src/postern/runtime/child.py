"""One place in the process tree, and when its process is started again after a crash."""

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from postern.runtime.forking import Started

FIRST_RESTART_S = 0.1
LONGEST_RESTART_S = 10.0
STEADY_S = 10.0
"""A child that lived this long has got over its earlier crashes."""


@dataclass(slots=True)
class Child:
    """One place in the tree and the process that holds it now; pid 0 while there is none.

    ``started_at`` and ``restart_at`` are monotonic seconds; ``restart_at`` is None while it runs.
    """

    name: str
    start: Callable[[], Started]
    pid: int = 0
    ready_fd: int = -1
    is_ready: bool = False
    started_at: float = 0.0
    crashes: int = 0
    restart_at: float | None = 0.0
    is_replaced: bool = False
    missed_reload: bool = False

    def restart_later(self, now: float) -> float:
        """Have it started again, after a pause that grows with each crash; returns the pause."""
        if now - self.started_at >= STEADY_S:
            self.crashes = 0
        delay_s = min(LONGEST_RESTART_S, FIRST_RESTART_S * 2.0 ** min(self.crashes, 16))
        self.crashes += 1
        self.restart_at = now + delay_s
        return delay_s

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to its process, if there is one."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
