"""Looks after what one worker holds for others: counts it, and ends what has been held long enough.

Held mail leaves at its end, but never before its owner was told of it and had ``told_s`` to answer:
its end moves until then. A mailbox near its bound is cleared of what its owner has known for so
long, the oldest first. What leaves is discarded and on record; nobody is written to, for its sender
may be forged, and its owner had his letter.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from postern.journal.record import ChangeRecord
from postern.mail.outcome import Cause
from postern.queue.quarantine import owner_of
from postern.queue.store.tellings import TellingStore
from postern.queue.worker import QueueWorker
from postern.runtime.clock import Clock, Instant, rfc3339
from postern.spool.holdings import Pile
from postern.spool.message import Delivery, DeliveryState, Held, HeldPlace, Message
from postern.spool.spool import Spool

log = structlog.get_logger("postern.queue")

PAGE = 500
"""Rows read in one go: a few milliseconds of the spool's thread."""
MOST_AT_ONCE = 5_000
"""Deliveries that one round ends or moves; the next round goes on."""
AUTHOR = "postern"


@dataclass(frozen=True, slots=True)
class Leaving:
    """A delivery whose time has come, or that makes room; ``told_at``: when its owner was told."""

    held: Held
    told_at: Instant | None
    makes_room: bool = False


@dataclass(slots=True)
class HeldCounts:
    """What a worker holds, as of its last round.

    ``untold``: those whose owners are to be told, and were not yet; both ``_at`` are when the
    oldest came, of all and of these.
    """

    count: int = 0
    size_bytes: int = 0
    untold: int = 0
    oldest_at: Instant | None = None
    untold_at: Instant | None = None

    def add(self, row: Held, *, is_untold: bool) -> None:
        """Count one delivery."""
        self.count += 1
        self.size_bytes += row.size_bytes
        self.oldest_at = min(row.accepted_at, self.oldest_at or row.accepted_at)
        if is_untold:
            self.untold += 1
            self.untold_at = min(row.accepted_at, self.untold_at or row.accepted_at)


@dataclass(slots=True)
class _Round:
    """One walk through all that is held."""

    now: Instant
    counts: HeldCounts = field(default_factory=HeldCounts)
    piles: dict[str, Pile] = field(default_factory=dict)
    due: list[Leaving] = field(default_factory=list)
    known: list[Leaving] = field(default_factory=list)


class Keeper:
    """Goes round what a worker holds. ``is_told``: whether a mailbox gets letters at all."""

    def __init__(
        self,
        queue: QueueWorker,
        spool: Spool,
        store: TellingStore,
        is_told: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._spool = spool
        self._store = store
        self.is_told = is_told
        self._clock = clock
        self.counts = HeldCounts()

    async def go_round(self) -> None:
        """Count all, end or move what is due, and make room where it is scarce.

        Raises:
            DatabaseTroubleError, sqlite3.Error: it could not be told; what was done is done.
        """
        holdings = self._spool.holdings
        holdings.begin_recount()
        found = _Round(self._clock.now())
        crowded = holdings.crowded()
        after: HeldPlace | None = (0.0, -1, -1)
        while after is not None:
            rows, after = await self._spool.held(after, PAGE)
            await self._note(found, [row for row in rows if row.delivery.held_for], crowded)
        holdings.recounted(found.piles)
        self.counts = found.counts
        leaving = [*found.due, *self._room_makers(found.known, crowded)]
        await self._conclude(leaving)

    async def _note(self, found: _Round, rows: list[Held], crowded: dict[str, Pile]) -> None:
        """Count a page of rows, and keep those that may leave."""
        keys = [(row.number, row.delivery.n) for row in rows]
        told = await asyncio.to_thread(self._store.told, keys) if keys else {}
        most = MOST_AT_ONCE
        for key, row in zip(keys, rows, strict=True):
            owner = owner_of(row.delivery)
            told_at = told.get(key)
            found.counts.add(row, is_untold=told_at is None and self.is_told(owner))
            found.piles.setdefault(owner, Pile()).add(1, row.size_bytes)
            if row.delivery.due <= found.now and len(found.due) < most:
                found.due.append(Leaving(row, told_at))
            elif owner in crowded and self._may_leave(row, told_at) and len(found.known) < most:
                found.known.append(Leaving(row, told_at, makes_room=True))

    def _may_leave(self, row: Held, told_at: Instant | None) -> bool:
        """Whether the owner was told long enough ago, or is not to be told."""
        if told_at is None:
            return not self.is_told(owner_of(row.delivery))
        return told_at + self._spool.holdings.settings.told_s <= self._clock.now()

    def _room_makers(self, known: list[Leaving], crowded: dict[str, Pile]) -> Iterable[Leaving]:
        """The oldest of each crowded mailbox, as many as must go."""
        for one in sorted(known, key=lambda one: one.held.accepted_at):
            pile = crowded[owner_of(one.held.delivery)]
            if pile.count > 0 or pile.size_bytes > 0:
                pile.add(-1, -one.held.size_bytes)
                yield one

    async def _conclude(self, leaving: Iterable[Leaving]) -> None:
        """Discard what may leave, and move the end of what may not yet."""
        ended: list[int] = []
        for one in leaving:
            message = await self._spool.load(one.held.number)
            if message is None:
                continue
            message = self._queue.take(message)
            delivery = message.deliveries[one.held.delivery.n]
            is_as_seen = delivery.is_quarantined and delivery.due == one.held.delivery.due
            if is_as_seen and not delivery.busy:
                if self._may_leave(one.held, one.told_at):
                    self._discard(message, delivery, one)
                    ended.append(message.id)
                else:
                    self._put_off(delivery, one.told_at)
                self._queue.record(message, [delivery])
            self._queue.let_go(message)
        if ended:
            log.info("quarantine.expired", messages=len(ended))
            detail = f"{len(ended)} messages; nobody asked for them"
            self._spool.changed(
                ChangeRecord(
                    self._clock.now(),
                    AUTHOR,
                    "quarantine.expire",
                    "held mail",
                    detail,
                    tuple(dict.fromkeys(ended)),
                )
            )

    def _discard(self, message: Message, delivery: Delivery, one: Leaving) -> None:
        self._spool.holdings.let_go(delivery, message.content.size_bytes)
        told = "its owner is not told" if one.told_at is None else f"owner told {_day(one.told_at)}"
        end = "made room for newer mail" if one.makes_room else "expired"
        since, now = _day(message.accepted_at), _day(self._clock.now())
        delivery.state = DeliveryState.DONE
        delivery.end = "discarded"
        delivery.cause = Cause.EXPIRED.value
        delivery.last_reply = f"Held since {since}, {end} on {now}, {told}"

    def _put_off(self, delivery: Delivery, told_at: Instant | None) -> None:
        told_s = self._spool.holdings.settings.told_s
        delivery.due = (self._clock.now() if told_at is None else told_at) + told_s


def _day(instant: Instant) -> str:
    return rfc3339(instant)[:10]
