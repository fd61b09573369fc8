"""How groups stand, in the memory of one worker and in step with all others."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import structlog

from postern.routing.control.store import MAX_STANDINGS, StandingStore
from postern.routing.paths.groups import Standing
from postern.runtime.clock import Clock
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.routing")

TRIES = 8
"""Others may change the same group at the same moment; each of them changes it once."""

TELL_S = 60.0
"""How often the log says that the file can't be read or written."""

T = TypeVar("T")
Make = Callable[[Standing], Standing | None]
"""What is to stand where this stands; None: nothing is to change."""


class Standings:
    """Belongs to one event loop; the file is read and written on a thread of its own."""

    def __init__(self, store: StandingStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, Standing] = {}
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="groups")
        self._locks: dict[str, asyncio.Lock] = {}
        self._told_at = -TELL_S

    def of(self, group: str) -> Standing | None:
        """How a group stands; None: simply direct."""
        return self._known.get(group)

    @property
    def is_full(self) -> bool:
        """Whether no group more should be put on record for nothing but being dead."""
        return len(self._known) >= MAX_STANDINGS

    def __iter__(self) -> Iterator[Standing]:
        return iter(tuple(self._known.values()))

    def open(self) -> None:
        """Read the file before anything begins; what can't be read is as if nothing were known."""
        try:
            self._take(self._store.all())
        except (DatabaseTroubleError, OSError) as error:
            self._tell("groups.unread", error)

    async def refresh(self) -> list[Standing]:
        """What others changed since the last call.

        A group that is known no longer is told of as direct.
        """
        try:
            if not await self._on_thread(self._store.changed):
                return []
            return self._take(await self._on_thread(self._store.all))
        except (DatabaseTroubleError, OSError) as error:
            self._tell("groups.unread", error)
            return []

    async def change(self, group: str, make: Make) -> tuple[Standing, Standing] | None:
        """Change how a group stands; ``make`` is asked again when another was faster.

        Returns:
            What stood before, and what stands now; None: nothing changed, or nothing could be
            written down (it is tried again with the next evidence).
        """
        lock = self._locks.setdefault(group, asyncio.Lock())
        async with lock:
            try:
                return await self._change(group, make)
            except (DatabaseTroubleError, OSError) as error:
                self._tell("groups.unwritten", error)
                return None
            finally:
                if len(self._locks) > len(self._known) + TRIES:
                    self._locks = {k: v for k, v in self._locks.items() if v.locked()}

    async def _change(self, group: str, make: Make) -> tuple[Standing, Standing] | None:
        for _ in range(TRIES):
            before = self._known.get(group) or Standing(group)
            after = make(before)
            if after is None or replace(after, version=before.version) == before:
                return None
            written = await self._on_thread(partial(self._store.swap, before, after))
            if written is not None:
                self._known[group] = written
                return before, written
            self._take(await self._on_thread(self._store.all))
        log.error("groups.crowded", group=group)
        return None

    async def sweep(self) -> list[str]:
        """Forget what matters no more; the groups that are simply direct now."""
        now, forgotten = self._clock.now(), list[str]()
        for standing in self:
            if not standing.is_history(now):
                continue
            try:
                if await self._on_thread(partial(self._store.forget, standing)):
                    self._known.pop(standing.group, None)
                    forgotten.append(standing.group)
            except (DatabaseTroubleError, OSError) as error:
                self._tell("groups.unwritten", error)
                break
        return forgotten

    async def close(self) -> None:
        """Close the file."""
        await self._on_thread(self._store.close)
        self._executor.shutdown(wait=False)

    def _take(self, found: list[Standing]) -> list[Standing]:
        """Know these and no others; those that are news."""
        known = {standing.group: standing for standing in found}
        news = [one for one in found if self._known.get(one.group) != one]
        news += [Standing(group) for group in self._known if group not in known]
        self._known = known
        return news

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _tell(self, event: str, error: Exception) -> None:
        now = self._clock.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            log.warning(event, error=str(error))
