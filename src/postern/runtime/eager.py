"""Work that is begun at once and has a task of its own only if it must wait.

Most of what is asked of DNS is known already, and then making a task, and letting the loop come
round to it, costs many times what the work itself does. Python 3.12 has this as eager tasks.
"""

import asyncio
from collections.abc import Coroutine, Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def begin(work: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
    """Run ``work`` as far as it goes without waiting, at once; the rest of it is a task.

    Until it first waits it runs within whoever calls: it must not ask for the current task, as
    ``asyncio.timeout`` does.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        done.set_result(end.value)
    except asyncio.CancelledError:
        done.cancel()
    except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
        done.set_exception(error)
    else:
        return loop.create_task(_Rest(work, waits_for))
    return done


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, begun at the same time, in their order; as ``asyncio.gather`` else."""
    begun = [begin(work) for work in works]
    if not all(one.done() for one in begun):
        return await asyncio.gather(*begun)
    return [one.result() for one in begun]


async def within(work: Coroutine[Any, Any, T], limit_s: float) -> T:
    """The result of ``work``, begun at once; what is not done within the limit is given up.

    As ``asyncio.timeout``, but it may itself be begun by ``begin``.

    Raises:
        TimeoutError: the limit has passed.
    """
    begun = begin(work)
    try:
        if not begun.done():
            await asyncio.wait([begun], timeout=limit_s)
        if not begun.done():
            raise TimeoutError
        return begun.result()
    finally:
        begun.cancel()


class _Rest(Coroutine[Any, Any, T]):
    """What is left of work that waits for something: a task asks for that first, then goes on.

    No coroutine around it would do: one that is cancelled before its first step never hears of it.
    """

    __slots__ = ("_waits_for", "_work")

    def __init__(self, work: Coroutine[Any, Any, T], waits_for: object) -> None:
        self._work = work
        self._waits_for: object | None = waits_for

    def send(self, value: Any) -> Any:
        """One step further."""
        if self._waits_for is None:
            return self._work.send(value)
        waits_for, self._waits_for = self._waits_for, None
        return waits_for

    def throw(self, *error: Any) -> Any:
        """An error where it waits."""
        self._waits_for = None
        return self._work.throw(*error)

    def close(self) -> None:
        """Nobody wants the rest."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        """Only tasks run it."""
        raise RuntimeError("a task runs it")
