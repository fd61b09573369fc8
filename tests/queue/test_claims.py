"""What is due is brought from disk, and nothing that is due is forgotten."""

import asyncio
import time
from collections.abc import Awaitable, Collection, Sequence

from tests.spool.mail import waiting

from postern.queue.claims import Claims
from postern.queue.desk import Desk
from postern.queue.drain import Place
from postern.queue.group import Group
from postern.queue.groups import Groups
from postern.runtime.clock import FakeClock
from postern.spool.message import Claim, Delivery, Message

GROUP = "there.test"


class SlowDisk:
    """Looks for what is due a moment after it was asked."""

    def __init__(self, clock: FakeClock, messages: Sequence[Message]) -> None:
        self.clock = clock
        self.messages = messages

    async def claim(
        self, group: str, limit: int, known: Collection[int], after: Place | None = None
    ) -> Claim:
        self.clock.advance(0.001)
        now = self.clock.now()
        found = [m for m in self.messages if m.deliveries[0].due <= now][:limit]
        later = [m.deliveries[0].due for m in self.messages if m.deliveries[0].due > now]
        return Claim([(m.id, 0) for m in found], list(found), min(later, default=None))


async def test_what_comes_due_while_the_disk_is_asked_is_not_forgotten() -> None:
    clock = FakeClock()
    groups = Groups(10, 5, {})
    sent: list[int] = []
    tasks: list[asyncio.Future[None]] = []

    def send(group: Group, message: Message, due: Sequence[Delivery], now: float) -> None:
        sent.append(message.id)

    def spawn(work: Awaitable[None]) -> None:
        tasks.append(asyncio.ensure_future(work))

    due_soon = [waiting(1, clock.now(), GROUP), waiting(2, clock.now() + 0.0005, GROUP)]
    claims = Claims(
        SlowDisk(clock, due_soon),
        groups,
        Desk(1_000_000, lambda: None),
        clock,
        send,
        spawn,
        lambda: None,
    )
    claims.start(groups[GROUP])
    await asyncio.gather(*tasks)
    assert sent == [1, 2]


class NoDisk:
    """Answers nothing, ever."""

    async def claim(
        self, group: str, limit: int, known: Collection[int], after: Place | None = None
    ) -> Claim:
        await asyncio.Event().wait()
        raise AssertionError


def test_thousands_of_groups_that_are_due_at_once_line_up_in_no_time() -> None:
    """After a restart; each looked through all before it, which took a second."""
    groups, clock = Groups(10, 5, {}), FakeClock()

    def nothing(*_: object) -> None:
        return None

    def spawn(work: Awaitable[None]) -> None:
        work.close()  # type: ignore[attr-defined]  # it is a coroutine

    claims = Claims(
        NoDisk(), groups, Desk(1_000_000, lambda: None), clock, nothing, spawn, lambda: None
    )
    names = [f"g{n}" for n in range(40_000)]
    began = time.process_time()
    for _ in range(2):
        for name in names:
            claims.start(groups[name])
    assert time.process_time() - began < 2.0
    assert all(groups[name].has_more or groups[name].is_claiming for name in names)
