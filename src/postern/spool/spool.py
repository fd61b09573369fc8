"""The spool as its worker uses it: accept, record, claim, and hand finished mail to the journal."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import structlog

from postern.journal.record import ChangeRecord, Conversation, HeardRecord
from postern.runtime.clock import Clock
from postern.spool.adopt import (
    adopt_all,
    bodies_path,
    database_path,
    open_or_salvage,
    salvage,
    set_aside,
)
from postern.spool.body import BodyFolder, BodyWriter
from postern.spool.gather import Gathering
from postern.spool.handover import Handover, Journal
from postern.spool.holdings import Holdings
from postern.spool.message import (
    Claim,
    Delivery,
    DeliveryState,
    GroupLine,
    Held,
    HeldPlace,
    Message,
)
from postern.spool.outline import outline
from postern.spool.rows import DamagedRowError, delivery_row
from postern.spool.settings import SpoolSettings
from postern.spool.space import Ballast, Space
from postern.spool.store.claiming import claim, load_all
from postern.spool.store.file import SpoolFile
from postern.spool.writer import Accept, Call, Done, Forget, Hooks, Record, SpoolWriter

log = structlog.get_logger("postern.spool")

T = TypeVar("T")

BODY_THREADS = 4
REFILL = 200
"""Finished messages read back for the journal in one go; others wait for the thread meanwhile."""
TEND_S = 60.0


class Spool:
    """One worker's spool. All methods are for the loop's thread; answers come on the loop."""

    def __init__(
        self, settings: SpoolSettings, worker: int, workers: int, journal: Journal, clock: Clock
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._workers = workers
        self._clock = clock
        settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.space = Space(settings.folder, settings.reserve_bytes, clock)
        self.holdings = Holdings(settings.hold)
        self.ballast = Ballast(settings.folder, settings.ballast_bytes)
        self._bodies = BodyFolder(bodies_path(settings.folder, worker))
        self._executor = ThreadPoolExecutor(BODY_THREADS, thread_name_prefix="body")
        self._handover = Handover(
            journal, self._forget, self._refill, self.ballast.drop, settings.handover_s
        )
        self._writer: SpoolWriter | None = None
        self._gathering: Gathering | None = None
        self._tending: asyncio.TimerHandle | None = None
        self._refilled = -1

    async def open(self) -> list[GroupLine]:
        """Open the file, take over what was left behind, and say what waits, by group.

        Everything that was in a dead worker's memory is due at once, under the group ``""``.
        """
        loop = asyncio.get_running_loop()
        spool = await loop.run_in_executor(self._executor, self._prepare)
        hooks = Hooks(self.ballast.drop, self._salvage, self._finished, self._handover.leave)
        self._writer = SpoolWriter(spool, loop, self._settings.ride_s, hooks)
        self._writer.start()
        self._gathering = Gathering(self._writer.put, self._settings.gather_s)
        self._handover.leave()  # what a crash kept from the journal
        self._handover.start()
        self._tending = loop.call_later(TEND_S, self._tend)
        return await self.groups()

    def _prepare(self) -> SpoolFile:
        folder = self._settings.folder
        path = database_path(folder, self._worker)
        spool = open_or_salvage(path, self._bodies, self._settings.corrupt_folder)
        adopt_all(spool, folder, self._workers, self._worker, self._settings.corrupt_folder)
        spool.wake_fresh(self._clock.now())
        self._bodies.sweep(spool.has_file_body)
        self.lay_ballast()
        return spool

    def _salvage(self, damaged: SpoolFile) -> SpoolFile:
        """Replace a file that turned out damaged; called on the writer's thread."""
        damaged.close()
        return salvage(damaged.path, self._bodies, self._settings.corrupt_folder)

    def lay_ballast(self) -> None:
        """Take the room that outcomes need on a full disk, once there is plenty again."""
        if self._worker == 0:
            self.ballast.lay(self._settings.reserve_bytes)

    def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._executor, self.lay_ballast)
        self._tending = loop.call_later(TEND_S, self._tend)

    @property
    def is_writable(self) -> bool:
        """False after a commit failed, until one succeeds."""
        return self._writer is not None and self._writer.is_writable

    def body(self, number: int) -> BodyWriter:
        """A place for the body of message ``number`` while it streams in."""
        return BodyWriter(self._bodies, number, self._executor, self._settings.inline_bytes)

    def accept(self, message: Message, done: Done) -> None:
        """Make a message durable; ``done(None)`` means it may be answered 250."""
        assert self._gathering is not None
        conversation = message.conversation
        heard = conversation.heard
        if heard is not None:
            conversation.heard = None
            done = self._hearing(heard, done)
        self._gathering.add(Accept(message, done))

    def _hearing(self, heard: HeardRecord, done: Done) -> Done:
        """``done`` that passes on what was decided once the message is kept.

        Not before: a message that the disk did not take comes again, and would be counted again.
        """

        def kept(error: Exception | None) -> None:
            if error is None:
                self._handover.add_heard(heard)
            done(error)

        return kept

    def transaction_begun(self) -> None:
        """A client has begun a transaction; a message may come of it."""
        if self._gathering is not None:
            self._gathering.begun()

    def transaction_ended(self) -> None:
        """A transaction is over, with a message or without."""
        if self._gathering is not None:
            self._gathering.ended()

    async def accept_wait(self, message: Message) -> None:
        """``accept`` for those who can wait.

        Raises:
            Exception: the disk said no; nothing was kept.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.accept(message, _resolver(future))
        await future

    def record(
        self,
        message: Message,
        deliveries: Sequence[Delivery],
        notices: Sequence[Message] = (),
        done: Done | None = None,
    ) -> None:
        """Write how ``deliveries`` stand now, with ``notices`` in the same transaction.

        A message with nothing left to do goes to the journal once that is durable, and is then
        forgotten.
        """
        assert self._writer is not None
        rows = [delivery_row(message.id, d) for d in deliveries]
        finished = outline(message) if message.is_done else None
        self._writer.put(Record(rows, notices, done, finished))

    def ended(self, conversation: Conversation) -> None:
        """A conversation without a message goes to the journal."""
        self._handover.add(conversation, spooled=False)

    def changed(self, change: ChangeRecord) -> None:
        """A change that a person made goes to the journal."""
        self._handover.add_change(change)

    async def claim(
        self,
        group: str,
        limit: int,
        known: Collection[int],
        after: tuple[float, int, int] | None = None,
    ) -> Claim:
        """Deliveries of ``group`` that are due, with the messages of those not in ``known``.

        ``after``: those behind that place in the order of their due times instead, due or not.
        What the disk does not give now is passed over for a minute.

        Raises:
            OSError, sqlite3.Error: it gives nothing of what is due.
        """
        now = self._clock.now()
        return await self._call(
            lambda spool: claim(spool, self._load, group, limit, known, after, now)
        )

    async def load(self, number: int) -> Message | None:
        """One message, or None when it is not here (or was damaged, and set aside)."""
        return await self._call(lambda spool: self._load(spool, number))

    async def find(
        self, states: Sequence[DeliveryState], group: str | None = None
    ) -> list[Message]:
        """All messages with a delivery in one of ``states``; for a person's commands."""

        def search(spool: SpoolFile) -> list[Message]:
            loaded = [self._load(spool, number) for number in spool.waiting_ids(states, group)]
            return [message for message in loaded if message is not None]

        return await self._call(search)

    async def browse(
        self, after: tuple[int, int], limit: int, fits: Callable[[Delivery], bool]
    ) -> tuple[list[Message], tuple[int, int] | None]:
        """Messages among the next ``limit`` deliveries with one that fits, and where to go on.

        ``fits`` is called on the spool's thread. Begin after ``(-1, -1)``; None means the end.
        """

        def look(spool: SpoolFile) -> tuple[list[Message], tuple[int, int] | None]:
            numbers, following = spool.browse(after, limit, fits)
            return load_all(spool, self._load, numbers), following

        return await self._call(look)

    async def expired(
        self, after: tuple[int, int], limit: int
    ) -> tuple[list[Message], tuple[int, int] | None]:
        """Messages past their expiry among the next ``limit`` deliveries, and where to go on.

        Begin after ``(-1, -1)``; None means the end. Those with a waiting delivery only.
        """
        now = self._clock.now()

        def look(spool: SpoolFile) -> tuple[list[Message], tuple[int, int] | None]:
            numbers, following = spool.expired(after, now, limit)
            return load_all(spool, self._load, numbers), following

        return await self._call(look)

    async def standing(self, numbers: Sequence[int]) -> dict[int, list[Delivery]]:
        """How the deliveries of these messages stand on disk, their bodies unread.

        Those that are not there, or can't be read, are left out.
        """

        def look(spool: SpoolFile) -> dict[int, list[Delivery]]:
            found = {}
            for number in numbers:
                with suppress(DamagedRowError):
                    found[number] = spool.deliveries(number)
            return {number: deliveries for number, deliveries in found.items() if deliveries}

        return await self._call(look)

    async def held(self, after: HeldPlace, limit: int) -> tuple[list[Held], HeldPlace | None]:
        """The next ``limit`` deliveries that are held, those that end first in front.

        Begin after ``(0.0, -1, -1)``; the second value is where to go on, None at the end.
        """
        return await self._call(lambda spool: spool.held(after, limit))

    async def totals(self) -> tuple[int, int, float | None]:
        """Waiting and held deliveries on disk, and when the oldest message was accepted."""
        return await self._call(SpoolFile.totals, shows_states=False)

    async def groups(self) -> list[GroupLine]:
        """What waits on disk, by group."""
        return await self._call(SpoolFile.groups, shows_states=False)

    async def close(self) -> None:
        """Finish what was asked, hand over what is done, close the files."""
        loop = asyncio.get_running_loop()
        if self._tending is not None:
            self._tending.cancel()
        if self._gathering is not None:
            self._gathering.release()
        if self._writer is not None:
            # Outcomes first: only what is on disk may be told to the journal.
            await self._call(lambda _: None, shows_states=False)
            self._handover.stop()
            await loop.run_in_executor(self._executor, self._handover.join)
            self._writer.stop()
            await loop.run_in_executor(self._executor, self._writer.join)
        self._executor.shutdown(wait=False)

    def _load(self, spool: SpoolFile, number: int) -> Message | None:
        try:
            return spool.load(number)
        except DamagedRowError as error:
            set_aside(spool, number, self._settings.corrupt_folder, str(error))
            return None

    def _forget(self, ids: Sequence[int]) -> None:
        """Called on the journal's thread, once it has them."""
        assert self._writer is not None
        self._writer.put(Forget(ids))

    def _finished(self, conversation: Conversation) -> None:
        """Called on the writer's thread, once a message's last outcome is durable."""
        self._handover.add(conversation, spooled=True)

    def _refill(self) -> None:
        """Called on the journal's thread: read back finished messages that it was never given."""
        assert self._writer is not None

        def read(spool: SpoolFile) -> None:
            numbers = spool.done_ids(self._refilled, REFILL)
            for number in numbers:
                message = self._load(spool, number)
                if message is not None:
                    self._handover.add(outline(message), spooled=True)
            # From the start again after the end: what was pending the first time may be left.
            self._refilled = numbers[-1] if len(numbers) == REFILL else -1
            if len(numbers) == REFILL:
                self._handover.leave()

        def done(_: object, error: Exception | None) -> None:
            if error is not None:
                self._handover.leave()

        self._writer.put(Call(read, done))

    async def _call(self, run: Callable[[SpoolFile], T], *, shows_states: bool = True) -> T:
        assert self._writer is not None
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: object, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # what run returned

        self._writer.put(Call(run, done, shows_states))
        return await future


def _resolver(future: asyncio.Future[None]) -> Done:
    def done(error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    return done
