"""A server written for asyncio, run beside a test that is not."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 20.0


@contextmanager
def in_background(server: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Enter ``server()`` on a loop of its own, in a thread of its own, and leave it in the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    running = server()
    try:
        entered = asyncio.run_coroutine_threadsafe(running.__aenter__(), loop)
        yield entered.result(WITHIN_S)
        left = asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop)
        left.result(WITHIN_S)
    finally:
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result(WITHIN_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WITHIN_S)
        loop.close()


async def _end_all() -> None:
    """Cut the conversations that still go on."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
