"""What domains published about TLS, on file: read at once, written by a thread of its own.

Without the file (it cannot be opened, or the disk is full) mail goes on with the policies fetched
last, in memory, and the log says so.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Semaphore
from typing import TypeVar

import structlog

from postern.routing.tls.store import StoredPolicy, TlsStore
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.beside import FileTrouble

log = structlog.get_logger("postern.routing")

T = TypeVar("T")

DAY_S = 86_400.0
DANE_KEPT_S = 30 * DAY_S
"""How long a domain is known for having DANE once it was last seen to."""
MAX_WAITING = 1_000
"""Notes on their way to the disk; more are dropped: what is lost is found again."""
MAX_NOTED = 20_000
MAX_FRESH = 200
"""Policies that are known before they are on file, or where they never get there."""
CLOSE_S = 2.0


class Shelf:
    """For one worker, over the file that all workers share; it outlives reloads.

    ``path`` None: nothing is kept.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._clock = clock
        self._reading, self._writing = _open(path), _open(path)
        self._thread = ThreadPoolExecutor(1, "tls")
        self._room = Semaphore(MAX_WAITING)
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._fresh: OrderedDict[str, StoredPolicy] = OrderedDict()

    def policy(self, domain: str) -> StoredPolicy | None:
        """The policy that is still good. One row by its key: microseconds."""
        now = self._clock.now()
        stored = self._read(lambda store: store.policy(domain, now), None)
        fresh = self._fresh.get(domain)
        if fresh is None or fresh.expires <= now:
            return stored
        return stored if stored is not None and stored.fetched >= fresh.fetched else fresh

    async def due(self, most: int) -> Sequence[str]:
        """See ``TlsStore.due``; once all noted so far is on file. Looked for by the thread."""
        if self._writing is None:
            return ()
        asked = self._thread.submit(self._due_now, self._writing, self._clock.now(), most)
        return await asyncio.wrap_future(asked)

    def put(self, policy: StoredPolicy) -> None:
        """Keep what was fetched."""
        self._fresh[policy.domain] = policy
        self._fresh.move_to_end(policy.domain)
        if len(self._fresh) > MAX_FRESH:
            self._fresh.popitem(last=False)
        self._write(lambda store: store.put(policy))

    def tried(self, domain: str) -> None:
        """It could not be fetched again now."""
        now = self._clock.now()
        self._write(lambda store: store.tried(domain, now))

    def used(self, domain: str) -> None:
        """Mail goes by its policy; written once a day."""
        now = self._clock.now()
        if self._is_news("sts", domain):
            self._write(lambda store: store.used(domain, now))

    def saw_dane(self, domain: str) -> None:
        """Its mail hosts have TLSA records; written once a day."""
        now = self._clock.now()
        if self._is_news("dane", domain):
            self._write(lambda store: store.saw_dane(domain, now))

    def had_dane(self, domain: str) -> bool:
        """Whether its mail hosts had TLSA records lately."""
        if ("dane", domain) in self._noted:
            return True
        seen = self._read(lambda store: store.dane_seen(domain), None)
        return seen is not None and self._clock.now() - seen < DANE_KEPT_S

    def prune(self) -> None:
        """Drop what is over."""
        now = self._clock.now()
        self._write(lambda store: store.prune(now, now - DANE_KEPT_S))

    def flush(self) -> None:
        """Wait until what was noted so far is on file, at most ``CLOSE_S``; not on the loop."""
        wait([self._thread.submit(_nothing)], CLOSE_S)

    def close(self) -> None:
        """Write what is left, and close; not on the loop: it may take ``CLOSE_S``."""
        last = self._thread.submit(_nothing)
        is_written = bool(wait([last], CLOSE_S).done)
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._reading is not None:
            self._reading.close()
        if self._writing is not None and is_written:
            self._writing.close()

    def _is_news(self, kind: str, domain: str) -> bool:
        key, now = (kind, domain), self._clock.monotonic()
        if now - self._noted.get(key, -DAY_S) < DAY_S:
            return False
        self._noted[key] = now
        self._noted.move_to_end(key)
        if len(self._noted) > MAX_NOTED:
            self._noted.popitem(last=False)
        return True

    def _read(self, read: Callable[[TlsStore], T], otherwise: T) -> T:
        if self._reading is None:
            return otherwise
        try:
            return read(self._reading)
        except FileTrouble as error:
            log.warning("routing.tls_file", text=str(error))
            return otherwise

    def _write(self, write: Callable[[TlsStore], None]) -> None:
        if self._writing is None or not self._room.acquire(blocking=False):
            return
        self._thread.submit(self._write_now, self._writing, write)

    def _due_now(self, store: TlsStore, now: Instant, most: int) -> Sequence[str]:
        """On the thread."""
        try:
            return store.due(now, most)
        except FileTrouble as error:
            log.warning("routing.tls_file", text=str(error))
            return ()

    def _write_now(self, store: TlsStore, write: Callable[[TlsStore], None]) -> None:
        """On the thread."""
        try:
            write(store)
        except FileTrouble as error:
            log.warning("routing.tls_file", text=str(error))
        finally:
            self._room.release()


def _open(path: Path | None) -> TlsStore | None:
    if path is None:
        return None
    try:
        return TlsStore(path)
    except (FileTrouble, OSError) as error:
        log.error("routing.tls_file", text=f"{path.name}: {error}; move it away and restart")  # noqa: TRY400 - the text is the cause
        return None


def _nothing() -> None:
    """What comes last."""
