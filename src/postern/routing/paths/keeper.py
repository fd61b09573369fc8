"""The thread that owns a worker's connection to ``paths.db``: writes what changed, reads others'.

Nobody waits for it but a prober that asks for paths of its own. What several changes made of one
path meanwhile is written once. Trouble with the file costs memory of health, and never mail: what
could not be written is tried again, and only what is known here counts until then.
"""

import asyncio
import contextlib
import queue
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path as File
from typing import TypeVar

import structlog

from postern.mail.paths import Path
from postern.routing.paths.census import Met
from postern.routing.paths.health import PathState
from postern.routing.paths.store.file import SWEEP_ROWS, Claim, PathStore, Written
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.runtime.database.watch import ChangeWatch

log = structlog.get_logger("postern.routing")

_T = TypeVar("_T")
_K = TypeVar("_K")
_V = TypeVar("_V")

Learn = Callable[[Iterable[PathState]], None]

POLL_S = 0.25
"""How often it is looked whether others wrote: some microseconds each time."""
GATHER_S = 0.05
"""How long a change waits for others to be written with it."""
MAX_WAITING = 20_000
"""Changes on their way to the disk; more are dropped: a flood of news is news no more."""
MAX_BATCH = 1000
PATIENCE_S = 1.0
CLOSE_S = 2.0
SWEEP_S = 3600.0
TELL_S = 60.0
RENEW_S = 10.0
"""A store in trouble is opened anew no sooner than so long after it was opened."""


class _Question:
    """A claim that somebody waits for."""

    __slots__ = ("answer", "claim")

    def __init__(self, claim: Claim, answer: "asyncio.Future[frozenset[Path] | None]") -> None:
        self.claim = claim
        self.answer = answer


_Item = PathState | Met | _Question | None
"""What the thread is told; None: the end."""


class PathKeeper:
    """Keeps what a worker knows of paths. One for each worker; it outlives reloads."""

    def __init__(self, data_dir: File, clock: Clock) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._writer = secrets.token_hex(6)
        self._inbox: queue.Queue[_Item] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._learn: Learn | None = None
        self._store: PathStore | None = None
        self._watch: ChangeWatch | None = None
        self._states: dict[Path, PathState] = {}
        self._met: dict[tuple[str, str, str], Met] = {}
        self._is_stopping = False
        self._sweep_at = 0.0
        self._opened_at = 0.0
        self._told_at = -TELL_S

    def start(self, learn: Learn) -> None:
        """Begin, on the running loop; ``learn`` takes what others wrote, and first all there is."""
        self._learn = learn
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="paths", daemon=True)
        self._thread.start()

    def keep(self, state: PathState) -> None:
        """Write it down soon. Never blocks."""
        self._put(state)

    def meet(self, met: Met) -> None:
        """Write it down soon. Never blocks."""
        self._put(met)

    async def claim(self, until: Mapping[Path, Instant]) -> frozenset[Path] | None:
        """Which of these paths are the caller's to probe now.

        Args:
            until: of each path when it may be probed next, if it is granted now.

        Returns:
            The paths that no worker has claimed for now; None: couldn't tell.
        """
        loop = asyncio.get_running_loop()
        question = _Question(Claim(until, self._clock.now()), loop.create_future())
        if self._thread is None or not self._put(question):
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                return await question.answer
        return None

    async def close(self) -> None:
        """Write what is left, then let the file go."""
        if self._thread is not None:
            await asyncio.to_thread(self._stop, self._thread)
            self._thread = None

    def _put(self, item: _Item) -> bool:
        try:
            self._inbox.put_nowait(item)
        except queue.Full:
            self._tell("it does not keep up")
            return False
        return True

    def _stop(self, thread: threading.Thread) -> None:
        self._is_stopping = True
        with contextlib.suppress(queue.Full):
            self._inbox.put_nowait(None)
        thread.join(CLOSE_S)

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not (self._is_stopping and self._inbox.empty()):
            questions = self._gather()
            try:
                store = self._current()
                self._write(store)
                self._answer(store, questions)
                self._read(store)
                self._sweep(store)
            except (DatabaseTroubleError, OSError) as error:
                self._tell(str(error))
                self._renew(error)
            except Exception:
                # What it stumbled over would make it stumble for ever, and keep nothing at all.
                log.exception("paths.bug")
                self._states.clear()
                self._met.clear()
            finally:
                self._call(_give, [(question, None) for question in questions])
        self._let_go()

    def _gather(self) -> list[_Question]:
        """Take what was told by now; returns the questions, keeps the rest until it is written."""
        questions: list[_Question] = []
        wait_s = POLL_S
        for _ in range(MAX_BATCH):
            try:
                item = self._inbox.get(timeout=wait_s)
            except queue.Empty:
                break
            match item:
                case PathState():
                    self._states.pop(item.path, None)
                    self._states[item.path] = item
                case Met():
                    self._met[item.group, item.egress, item.domain] = item
                case _Question():
                    questions.append(item)
                case None:
                    break
            wait_s = 0.0 if questions or self._is_stopping else GATHER_S
        _bound(self._states)
        _bound(self._met)
        return questions

    def _write(self, store: PathStore) -> None:
        what = Written(tuple(self._states.values()), tuple(self._met.values()))
        if what:
            store.write(what)
            self._states.clear()
            self._met.clear()

    def _answer(self, store: PathStore, questions: Sequence[_Question]) -> None:
        if questions:
            store.claim([question.claim for question in questions])
            answers = [(question, question.claim.granted) for question in questions]
            self._call(_give, answers)

    def _read(self, store: PathStore) -> None:
        assert self._watch is not None
        if self._watch.changed() and (news := store.news()) and self._learn is not None:
            self._call(self._learn, news)

    def _sweep(self, store: PathStore) -> None:
        now = self._clock.now()
        if now >= self._sweep_at:
            gone = store.sweep(now)
            self._sweep_at = now + (1.0 if gone >= SWEEP_ROWS else SWEEP_S)

    def _current(self) -> PathStore:
        """The store over the file that is there now: another worker may have set ours aside."""
        if self._store is not None and not self._store.is_in_place():
            self._let_go()
        if self._store is None:
            self._opened_at = self._clock.monotonic()
            self._store = store = PathStore.open(self._data_dir, self._writer)
            self._watch = ChangeWatch(store.path)
        return self._store

    def _renew(self, error: Exception) -> None:
        """Open the file anew after trouble, a damaged one made anew; not more often than so."""
        if self._store is None:
            return
        if self._watch is not None and self._clock.monotonic() - self._opened_at < RENEW_S:
            return
        store, self._store = self._store, None
        self._close_watch()
        try:
            store.leave(error)
        except (DatabaseTroubleError, OSError) as trouble:
            self._tell(str(trouble))

    def _let_go(self) -> None:
        self._close_watch()
        if self._store is not None:
            self._store.close()
            self._store = None

    def _close_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _call(self, told: Callable[[list[_T]], object], what: list[_T]) -> None:
        if what and self._loop is not None:
            # The loop is closed: the worker has ended.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(told, what)

    def _tell(self, text: str) -> None:
        """Say it once in a while: mail goes on meanwhile."""
        now = self._clock.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            log.warning("paths.not_kept", text=text)


def _give(answers: Sequence[tuple[_Question, frozenset[Path] | None]]) -> None:
    for question, granted in answers:
        if not question.answer.done():  # whoever asked may have lost patience
            question.answer.set_result(granted)


def _bound(waiting: dict[_K, _V]) -> None:
    while len(waiting) > MAX_WAITING:
        del waiting[next(iter(waiting))]
