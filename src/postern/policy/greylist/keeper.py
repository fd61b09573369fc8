"""The thread that owns a worker's connection to ``greylist.db``: group commit, and no waiting.

Whatever is asked while a commit is being synced goes into the next: one transaction, one fsync, for
all of it. What cannot be told in time (the disk is full, another process holds the file, too much
is asked) is not told, and whoever asked lets the mail pass.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from postern.policy.greylist.key import Key
from postern.policy.greylist.settings import GreylistSettings
from postern.policy.greylist.standing import Standing
from postern.policy.greylist.store import SWEEP_ROWS, Asked, GreylistStore
from postern.runtime.clock import Clock
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.policy")

MAX_BATCH = 500
MAX_WAITING = 5000
"""Questions that may wait; more than that is a flood that no disk keeps up with."""
PATIENCE_S = 3.0
CLOSE_S = 2.0
"""How long a stop waits for a disk that does not answer; what waits then is tried again anyway."""
SWEEP_S = 3600.0
SWEEP_NEW = 10_000
TELL_S = 60.0
RENEW_S = 10.0
"""A store in trouble is opened anew no sooner than so long after it was opened."""


@dataclass(frozen=True, slots=True)
class _Question:
    asked: Asked
    answer: "asyncio.Future[Standing | None]"


class GreylistKeeper:
    """Answers where mail stands; what was new is on disk before its answer. One for each worker."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._inbox: queue.Queue[_Question | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._store: GreylistStore | None = None
        self._is_stopping = False
        self._new = 0
        self._sweep_at = 0.0
        self._opened_at = 0.0
        self._told_at = -TELL_S

    async def ask(self, key: Key, settings: GreylistSettings) -> Standing | None:
        """Where mail stands that came just now; None: couldn't tell."""
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._loop = loop
            self._thread = threading.Thread(target=self._run, name="greylist", daemon=True)
            self._thread.start()
        question = _Question(Asked(key, self._clock.now(), settings), loop.create_future())
        answer = question.answer
        with contextlib.suppress(queue.Full):
            self._inbox.put_nowait(question)
            # Not asyncio.timeout: whoever asks may have no task of its own yet (runtime/eager).
            await asyncio.wait([answer], timeout=PATIENCE_S)
        if answer.done():
            return answer.result()
        answer.cancel()
        self._tell("it does not keep up")
        return None

    async def close(self) -> None:
        """Answer what was asked, then let the file go."""
        if self._thread is not None:
            await asyncio.to_thread(self._stop, self._thread)

    def _stop(self, thread: threading.Thread) -> None:
        try:
            self._inbox.put(None, timeout=CLOSE_S)
        except queue.Full:
            self._is_stopping = True  # it ends with what it is at
        thread.join(CLOSE_S)

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while (batch := self._gather()) is not None:
            try:
                self._answer(batch)
                self._sweep(batch[-1].asked)
            except (DatabaseTroubleError, OSError) as error:
                self._tell(str(error))
                self._renew(error)
            except Exception:
                log.exception("greylist.bug")
            finally:
                self._tell_askers([(question, None) for question in batch])
        if self._store is not None:
            self._store.close()

    def _gather(self) -> list[_Question] | None:
        """All that was asked by now; None: the end."""
        first = None if self._is_stopping else self._inbox.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                another = self._inbox.get_nowait()
            except queue.Empty:
                break
            if another is None:
                self._is_stopping = True
                break
            batch.append(another)
        return batch

    def _answer(self, batch: Sequence[_Question]) -> None:
        """First what is only looked up, then in one transaction what is written down."""
        store = self._current()
        seen = store.look([question.asked for question in batch])
        found = list(zip(batch, seen, strict=True))
        self._tell_askers([(question, one) for question, one in found if one is not None])
        changing = [question for question, one in found if one is None]
        if changing:
            settled = store.settle([question.asked for question in changing])
            self._tell_askers(list(zip(changing, settled, strict=True)))
            self._new += len(changing)

    def _current(self) -> GreylistStore:
        """The store over the file that is there now: another worker may have set ours aside."""
        if self._store is not None and not self._store.is_in_place():
            self._store.close()
            self._store = None
        if self._store is None:
            self._store = GreylistStore.open(self._data_dir)
            self._opened_at = self._clock.monotonic()
        return self._store

    def _renew(self, error: Exception) -> None:
        """Open the file anew after trouble, a damaged one made anew; not more often than so."""
        if self._store is None or self._clock.monotonic() - self._opened_at < RENEW_S:
            return
        store, self._store = self._store, None
        try:
            store.leave(error)
        except (DatabaseTroubleError, OSError) as trouble:
            self._tell(str(trouble))

    def _sweep(self, last: Asked) -> None:
        """Forget what is over: every hour, and while much that is new comes in."""
        is_due = last.now >= self._sweep_at or self._new >= SWEEP_NEW
        if self._store is None or not is_due:
            return
        self._new = 0
        gone = self._store.sweep(last.now, last.settings)
        self._sweep_at = last.now + (1.0 if gone >= SWEEP_ROWS else SWEEP_S)

    def _tell_askers(self, answers: Sequence[tuple[_Question, Standing | None]]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_give, answers)
        except RuntimeError:
            log.debug("greylist.nobody_waits")  # the loop is closed: the worker has ended

    def _tell(self, text: str) -> None:
        """Say it once in a while: mail passes meanwhile."""
        now = self._clock.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            log.warning("greylist.unknown", text=text)


def _give(answers: Sequence[tuple[_Question, Standing | None]]) -> None:
    for question, standing in answers:
        if not question.answer.done():  # it may have lost patience
            question.answer.set_result(standing)
