"""Sets DKIM keys to work once their records are seen in DNS."""

import asyncio
from collections.abc import Callable

import structlog

from postern.directory.dkim import Published, look_up
from postern.directory.store.dkim import DkimStore
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import Lookup

log = structlog.get_logger("postern.directory")

MIN_PAUSE_S = 60.0
MAX_PAUSE_S = 3600.0
PATIENCE = 0.1
"""A key that waits for an hour is looked for every six minutes: whoever made it is at work on it
now, or will not be before tomorrow."""


class Publication:
    """Looks for the records of keys that wait; one worker does.

    Args:
        store: where the keys are.
        lookup: gives the resolver of the moment.
        clock: for when to look again.
    """

    def __init__(self, store: DkimStore, lookup: Callable[[], Lookup], clock: Clock) -> None:
        self._store = store
        self._lookup = lookup
        self._clock = clock
        self._next: dict[str, float] = {}

    async def look(self) -> None:
        """Look for each whose time has come, one after the other."""
        now = self._clock.now()
        waiting = await asyncio.to_thread(self._store.waiting)
        self._next = {key.id: self._next.get(key.id, 0.0) for key in waiting}
        for key in waiting:
            if now < self._next[key.id]:
                continue
            pause_s = (now - key.created_at) * PATIENCE
            self._next[key.id] = now + min(max(pause_s, MIN_PAUSE_S), MAX_PAUSE_S)
            try:
                published = await look_up(self._lookup(), key)
            except ValueError as error:  # what is kept of it is damaged; the others can go on
                log.error("directory.dkim_key_damaged", name=key.record_name, error=str(error))  # noqa: TRY400 - the text is the cause
                continue
            if published is Published.YES and await asyncio.to_thread(self._store.seen, key):
                log.info("directory.dkim_key_seen", name=key.record_name)
