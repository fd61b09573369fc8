"""Brings what is due from disk: in pieces, no more than lanes and memory can take.

Nothing that is due may be forgotten, and nothing may be asked for in a circle. So whoever can't be
served now is marked (``has_more``) and asked again by what stands in his way: the end of his claim,
of what is in memory, or of other groups' claims.

A group that is restrained (shut, suspended) is asked when it may have one more; what waits for it
stays on disk as it is. One that has opened again is walked through once, whatever the next try of
each mail, as fast as its ``queue.drain`` allows.
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

import structlog

from postern.mail.outcome import Cause
from postern.queue.desk import Desk
from postern.queue.drain import Drain, Place
from postern.queue.group import Group
from postern.queue.groups import Groups
from postern.queue.retry import is_greylisted
from postern.runtime.clock import Clock
from postern.spool.message import Claim, Delivery, DeliveryState, Message

log = structlog.get_logger("postern.queue")

PATIENCE_S = 5.0
"""A claim whose every row was at work elsewhere is not repeated at once."""
AGAIN_S = 10.0
MAX_CLAIMS = 4
"""Groups that read from disk at the same time: each brings up to a claim's worth into memory."""

_WAITS_FOR_ITSELF = frozenset({Cause.LOST_AFTER_DOT.value, Cause.LIMIT.value})
"""What waits for a reason that a group's opening does not touch: it may have arrived (RFC 1047), or
its sender has sent too much. So does what a server asked to come back later: to come sooner is in
vain, and some then begin to count anew."""

Send = Callable[[Group, Message, Sequence[Delivery], float], None]


class Source(Protocol):
    """Where the waiting deliveries are."""

    def claim(
        self, group: str, limit: int, known: Collection[int], after: Place | None = None
    ) -> Awaitable[Claim]:
        """Deliveries that are due, with the messages of those not in ``known``.

        ``after``: those that come after it in the order of their time, due or not.
        """
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
        if group.is_claiming or not group.may_claim or self._must_wait(group):
            group.has_more = True
        elif self._running >= MAX_CLAIMS or self._desk.is_full:
            group.has_more = True
            if not group.is_hungry:
                group.is_hungry = True
                self._hungry.append(group)
        elif not self.stopped:
            group.is_claiming = True
            group.has_more = False
            self._running += 1
            self._spawn(self._claim(group))

    def _must_wait(self, group: Group) -> bool:
        """Whether nothing of the group may go now; the calendar then knows when."""
        now = self._clock.now()
        opens_at = group.opens_at(now) if group.is_restrained else None
        if opens_at is None and group.drain is not None and not group.drain.room(now):
            opens_at = now + group.drain.wait_s()
        if opens_at is None:
            return False
        if opens_at < math.inf and self._groups.note_due(group.name, opens_at):
            self._on_calendar()
        return True

    def want_more(self, group: Group) -> None:
        """Go on with a group whose part in memory is used up."""
        if group.has_more and not group.ready:
            self.start(group)

    def feed(self) -> None:
        """There may be room in memory: groups that had to wait for it go on."""
        while self._hungry and self._running < MAX_CLAIMS and not self._desk.is_full:
            group = self._hungry.popleft()
            group.is_hungry = False
            self.start(group)

    def concluded(self, message: Message, deliveries: Sequence[Delivery]) -> None:
        """These are decided, and make room for others of the groups they were claimed for."""
        for delivery in deliveries:
            group = self._taken.pop((message.id, delivery.n), None)
            if group is not None:
                group.taken -= 1
                self.want_more(group)
                self._groups.drop_idle(group)

    def is_taken_for(self, group: Group, message: Message, delivery: Delivery) -> bool:
        """Whether its row on disk stands in this very group, waiting."""
        return self._taken.get((message.id, delivery.n)) is group

    async def _claim(self, group: Group) -> None:
        now, drain = self._clock.now(), group.drain
        limit, after = group.most_taken + group.taken, None
        if drain is not None:
            # What was claimed lies behind the walk already.
            room = min(group.most_taken - group.taken, drain.room(now))
            limit, after = max(1, room), drain.place
        try:
            known = self._desk.messages.keys()
            claim = await self._source.claim(group.name, limit, known, after)
        except Exception as error:  # noqa: BLE001 - the disk, or a bug there: the mail waits
            log.warning("queue.claim_failed", group=group.name, error=str(error))
            claim, drain = Claim([], [], now + AGAIN_S), None
        finally:
            self._running -= 1
            group.is_claiming = False
        # What came due while the disk was asked is in what it found, and not in ``next_due``.
        took = self._take(group, claim, self._clock.now())
        was_asked = group.has_more
        if claim.next_due is not None:
            self._groups.note_due(group.name, claim.next_due)
        group.has_more |= len(claim.due) >= limit
        if drain is not None and drain is group.drain:
            self._walked(group, drain, claim, took, limit)
        if group.has_more and not (group.ready or group.taken):
            # Nobody's end will ask for the rest.
            group.has_more = False
            pause_s = 0.0 if took or was_asked or group.drain else PATIENCE_S
            self._groups.note_due(group.name, now + pause_s)
        self._on_calendar()
        self.feed()
        self._groups.drop_idle(group)

    def _walked(self, group: Group, drain: Drain, claim: Claim, took: int, limit: int) -> None:
        """One step of the walk through all that waits for a group is done."""
        drain.spend(took)
        if claim.place is not None:
            drain.place = claim.place
        if len(claim.due) < limit:
            group.drain = None
            group.has_more = True  # once more the usual way: what came due behind the walk

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
            is_due = delivery.due <= now or _has_turn(delivery, group.drain)
            if is_due and delivery.state is DeliveryState.WAITING and not delivery.busy:
                due.setdefault(number, []).append(delivery)
        return [(messages[number], deliveries) for number, deliveries in due.items()]


def _has_turn(delivery: Delivery, drain: Drain | None) -> bool:
    """Whether it goes before its time, for its group has opened since it was last tried."""
    if drain is None or delivery.cause in _WAITS_FOR_ITSELF or is_greylisted(delivery):
        return False
    return not delivery.attempts or delivery.attempts[-1].at < drain.opened_at
