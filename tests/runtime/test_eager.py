"""Work that need not wait is done at once; the rest of it is a task like any other."""

import asyncio

import pytest

from postern.runtime.eager import begin, together


async def answer(value: int) -> int:
    return value


async def broken() -> int:
    raise ZeroDivisionError


async def wait_for(gate: "asyncio.Event | asyncio.Future[None]") -> str:
    """Waits twice, and cleans up whatever happens."""
    try:
        if isinstance(gate, asyncio.Event):
            await gate.wait()
        else:
            await gate
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return "given up"
    return "done"


async def test_what_need_not_wait_is_done_before_begin_returns() -> None:
    done = begin(answer(7))
    assert done.done()
    assert not isinstance(done, asyncio.Task)
    assert await done == 7


async def test_its_error_is_for_whoever_asks_for_the_result() -> None:
    done = begin(broken())
    with pytest.raises(ZeroDivisionError):
        done.result()


async def test_work_that_gives_itself_up_is_cancelled() -> None:
    async def given_up() -> None:
        raise asyncio.CancelledError

    assert begin(given_up()).cancelled()


async def test_what_waits_goes_on_when_it_may() -> None:
    gate = asyncio.Event()
    work = begin(wait_for(gate))
    await asyncio.sleep(0)
    assert not work.done()
    gate.set()
    assert await work == "done"


async def test_the_first_wait_may_end_before_its_task_has_begun() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    work = begin(wait_for(gate))
    gate.set_result(None)
    assert await work == "done"


async def test_an_error_of_what_is_waited_for_comes_where_it_is_waited_for() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    work = begin(wait_for(gate))
    gate.set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await work


async def test_cancelling_reaches_the_work_wherever_it_waits() -> None:
    work = begin(wait_for(asyncio.Event()))
    await asyncio.sleep(0)
    work.cancel()
    assert await work == "given up"


async def test_what_waits_has_a_task_of_its_own_by_then() -> None:
    gate = asyncio.Event()

    async def limited() -> str:
        await gate.wait()
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return "in time"

    work = begin(limited())
    gate.set()
    assert await work == "in time"


async def test_results_come_in_order_whether_or_not_some_had_to_wait() -> None:
    assert await together([answer(1), answer(2)]) == [1, 2]
    gate = asyncio.Event()
    asyncio.get_running_loop().call_soon(gate.set)

    async def late() -> int:
        await gate.wait()
        return 3

    assert await together([late(), answer(4)]) == [3, 4]
    assert await together([]) == []


async def test_who_waits_for_all_and_is_given_up_gives_them_up() -> None:
    endless = wait_for(asyncio.Event())
    seen: list[str] = []

    async def noting() -> None:
        seen.append(await endless)

    waiting = asyncio.ensure_future(together([noting()]))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert seen == ["given up"]
