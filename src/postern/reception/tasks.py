"""Work that may outlive the connection it was begun for."""

import asyncio
from collections.abc import Coroutine


def spawn(work: Coroutine[None, None, None]) -> None:
    """Run ``work`` to its end; it must not raise."""
    task = asyncio.get_running_loop().create_task(work)
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)


_RUNNING: set[asyncio.Task[None]] = set()
"""The loop itself keeps only weak references to its tasks."""
