"""The spool's one writer thread: group commit.

Whatever the loop asks for while a commit is being synced goes into the next one: one transaction,
one fsync, for all that arrived meanwhile. New mail starts a commit at once; a finished delivery
rides along and starts one of its own only after ``ride_s`` without company.

An operation that fails takes none of its neighbours with it: a batch that can't be written is tried
again one by one. New mail is then answered 451; outcomes are kept and tried until the disk takes
them, for they tell what must not be delivered twice.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from postern.spool.message import Message
from postern.spool.store.file import DeliveryRow, SpoolFile

log = structlog.get_logger("postern.spool")

MAX_BATCH = 2000
RETRY_S = 1.0

Done = Callable[[Exception | None], None]


@dataclass(slots=True)
class Accept:
    """New mail; ``done`` is called on the loop once it is durable, or with what went wrong."""

    message: Message
    done: Done


@dataclass(slots=True)
class Record:
    """Outcomes: delivery rows to rewrite, with notices that must become durable with them."""

    rows: Sequence[DeliveryRow]
    notices: Sequence[Message] = ()
    done: Done | None = None


@dataclass(slots=True)
class Forget:
    """The journal has these messages."""

    ids: Sequence[int]


@dataclass(slots=True)
class Call:
    """Anything else that must run on the thread that owns the file."""

    run: Callable[[SpoolFile], object]
    done: Callable[[object, Exception | None], None]


@dataclass(slots=True)
class _Batch:
    accepts: list[Accept] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    forgets: list[Forget] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def add(self, operation: Accept | Record | Forget | Call) -> None:
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
        self,
        spool: SpoolFile,
        loop: asyncio.AbstractEventLoop,
        ride_s: float,
        on_full: Callable[[], object],
    ) -> None:
        super().__init__(name="spool", daemon=True)
        self._spool = spool
        self._loop = loop
        self._ride_s = ride_s
        self._on_full = on_full
        self._inbox: queue.SimpleQueue[Accept | Record | Forget | Call | None] = queue.SimpleQueue()
        self._unwritten: list[Record] = []
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

    def _wait(self, timeout: float | None) -> Accept | Record | Forget | Call | None:
        try:
            operation = self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None
        if operation is None:
            self._stopping = True
        return operation

    def _commit(self, batch: _Batch) -> None:
        if not (batch.accepts or batch.records or batch.forgets):
            return
        try:
            self._write(batch.accepts, batch.records, batch.forgets)
        except Exception as error:  # noqa: BLE001 - disk trouble or a bug: find out for whom
            log.warning("spool.commit_failed", error=str(error), outcomes=len(batch.records))
            if "full" in str(error):
                self._on_full()
            self._commit_singly(batch)
        else:
            self.is_writable = True
            self._answer(batch, None)

    def _write(
        self, accepts: Sequence[Accept], records: Sequence[Record], forgets: Sequence[Forget]
    ) -> None:
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
        for forget in forgets:
            spool.bodies.discard(forget.ids)

    def _commit_singly(self, batch: _Batch) -> None:
        """The batch can't be written whole: write what can be, answer each for itself."""
        self.is_writable = False
        for forget in batch.forgets:
            # What stays is given to the journal again at the next start, harmlessly.
            self._write_one(_Batch(forgets=[forget]))
        for record in batch.records:
            error = self._write_one(_Batch(records=[record]))
            if isinstance(error, sqlite3.Error | OSError):
                self._unwritten.append(record)
        for accept in batch.accepts:
            self._write_one(_Batch(accepts=[accept]))

    def _write_one(self, batch: _Batch) -> Exception | None:
        """Commit a batch of one; whatever goes wrong is its own."""
        try:
            self._write(batch.accepts, batch.records, batch.forgets)
        except (sqlite3.Error, OSError) as error:
            if not batch.records:
                self._answer(batch, error)
            return error
        except Exception as error:
            log.exception("spool.bug")
            self._answer(batch, error)
            return error
        self.is_writable = True
        self._answer(batch, None)
        return None

    def _answer(self, batch: _Batch, error: Exception | None) -> None:
        waiting: list[Done] = [a.done for a in batch.accepts]
        waiting += [r.done for r in batch.records if r.done is not None]
        if waiting:
            self._on_loop(_tell_all, waiting, error)

    def _call(self, call: Call) -> None:
        try:
            result = call.run(self._spool)
        except Exception as error:  # noqa: BLE001 - handed to the one who asked
            self._on_loop(call.done, None, error)
        else:
            self._on_loop(call.done, result, None)

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed: nobody waits for the answer any more, and the commit stands.
            log.debug("spool.nobody_waits")


def _tell_all(waiting: Sequence[Done], error: Exception | None) -> None:
    for done in waiting:
        done(error)
