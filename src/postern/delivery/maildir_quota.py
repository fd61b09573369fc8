"""Whether a message fits into a Maildir of ours: asked at RCPT, answered from memory or a thread.

What was read is believed for two seconds, or for twenty times as long as the reading took: a
mailbox of a million messages costs a twentieth of one thread at most. Near the limit it is only
believed where it says "full", and what this worker delivers itself is noticed at once. Mail that
comes in between, and mail whose size was not declared, may take a mailbox over its limit; whatever
was accepted is delivered.
"""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import structlog

from postern.delivery.maildir_store import parse_home
from postern.delivery.room import Room, room_in
from postern.directory.resolution import Resolved, Store
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.delivery")

BELIEVED_S = 2.0
BELIEVED_TIMES = 20
WAIT_S = 3.0
"""How long a client waits for a mailbox to be measured; then nobody could tell, and mail is taken.
The measuring goes on, for the next one who asks."""
NEAR = 0.9
QUICK_S = 0.01
"""From this part of the limit on, room that was found so quickly is not believed a second time."""
MAX_REMEMBERED = 16_384
MAX_RUNNING = 256


@dataclass(frozen=True, slots=True)
class _Measured:
    used_bytes: int
    until: float
    took_s: float


class Usage(Protocol):
    """Reads what mailboxes hold; ``MaildirUsage`` is one. Its calls block."""

    def used_bytes(self, home: tuple[str, str], quota_bytes: int, more_bytes: int) -> int:
        """What the mailbox holds."""
        ...

    def used_by_domain(self, domain: str, quota_bytes: int, more_bytes: int) -> int:
        """What all mailboxes of a domain hold."""
        ...


class MaildirQuota:
    """Knows how full our own mailboxes are; for one event loop. See ``room.Measure``."""

    def __init__(self, usage: Usage, clock: Clock, *, threads: int = 2) -> None:
        self._usage = usage
        self._clock = clock
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="quota")
        self._measured: OrderedDict[str, _Measured] = OrderedDict()
        self._running: dict[str, asyncio.Task[int | None]] = {}

    def concerns(self, resolved: Resolved) -> bool:
        """Whether any of these mailboxes, or its domain, has a limit."""
        return resolved.has_quota

    def room(self, store: Store, size_bytes: int) -> "Room | asyncio.Task[Room]":
        """Whether a message of that size fits; at once where all that it takes is in memory."""
        if not store.has_quota:
            return Room.ENOUGH
        known = self._known(store, size_bytes)
        if known is not None:
            return known
        if parse_home(store.home) is None:  # a name too long for any disk: nothing can be in it
            return Room.UNKNOWN
        return asyncio.ensure_future(self._measure(store, size_bytes))

    def forget(self, home: str) -> None:
        """A message was put into the mailbox: what was read of it is not so any more."""
        self._measured.pop(home, None)

    # --- from memory ------------------------------------------------------------------------------

    def _known(self, store: Store, size_bytes: int) -> Room | None:
        """The answer, if everything it takes is remembered."""
        worst = Room.ENOUGH
        for key, quota_bytes in _limits(store):
            found = self._measured.get(key)
            if found is None or self._clock.monotonic() >= found.until:
                return None
            room = room_in(found.used_bytes, quota_bytes, size_bytes)
            is_near = found.used_bytes + size_bytes > NEAR * quota_bytes
            if room is Room.ENOUGH and is_near and found.took_s < QUICK_S:
                return None
            worst = max(worst, room)
        return worst

    # --- from disk --------------------------------------------------------------------------------

    async def _measure(self, store: Store, size_bytes: int) -> Room:
        tasks = []
        for key, quota_bytes in _limits(store):
            task = self._running.get(key)
            if task is None:
                if len(self._running) >= MAX_RUNNING:
                    return Room.UNKNOWN
                read = self._reading(store, key, quota_bytes, size_bytes)
                task = asyncio.ensure_future(self._remember(key, read))
                self._running[key] = task
            tasks.append(task)
        await asyncio.wait(tasks, timeout=WAIT_S)
        worst = Room.ENOUGH
        for task, (_, quota_bytes) in zip(tasks, _limits(store), strict=True):
            used = task.result() if task.done() else None
            room = Room.UNKNOWN if used is None else room_in(used, quota_bytes, size_bytes)
            worst = max(worst, room)
        return worst

    def _reading(
        self, store: Store, key: str, quota_bytes: int, size_bytes: int
    ) -> Callable[[], int]:
        more = max(size_bytes, 1)
        if key != store.home:
            return functools.partial(self._usage.used_by_domain, key, quota_bytes, more)
        home = parse_home(store.home)
        assert home is not None, "room() has looked"
        return functools.partial(self._usage.used_bytes, home, quota_bytes, more)

    async def _remember(self, key: str, read: Callable[[], int]) -> int | None:
        """Measure one mailbox, or one domain, and keep the figure for its time; None: unknown."""
        began = self._clock.monotonic()
        try:
            used = await asyncio.get_running_loop().run_in_executor(self._threads, read)
        except OSError as error:
            log.warning("quota.unknown", place=key, error=str(error))
            return None
        finally:
            self._running.pop(key, None)
        now = self._clock.monotonic()
        took_s = now - began
        until = now + max(BELIEVED_S, BELIEVED_TIMES * took_s)
        self._measured.pop(key, None)
        self._measured[key] = _Measured(used, until, took_s)
        if len(self._measured) > MAX_REMEMBERED:
            self._measured.popitem(last=False)
        return used


def _limits(store: Store) -> list[tuple[str, int]]:
    """What is limited, and to how much: the mailbox by its home, its domain by its folder."""
    limits = []
    if store.quota_bytes is not None:
        limits.append((store.home, store.quota_bytes))
    if store.domain_quota_bytes is not None:
        limits.append((store.home.partition("/")[0], store.domain_quota_bytes))
    return limits
