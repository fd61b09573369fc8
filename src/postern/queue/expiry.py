"""Every message leaves by its expiry, whatever its state.

Its last try is made then, as a rule. What had no turn for an hour after that, and what belongs to a
group that is shut or suspended, goes back without one: found by a walk through all that waits, in
small pages, for nobody asks for such mail.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from postern.queue.desk import Desk
from postern.queue.group import Group
from postern.queue.groups import Groups
from postern.runtime.clock import Clock
from postern.spool.message import Delivery, DeliveryState, Message

log = structlog.get_logger("postern.queue")

OVERDUE_S = 3600.0
"""Past its expiry, and this long without its turn: it is given up without another try."""
WALK_S = 60.0
"""From the end of one walk to the next."""
PAGE = 200
PAUSE_S = 0.1
"""Between pages: a million deliveries take ten minutes, and one part in fifty of the disk."""


class Source(Protocol):
    """Where waiting mail is."""

    def expired(
        self, after: tuple[int, int], limit: int
    ) -> Awaitable[tuple[list[Message], tuple[int, int] | None]]:
        """Messages past their expiry among the next ``limit`` deliveries, and where to go on."""
        ...


GiveUp = Callable[[Message, Sequence[Delivery]], Awaitable[None]]


class Expiry:
    """Looks for what is past its time.

    Args:
        source: the spool.
        desk: the copies in memory, which are newer.
        groups: which of them are shut or suspended.
        clock: for now.
        spawn: runs a coroutine as a task.
        give_up: sends deliveries (busy already) of one message back.
    """

    def __init__(
        self,
        source: Source,
        desk: Desk,
        groups: Groups,
        clock: Clock,
        spawn: Callable[[Awaitable[None]], None],
        give_up: GiveUp,
    ) -> None:
        self._source = source
        self._desk = desk
        self._groups = groups
        self._clock = clock
        self._spawn = spawn
        self._give_up = give_up
        self._started_at = clock.now()
        self._next_at = clock.monotonic() + WALK_S
        self._is_walking = False

    def is_overdue(self, message: Message, delivery: Delivery, now: float) -> bool:
        """Whether its turn did not come for an hour after its expiry."""
        waits_since = max(delivery.due, self._started_at)
        return now >= message.expires_at and now - waits_since > OVERDUE_S

    def sort_out(
        self, message: Message, deliveries: Sequence[Delivery], now: float
    ) -> tuple[list[Delivery], list[Delivery]]:
        """Those that are overdue, and the others."""
        late = [d for d in deliveries if self.is_overdue(message, d, now)]
        return late, [d for d in deliveries if d not in late] if late else list(deliveries)

    def look(self) -> None:
        """Begin a walk when it is time for one."""
        if not self._is_walking and self._clock.monotonic() >= self._next_at:
            self._is_walking = True
            self._spawn(self._walk())

    async def _walk(self) -> None:
        after: tuple[int, int] | None = (-1, -1)
        try:
            while after is not None:
                messages, after = await self._source.expired(after, PAGE)
                # At once: later they might be older than what was done to them meanwhile.
                await self._send_back([self._desk.take(message) for message in messages])
                if after is not None:
                    await asyncio.sleep(PAUSE_S)
        except Exception as error:  # noqa: BLE001 - the disk, or a bug there: the next walk sees
            log.warning("queue.expiry_failed", error=str(error))
        self._is_walking = False
        self._next_at = self._clock.monotonic() + WALK_S

    async def _send_back(self, messages: Sequence[Message]) -> None:
        now = self._clock.now()
        late = [
            (message, [d for d in message.deliveries if self._is_left(message, d, now)])
            for message in messages
        ]
        for _, deliveries in late:
            for delivery in deliveries:
                delivery.busy = True
        for message, deliveries in late:
            if deliveries:
                try:
                    await self._give_up(message, deliveries)
                except Exception:
                    log.exception("queue.expiry_bug", trace=message.trace)
                    for delivery in deliveries:
                        delivery.busy = False
            self._desk.let_go(message)

    def _is_left(self, message: Message, delivery: Delivery, now: float) -> bool:
        if delivery.state is not DeliveryState.WAITING or delivery.busy:
            return False
        group = self._groups.known(delivery.group)
        if group is not None and self._is_closed(group, now):
            return now >= message.expires_at
        return self.is_overdue(message, delivery, now)

    @staticmethod
    def _is_closed(group: Group, now: float) -> bool:
        return group.is_restrained and group.opens_at(now) is not None
