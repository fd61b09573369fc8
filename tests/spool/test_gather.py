import asyncio
from collections.abc import Callable

import pytest
from tests.spool import mail

from postern.spool.gather import Gathering
from postern.spool.writer import Accept


class Recorded:
    """A gathering, and what it let go of."""

    def __init__(self, wait_s: float) -> None:
        self.released: list[Accept] = []
        self.came = asyncio.Event()
        self.gathering = Gathering(self._put, wait_s)

    def _put(self, operation: Accept) -> None:
        self.released.append(operation)
        self.came.set()


def message() -> Accept:
    return Accept(mail.message(1), lambda _: None)


@pytest.mark.parametrize("under_way", [0, 1])
async def test_who_is_alone_does_not_wait(under_way: int) -> None:
    recorded = Recorded(wait_s=3600)
    for _ in range(under_way):
        recorded.gathering.begun()
    recorded.gathering.add(message())
    assert len(recorded.released) == 1


async def test_all_that_are_under_way_go_together_once_the_last_has_ended() -> None:
    recorded = Recorded(wait_s=3600)
    for _ in range(3):
        recorded.gathering.begun()
    recorded.gathering.add(message())
    recorded.gathering.add(message())
    assert recorded.released == []
    recorded.gathering.add(message())
    assert len(recorded.released) == 3


async def test_a_transaction_that_comes_to_nothing_is_not_waited_for() -> None:
    recorded = Recorded(wait_s=3600)
    recorded.gathering.begun()
    recorded.gathering.begun()
    recorded.gathering.add(message())
    recorded.gathering.ended()
    assert len(recorded.released) == 1


async def test_a_slow_client_holds_nobody_back_for_long() -> None:
    recorded = Recorded(wait_s=0.002)
    recorded.gathering.begun()
    recorded.gathering.begun()
    recorded.gathering.add(message())
    assert recorded.released == []
    async with asyncio.timeout(10):
        await recorded.came.wait()
    assert len(recorded.released) == 1


async def test_the_wait_of_those_before_does_not_cut_short_the_wait_of_those_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    call_later = loop.call_later
    waits: list[asyncio.TimerHandle] = []

    def noted(delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        waits.append(call_later(delay, callback))
        return waits[-1]

    monkeypatch.setattr(loop, "call_later", noted)
    recorded = Recorded(wait_s=3600)
    recorded.gathering.begun()
    recorded.gathering.begun()
    recorded.gathering.add(message())
    recorded.gathering.add(message())
    assert len(recorded.released) == 2
    recorded.gathering.add(message())
    assert [wait.cancelled() for wait in waits] == [True, False]
