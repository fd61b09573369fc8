"""Finished conversations move from the spool to the journal, many at a time.

The journal's own thread writes a batch every ``period_s``; only then may the spool forget the
messages. A crash in between repeats the batch, which the journal takes once (it is keyed by id).
Conversations without a message (refused, abandoned) have no other home: a kill loses at most the
last ``period_s`` of those.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from postern.journal.record import Conversation

log = structlog.get_logger("postern.journal")

MAX_PENDING = 20_000
"""Conversations kept in memory while the journal's disk says no."""


class Journal(Protocol):
    """What the hand-over needs of the journal; its one thread calls nothing else."""

    def append(self, conversations: Sequence[Conversation]) -> None:
        """Write all of them durably, each id once."""
        ...

    def close(self) -> None:
        """Close the day's file."""
        ...


class Handover(threading.Thread):
    """The thread that owns the journal's files."""

    def __init__(
        self, journal: Journal, forget: Callable[[Sequence[int]], None], period_s: float
    ) -> None:
        super().__init__(name="journal", daemon=True)
        self._journal = journal
        self._forget = forget
        self._period_s = period_s
        self._pending: deque[tuple[Conversation, bool]] = deque()
        self._stop = threading.Event()
        self.dropped = 0
        self.is_writable = True

    def add(self, conversation: Conversation, *, spooled: bool) -> None:
        """Queue a conversation; ``spooled``: the spool keeps its message until the journal has it.

        Called from the loop; a deque's ends may be used from two threads at once.
        """
        if len(self._pending) < MAX_PENDING:
            self._pending.append((conversation, spooled))
        elif not spooled:
            self.dropped += 1
        # A spooled one beyond the limit stays in the spool; the next start hands it over.

    def stop(self) -> None:
        """Write what is pending and end. Then ``join``."""
        self._stop.set()

    def run(self) -> None:
        """Write a batch every period until stopped, then the last one."""
        while not self._stop.wait(self._period_s):
            self._flush()
        self._flush()
        self._journal.close()

    def _flush(self) -> None:
        batch = [self._pending.popleft() for _ in range(len(self._pending))]
        if not batch:
            return
        try:
            self._journal.append([conversation for conversation, _ in batch])
        except Exception:
            log.exception("journal.write_failed", conversations=len(batch))
            self.is_writable = False
            self._pending.extendleft(reversed(batch))
            return
        self.is_writable = True
        ids = [conversation.id for conversation, spooled in batch if spooled]
        if ids:
            self._forget(ids)
