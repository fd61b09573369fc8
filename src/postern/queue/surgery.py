"""What people do to the mail of one worker: hold, release, retry, cancel, reroute.

Mail in memory comes first, then the spool in pages, for a million deliveries may wait. The copy of
a message that is in memory is the one that is changed; a delivery that is being tried at that
moment is left alone and counted as busy.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice

import structlog

from postern.journal.record import ChangeRecord
from postern.mail.finding import Whose
from postern.mail.message.text import clean_text
from postern.mail.outcome import Cause, Refused
from postern.mail.received import header_date
from postern.mail.reply import Reply
from postern.queue.group import Group, Work
from postern.queue.groups import Groups
from postern.queue.quarantine import UNSCANNED, is_infected
from postern.queue.request import MAX_EXAMPLES, Action, Example, Request, Tally
from postern.queue.settle import Settled
from postern.queue.worker import QueueWorker
from postern.runtime.clock import Clock, Instant
from postern.spool.message import Delivery, DeliveryState, Message
from postern.spool.outline import state_word
from postern.spool.spool import Spool

log = structlog.get_logger("postern.queue")

PAGE = 200
"""Deliveries looked at in one go: a few milliseconds of the spool's thread, and of the loop."""

MAX_AUTHOR_CHARS = 100
MAX_RELATED = 2000
"""Trace numbers that one change record names."""

CANCELLED = Refused(
    Reply(554, "5.7.1", ("Cancelled by the postmaster of the sending server",)),
    Cause.CANCELLED,
    whose=Whose.US,
)

Progress = Callable[[Tally], Awaitable[None]]

_OPEN = (DeliveryState.FRESH, DeliveryState.WAITING)
_STATES = {
    Action.HOLD: _OPEN,
    Action.RELEASE: (DeliveryState.HELD,),
    Action.RETRY: (DeliveryState.WAITING,),
    Action.CANCEL: (*_OPEN, DeliveryState.HELD),
    Action.REROUTE: (*_OPEN, DeliveryState.HELD),
}
"""States an action means something for. What is held stays held until it is released."""

_STOPS = {Action.HOLD, Action.CANCEL, Action.REROUTE}
"""Actions that also take back what already stands in line for its attempt."""


@dataclass(slots=True)
class _Operation:
    """A request under way: what was seen in memory, and which messages were touched."""

    request: Request
    tally: Tally = field(default_factory=Tally)
    seen: set[tuple[int, int]] = field(default_factory=set)
    related: dict[int, None] = field(default_factory=dict)

    def fits(self, delivery: Delivery) -> bool:
        """Whether a delivery is meant, whoever sent the message."""
        states = _STATES[self.request.action]
        if delivery.state not in states or not self.request.filter.fits_delivery(delivery):
            return False
        if self.request.action is not Action.RELEASE or not delivery.is_quarantined:
            return True
        options, check = self.request.options, delivery.held_for
        if is_infected(check):
            return options.accepts_virus
        return options.accepts_unscanned or check != UNSCANNED

    def chosen(self, message: Message) -> list[Delivery]:
        """The deliveries of a message that are meant, each only once."""
        if not self.request.filter.fits_message(message):
            return []
        return [
            d for d in message.deliveries if self.fits(d) and (message.id, d.n) not in self.seen
        ]

    def note(self, message: Message, delivery: Delivery) -> None:
        """Count a delivery that is changed, as it was before."""
        self.tally.count += 1
        if len(self.related) < MAX_RELATED:
            self.related[message.id] = None
        if len(self.tally.examples) < MAX_EXAMPLES:
            self.tally.examples.append(
                Example(
                    message.trace,
                    str(message.sender),
                    str(delivery.recipient.address),
                    delivery.group,
                    state_word(delivery),
                )
            )


class Surgery:
    """Carries out requests on one worker's mail, one at a time, on the loop's thread."""

    def __init__(self, queue: QueueWorker, spool: Spool, clock: Clock) -> None:
        self._queue = queue
        self._spool = spool
        self._clock = clock

    async def carry_out(self, request: Request, progress: Progress) -> Tally:
        """Do what was asked to every delivery that fits; ``progress`` hears of it page by page.

        Raises:
            sqlite3.Error: the spool could not be read; what the tally says was done is done.
        """
        operation = _Operation(request)
        try:
            await self._in_memory(operation, progress)
            if request.filter.numbers:
                await self._by_number(operation)
            else:
                await self._on_disk(operation, progress)
        finally:
            self._journal(operation)
        operation.tally.is_done = True
        return operation.tally

    async def _in_memory(self, operation: _Operation, progress: Progress) -> None:
        """Mail that is in memory, where its group is known even before the disk knows it."""
        active = self._queue.active
        numbers = iter(list(active))
        while page := list(islice(numbers, PAGE)):
            messages = [active[number] for number in page if number in active]
            pairs = [(m, d) for m in messages for d in operation.chosen(m)]
            await self._operate(operation, messages)
            # What disk tells of these later is older than what was just done to them.
            operation.seen.update((message.id, delivery.n) for message, delivery in pairs)
            await progress(operation.tally)
            await asyncio.sleep(0)

    async def _by_number(self, operation: _Operation) -> None:
        for number in operation.request.filter.numbers:
            message = await self._spool.load(number)
            if message is not None:
                await self._operate(operation, [self._queue.take(message)])

    async def _on_disk(self, operation: _Operation, progress: Progress) -> None:
        after: tuple[int, int] | None = (-1, -1)
        while after is not None:
            loaded, after = await self._spool.browse(after, PAGE, operation.fits)
            await self._operate(operation, [self._queue.take(message) for message in loaded])
            await progress(operation.tally)

    async def _operate(self, operation: _Operation, messages: Sequence[Message]) -> None:
        """Do it to what fits among ``messages``, which must be in memory, and let them go."""
        chosen = [(m, found) for m in messages if (found := operation.chosen(m))]
        request = operation.request
        if request.action in _STOPS and not request.dry_run:
            self._take_back({(m.id, d.n) for m, found in chosen for d in found})
        to_cancel: list[tuple[Message, list[Delivery]]] = []
        for message, found in chosen:
            free = [d for d in found if not d.busy]
            operation.tally.busy += len(found) - len(free)
            for delivery in free:
                operation.note(message, delivery)
            if request.dry_run or not free:
                continue
            if request.action is Action.CANCEL:
                to_cancel.append((message, free))
                for delivery in free:  # nobody else may take it up while its notice is written
                    delivery.busy = True
            else:
                for delivery in free:
                    self._change(request, message, delivery)
                self._queue.record(message, free)
        for message, free in to_cancel:
            await self._cancel(operation, message, free)
        for message in messages:
            self._queue.let_go(message)

    def _take_back(self, wanted: Collection[tuple[int, int]]) -> None:
        """Nobody is to try these (message id, n); what else waits for their groups goes on."""
        for group in withdraw(self._queue.groups, wanted):
            self._queue.fetch(group)  # no session's end would ask for it

    def _change(self, request: Request, message: Message, delivery: Delivery) -> None:
        if request.action is Action.HOLD:
            delivery.state = DeliveryState.HELD
            return
        if request.action is Action.REROUTE:
            delivery.via = request.options.via
            if delivery.state is DeliveryState.HELD:
                return
        now = self._clock.now()
        self._queue.gates.try_now(delivery.group)
        if delivery.is_quarantined:
            self._spool.holdings.let_go(delivery, message.content.size_bytes)
            delivery.released = released_by(request.author, delivery.held_for, now)
        delivery.state = DeliveryState.WAITING
        delivery.due = now
        delivery.held_for = ""

    async def _cancel(
        self, operation: _Operation, message: Message, deliveries: Sequence[Delivery]
    ) -> None:
        """End deliveries: their sender is told, unless nobody may be told or nobody shall be."""
        is_silent = operation.request.options.silent
        for delivery in deliveries:
            told = str(CANCELLED.reply)
            if delivery.is_quarantined:
                self._spool.holdings.let_go(delivery, message.content.size_bytes)
                told = f"Deleted while it was held, by {clean_text(operation.request.author)}"
            delivery.state = DeliveryState.DONE
            delivery.end = "discarded" if is_silent else "bounced"
            delivery.cause = CANCELLED.cause.value
            delivery.whose = CANCELLED.whose.value
            delivery.remote = ""
            delivery.last_reply = told
        notices: list[Message] = []
        if not is_silent:
            settled = Settled(failed=[(delivery, CANCELLED) for delivery in deliveries])
            notices = await self._queue.notices_for(message, settled)
        for delivery in deliveries:
            delivery.busy = False
            if delivery.state is not DeliveryState.DONE:
                operation.tally.count -= 1
                operation.tally.kept += 1
            elif not notices:
                delivery.end = "discarded"  # sent by nobody who may be told (RFC 5321 §6.1)
        self._queue.record(message, deliveries, notices)

    def _journal(self, operation: _Operation) -> None:
        request, tally = operation.request, operation.tally
        if request.dry_run or not (tally.count or tally.kept):
            return
        via = f" via {request.options.via}" if request.options.via else ""
        silent = " without telling the sender" if request.options.silent else ""
        self._spool.changed(
            ChangeRecord(
                self._clock.now(),
                request.author,
                _named(request),
                str(request.filter),
                f"{tally.count} deliveries{via}{silent}, {tally.busy} busy, {tally.kept} kept",
                tuple(operation.related),
            )
        )


def released_by(author: str, check: str, now: Instant) -> str:
    """What X-Postern-Released says: when, by whom, and what for the message was held."""
    by = re.sub(r"[^A-Za-z0-9._@:+-]", "?", author)[:MAX_AUTHOR_CHARS]
    return f"{header_date(now)}; by={by}; was={check}"


def _named(request: Request) -> str:
    """A request's name in the journal."""
    if not request.filter.quarantined:
        return f"queue.{request.action.value}"
    word = "delete" if request.action is Action.CANCEL else request.action.value
    return f"quarantine.{word}"


def withdraw(groups: Groups, wanted: Collection[tuple[int, int]]) -> list[Group]:
    """Take deliveries (message id, n) out of the lines of those that are ready to go.

    What is being tried, or routed, at this moment is in no line and stays busy. Returns the groups
    that have more on disk and nothing in memory to wait for any more.
    """
    left: list[Group] = []
    for group in groups:
        out = sum(_withdrawn(work, wanted) for work in group.ready) if group.ready else 0
        if out:
            group.busy -= out
            group.ready = deque(work for work in group.ready if work.deliveries)
            if group.has_more and not (group.ready or group.lanes):
                left.append(group)
            groups.drop_idle(group)
    return left


def _withdrawn(work: Work, wanted: Collection[tuple[int, int]]) -> int:
    kept = [d for d in work.deliveries if (work.message.id, d.n) not in wanted]
    out = len(work.deliveries) - len(kept)
    if out:
        for delivery in work.deliveries:
            delivery.busy = False
        for delivery in kept:
            delivery.busy = True
        work.deliveries = kept
    return out
