"""The spool's one writer thread: group commit.

Whatever the loop asks for while a commit is being synced goes into the next one: one transaction,
one fsync, for all that arrived meanwhile. New mail starts a commit at once; a finished delivery
rides along and starts one of its own only after ``ride_s`` without company.

An operation that fails takes none of its neighbours with it: a batch that can't be written is tried
again one by one. New mail is then answered 451; outcomes are kept and tried until the disk takes
them, for they tell what must not be delivered twice. Until then nobody is shown how deliveries
stand, for the disk would say that what was delivered still waits. A finished conversation is passed
on to the journal only once its outcomes are on disk.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from postern.journal.record import Conversation
from postern.spool.message import Message
from postern.spool.store.file import DeliveryRow, SpoolFile
from postern.spool.store.trouble import SpoolUnavailableError, Trouble, trouble_of

log = structlog.get_logger("postern.spool")

MAX_BATCH = 2000
RETRY_S = 1.0
TELL_S = 5.0
SALVAGE_PAUSE_S = 60.0
"""A disk that damages file after file must not fill itself with copies of them."""

Done = Callable[[Exception | None], None]


@dataclass(slots=True)
class Accept:
    """New mail; ``done`` is called on the loop once it is durable, or with what went wrong."""

    message: Message
    done: Done


@dataclass(slots=True)
class Record:
    """Outcomes: delivery rows to rewrite, with notices that must become durable with them.

    ``finished``: the conversation, when these were the message's last outcomes.
    """

    rows: Sequence[DeliveryRow]
    notices: Sequence[Message] = ()
    done: Done | None = None
    finished: Conversation | None = None


@dataclass(slots=True)
class Forget:
    """The journal has these messages."""

    ids: Sequence[int]


@dataclass(slots=True)
class Call:
    """Anything else that must run on the thread that owns the file.

    ``shows_states``: what it reads is acted on, so it fails while outcomes are not on disk.
    """

    run: Callable[[SpoolFile], object]
    done: Callable[[object, Exception | None], None]
    shows_states: bool = True


Operation = Accept | Record | Forget | Call


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the writer asks of its spool; all are called on the writer's thread.

    ``on_full``: make room. ``salvage``: replace a damaged file. ``on_finished``: a conversation
    whose outcomes are on disk. ``on_kept``: something finished could not be forgotten.
    """

    on_full: Callable[[], object]
    salvage: Callable[[SpoolFile], SpoolFile]
    on_finished: Callable[[Conversation], None]
    on_kept: Callable[[], None]


@dataclass(slots=True)
class _Batch:
    accepts: list[Accept] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    forgets: list[Forget] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def add(self, operation: Operation) -> None:
        match operation:
            case Accept():
                self.accepts.append(operation)
            case Record():
                self.records.append(operation)
            case Forget():
                self.forgets.append(operation)
            case Call():
                self.calls.append(operation)

    @property
    def has_company(self) -> bool:
        """True when something in it should not wait for more."""
        return bool(self.accepts or self.calls)


class SpoolWriter(threading.Thread):
    """Owns the spool file. Operations are put from the loop; answers come back on the loop."""

    def __init__(
        self, spool: SpoolFile, loop: asyncio.AbstractEventLoop, ride_s: float, hooks: Hooks
    ) -> None:
        super().__init__(name="spool", daemon=True)
        self._spool = spool
        self._loop = loop
        self._ride_s = ride_s
        self._hooks = hooks
        self._inbox: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        self._unwritten: list[Record] = []
        self._salvaged_at = -SALVAGE_PAUSE_S
        self._told_at = -TELL_S
        self._stopping = False
        self.put = self._inbox.put
        self.is_writable = True
        self.commits = 0

    def stop(self) -> None:
        """Ask for the end; what was put before is still done. Then ``join``."""
        self._inbox.put(None)

    def run(self) -> None:
        """Gather, commit, answer, until told to stop."""
        while not self._stopping:
            batch = self._gather()
            if self._unwritten:
                batch.records[:0] = self._unwritten
                self._unwritten = []
            self._commit(batch)
            for call in batch.calls:
                self._call(call)
        if self._unwritten:
            log.error("spool.outcomes_lost", count=len(self._unwritten), text="will be tried again")
        self._spool.close()

    def _gather(self) -> _Batch:
        """Everything that has arrived; outcomes alone wait a moment for company."""
        batch = _Batch()
        first = self._wait(RETRY_S if self._unwritten else None)
        deadline = None
        while first is not None:
            batch.add(first)
            for _ in range(MAX_BATCH):
                try:
                    following = self._inbox.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._stopping = True
                    return batch
                batch.add(following)
            if batch.has_company or self._stopping:
                return batch
            if deadline is None:
                deadline = time.monotonic() + self._ride_s
            first = self._wait(max(0.0, deadline - time.monotonic()))
        return batch

    def _wait(self, timeout: float | None) -> Operation | None:
        try:
            operation = self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None
        if operation is None:
            self._stopping = True
        return operation

    # --- writing -----------------------------------------------------------------------------

    def _commit(self, batch: _Batch) -> None:
        if not (batch.accepts or batch.records or batch.forgets):
            return
        try:
            self._write(batch.accepts, batch.records, batch.forgets)
        except Exception as error:  # noqa: BLE001 - disk trouble or a bug: find out for whom
            trouble = self._meet(error)
            self._tell_failed(trouble, error, len(batch.records))
            self._commit_singly(batch, error if trouble is Trouble.FULL else None)
        else:
            self._committed(batch)

    def _tell_failed(self, trouble: Trouble, error: Exception, outcomes: int) -> None:
        """Say it once in a while: on a full disk every commit fails until there is room again."""
        now = time.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            log.warning(
                "spool.commit_failed", trouble=trouble.value, error=str(error), outcomes=outcomes
            )

    def _write(
        self, accepts: Sequence[Accept], records: Sequence[Record], forgets: Sequence[Forget]
    ) -> None:
        """One transaction: whatever is raised, nothing of it is in the file."""
        spool = self._spool
        with spool.transaction():
            if accepts:
                spool.insert([a.message for a in accepts])
            if records:
                spool.update([row for record in records for row in record.rows])
                notices = [n for record in records for n in record.notices]
                if notices:
                    spool.insert(notices)
            for forget in forgets:
                spool.forget(forget.ids)
        self.commits += 1

    def _committed(self, batch: _Batch) -> None:
        """The batch is on disk: answer, pass on, clear away."""
        self.is_writable = True
        self._answer(batch, None)
        for record in batch.records:
            if record.finished is not None:
                self._hooks.on_finished(record.finished)
        for forget in batch.forgets:
            try:
                self._spool.bodies.discard(forget.ids)
            except OSError as error:
                # The rows are gone, so the next start sweeps the files.
                log.warning("spool.body_left", error=str(error))

    def _commit_singly(self, batch: _Batch, full: Exception | None) -> None:
        """The batch can't be written whole: write what can be, answer each for itself.

        Where the disk is full the room just made is for outcomes: new mail is not even tried.
        """
        self._record_singly(batch.records)
        if self._unwritten:
            self._hooks.on_kept()
        else:
            for forget in batch.forgets:
                if self._write_one(_Batch(forgets=[forget])) is not None:
                    self._hooks.on_kept()
        refused = full
        for accept in batch.accepts:
            one = _Batch(accepts=[accept])
            if refused is not None:
                self._answer(one, refused)
                continue
            error = self._write_one(one)
            if error is not None:
                self._answer(one, error)
                refused = error if trouble_of(error) is not Trouble.BUG else None

    def _record_singly(self, records: Sequence[Record]) -> None:
        """Write outcomes in their order; from the first that the disk won't take, all are kept."""
        for place, record in enumerate(records):
            error = self._write_one(_Batch(records=[record]))
            if error is None:
                continue
            if trouble_of(error) is not Trouble.BUG:
                self._unwritten.extend(records[place:])
                return
            log.error("spool.bug", error=repr(error), text="an outcome can't be written")
            self._answer(_Batch(records=[record]), error)

    def _write_one(self, batch: _Batch) -> Exception | None:
        """Commit a batch of one; whatever goes wrong is its own."""
        try:
            self._write(batch.accepts, batch.records, batch.forgets)
        except Exception as error:  # noqa: BLE001 - handed to the one it concerns
            self._meet(error)
            return error
        self._committed(batch)
        return None

    def _meet(self, error: Exception) -> Trouble:
        """Do what can be done about an error before the next try."""
        trouble = trouble_of(error)
        if trouble is not Trouble.BUG:
            self.is_writable = False
        if trouble is Trouble.FULL:
            self._hooks.on_full()
        elif trouble is Trouble.DAMAGE:
            self._salvage()
        return trouble

    def _salvage(self) -> None:
        now = time.monotonic()
        if now - self._salvaged_at < SALVAGE_PAUSE_S:
            return
        self._salvaged_at = now
        try:
            self._spool = self._hooks.salvage(self._spool)
        except Exception:
            log.exception("spool.salvage_failed")

    # --- answering ---------------------------------------------------------------------------

    def _answer(self, batch: _Batch, error: Exception | None) -> None:
        waiting: list[Done] = [a.done for a in batch.accepts]
        waiting += [r.done for r in batch.records if r.done is not None]
        if waiting:
            self._on_loop(_tell_all, waiting, error)

    def _call(self, call: Call) -> None:
        if self._unwritten and call.shows_states:
            text = f"{len(self._unwritten)} outcomes wait for the disk"
            self._on_loop(call.done, None, SpoolUnavailableError(text))
            return
        try:
            result = self._run(call)
        except Exception as error:  # noqa: BLE001 - handed to the one who asked
            self._on_loop(call.done, None, error)
        else:
            self._on_loop(call.done, result, None)

    def _run(self, call: Call) -> object:
        """The call's result; a file that turns out damaged is replaced, and asked again."""
        try:
            return call.run(self._spool)
        except Exception as error:
            damaged = self._spool
            if self._meet(error) is not Trouble.DAMAGE or self._spool is damaged:
                raise
        return call.run(self._spool)

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed: nobody waits for the answer any more, and the commit stands.
            log.debug("spool.nobody_waits")


def _tell_all(waiting: Sequence[Done], error: Exception | None) -> None:
    for done in waiting:
        try:
            done(error)
        except Exception:
            # One listener's mistake must not keep the others from their answer.
            log.exception("spool.answer_bug")
