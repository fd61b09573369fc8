"""Work that may outlive the connection it was begun for."""

import asyncio
from collections.abc import Coroutine

from postern.runtime.eager import begin


def spawn(work: Coroutine[None, None, None], *, at_once: bool = False) -> None:
    """Run ``work`` to its end; it must not raise.

    ``at_once``: it is begun before this returns, and done then if it need not wait. It must not ask
    for the current task before it waits (``postern.runtime.eager``).
    """
    task = begin(work) if at_once else asyncio.get_running_loop().create_task(work)
    if task.done():
        return
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)


_RUNNING: set[asyncio.Future[None]] = set()
"""The loop itself keeps only weak references to its tasks."""
