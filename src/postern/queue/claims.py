"""Brings what is due from disk: in pieces, no more than lanes and memory can take.

Nothing that is due may be forgotten, and nothing may be asked for in a circle. So whoever can't be
served now is marked (``has_more``) and asked again by what stands in his way: the end of his claim,
of what is in memory, or of other groups' claims.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

import structlog

from postern.queue.desk import Desk
from postern.queue.groups import Group, Groups
from postern.runtime.clock import Clock
from postern.spool.message import Claim, Delivery, DeliveryState, Message

log = structlog.get_logger("postern.queue")

PATIENCE_S = 5.0
"""A claim whose every row was at work elsewhere is not repeated at once."""
AGAIN_S = 10.0
MAX_CLAIMS = 4
"""Groups that read from disk at the same time: each brings up to a claim's worth into memory."""

Send = Callable[[Group, Message, Sequence[Delivery], float], None]


class Source(Protocol):
    """Where the waiting deliveries are."""

    def claim(self, group: str, limit: int, known: Collection[int]) -> Awaitable[Claim]:
        """Deliveries that are due, with the messages of those not in ``known``."""
        ...


class Claims:
    """Claims for all groups of one worker. For the loop's thread.

    Args:
        source: the spool.
        groups: what each has due, and has in memory.
        desk: where loaded messages are put.
        clock: for what is due.
        send: sets claimed deliveries (busy already) of one message to work.
        spawn: runs a coroutine as a task.
        on_calendar: something new is due at some time.
    """

    def __init__(
        self,
        source: Source,
        groups: Groups,
        desk: Desk,
        clock: Clock,
        send: Send,
        spawn: Callable[[Awaitable[None]], None],
        on_calendar: Callable[[], None],
    ) -> None:
        self._source = source
        self._groups = groups
        self._desk = desk
        self._clock = clock
        self._send = send
        self._spawn = spawn
        self._on_calendar = on_calendar
        self._taken: dict[tuple[int, int], Group] = {}
        self._hungry: deque[Group] = deque()
        self._running = 0
        self.stopped = False

    def start(self, group: Group) -> None:
        """Read what the group has due, or remember to."""
        if group.is_claiming or not group.may_claim:
            group.has_more = True
        elif self._running >= MAX_CLAIMS or self._desk.is_full:
            group.has_more = True
            if group not in self._hungry:
                self._hungry.append(group)
        elif not self.stopped:
            group.is_claiming = True
            group.has_more = False
            self._running += 1
            self._spawn(self._claim(group))

    def want_more(self, group: Group) -> None:
        """Go on with a group whose part in memory is used up."""
        if group.has_more and not group.ready:
            self.start(group)

    def feed(self) -> None:
        """There may be room in memory: groups that had to wait for it go on."""
        while self._hungry and self._running < MAX_CLAIMS and not self._desk.is_full:
            self.start(self._hungry.popleft())

    def concluded(self, message: Message, deliveries: Sequence[Delivery]) -> None:
        """These are decided, and make room for others of the groups they were claimed for."""
        for delivery in deliveries:
            group = self._taken.pop((message.id, delivery.n), None)
            if group is not None:
                group.taken -= 1
                self.want_more(group)
                self._groups.drop_idle(group)

    async def _claim(self, group: Group) -> None:
        limit = group.most_taken + group.taken
        now = self._clock.now()
        try:
            claim = await self._source.claim(group.name, limit, self._desk.messages.keys())
        except Exception as error:  # noqa: BLE001 - the disk, or a bug there: the mail waits
            log.warning("queue.claim_failed", group=group.name, error=str(error))
            claim = Claim([], [], now + AGAIN_S)
        finally:
            self._running -= 1
            group.is_claiming = False
        took = self._take(group, claim, now)
        was_asked = group.has_more
        if claim.next_due is not None:
            self._groups.note_due(group.name, claim.next_due)
        group.has_more |= len(claim.due) >= limit
        if group.has_more and not (group.ready or group.taken):
            # Nobody's end will ask for the rest.
            group.has_more = False
            pause_s = 0.0 if took or was_asked else PATIENCE_S
            self._groups.note_due(group.name, now + pause_s)
        self._on_calendar()
        self.feed()
        self._groups.drop_idle(group)

    def _take(self, group: Group, claim: Claim, now: float) -> int:
        """Set to work what nobody is at work on; how many deliveries."""
        loaded = self._desk.take_all(claim.loaded)
        took = 0
        for message, deliveries in self._free(claim, group, now):
            for delivery in deliveries:
                delivery.busy = True
                self._taken[message.id, delivery.n] = group
            group.taken += len(deliveries)
            took += len(deliveries)
            self._send(group, message, deliveries, now)
        for message in loaded:
            self._desk.let_go(message)
        return took

    def _free(self, claim: Claim, group: Group, now: float) -> list[tuple[Message, list[Delivery]]]:
        """The deliveries of a claim that nobody is at work on, by message."""
        messages = self._desk.messages
        due: dict[int, list[Delivery]] = {}
        for number, n in claim.due:
            message = messages.get(number)
            if message is None:
                # In memory when it was looked for, and let go since: it is on disk as it stands.
                group.has_more = True
                continue
            delivery = message.deliveries[n]
            # The copy in memory is newer than the row: its own time counts.
            is_due = delivery.state is DeliveryState.WAITING and delivery.due <= now
            if is_due and not delivery.busy:
                due.setdefault(number, []).append(delivery)
        return [(messages[number], deliveries) for number, deliveries in due.items()]
