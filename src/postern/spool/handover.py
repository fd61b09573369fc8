"""Finished conversations move from the spool to the journal, many at a time.

The journal's own thread writes a batch every ``period_s``; only then may the spool forget the
messages. A crash in between repeats the batch, which the journal takes once (it is keyed by id).
Conversations without a message (refused, abandoned) have no other home: a kill loses at most the
last ``period_s`` of those.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from postern.journal.record import ChangeRecord, Conversation, HeardRecord
from postern.journal.store.writer import JournalUnavailableError

log = structlog.get_logger("postern.journal")

MAX_PENDING = 20_000
"""Conversations kept in memory while the journal's disk says no."""

MAX_BATCH = 2_000
MAX_PAUSE_S = 10.0


class Journal(Protocol):
    """What the hand-over needs of the journal; its one thread calls nothing else."""

    def append(
        self, conversations: Sequence[Conversation], heard: Sequence[HeardRecord] = ()
    ) -> None:
        """Write all of them durably, each id once."""
        ...

    def append_change(self, change: ChangeRecord) -> None:
        """Write one change durably."""
        ...

    def close(self) -> None:
        """Close the day's file."""
        ...


class Handover(threading.Thread):
    """The thread that owns the journal's files.

    Args:
        journal: where everything goes.
        forget: the spool may delete these messages; called on this thread.
        refill: ask the spool again for finished messages; it calls ``add`` for some of them, and
            ``leave`` when there are more. Called on this thread, when nothing is pending.
        on_full: make room on the disk.
        period_s: seconds between two batches.
    """

    def __init__(
        self,
        journal: Journal,
        forget: Callable[[Sequence[int]], None],
        refill: Callable[[], None],
        on_full: Callable[[], object],
        period_s: float,
    ) -> None:
        super().__init__(name="journal", daemon=True)
        self._journal = journal
        self._forget = forget
        self._refill = refill
        self._on_full = on_full
        self._period_s = period_s
        self._pending: deque[tuple[Conversation, bool]] = deque()
        self._heard: deque[HeardRecord] = deque()
        self._changes: deque[ChangeRecord] = deque()
        self._ending = threading.Event()
        self._are_left = False
        self._pause_s = 0.0
        self._pause_until = 0.0
        self.dropped = 0
        self.is_writable = True

    def add(self, conversation: Conversation, *, spooled: bool) -> None:
        """Queue a conversation; ``spooled``: the spool keeps its message until the journal has it.

        Called from the loop and from the spool's thread; a deque's ends may be used from several
        threads at once.
        """
        if len(self._pending) < MAX_PENDING:
            self._pending.append((conversation, spooled))
        elif spooled:
            self._are_left = True
        else:
            self.dropped += 1

    def add_heard(self, heard: HeardRecord) -> None:
        """Queue the decisions about mail that was taken. Called from the loop.

        They do not wait for its end: mail may be held for weeks, and rules be asked about it. A
        kill may lose those of the last ``period_s``; the mail itself is safe in the spool.
        """
        if len(self._heard) < MAX_PENDING:
            self._heard.append(heard)
        else:
            self.dropped += 1

    def leave(self) -> None:
        """Finished messages are still in the spool: ask for them once there is time."""
        self._are_left = True

    def add_change(self, change: ChangeRecord) -> None:
        """Queue the record of a change a person made. Called from the loop."""
        if len(self._changes) < MAX_PENDING:
            self._changes.append(change)
        else:
            self.dropped += 1

    def stop(self) -> None:
        """Write what is pending and end. Then ``join``."""
        self._ending.set()

    def run(self) -> None:
        """Write a batch every period until stopped, then the last one."""
        while not self._ending.wait(self._period_s):
            if time.monotonic() >= self._pause_until:
                self._turn()
        self._turn()
        self._journal.close()

    def _turn(self) -> None:
        """Write all that is pending; when that is done, ask for what the spool still has."""
        try:
            self._flush_changes()
            while (self._pending or self._heard) and self._flush():
                pass
            if self._are_left and not self._pending and not self._ending.is_set():
                self._are_left = False
                self._refill()
        except Exception as error:  # noqa: BLE001 - the thread lives on: nothing else owns the journal
            self._fail(error)

    def _flush_changes(self) -> None:
        while self._changes:
            try:
                self._journal.append_change(self._changes[0])
            except JournalUnavailableError:
                raise
            except Exception:
                log.exception("journal.change_bug", action=self._changes[0].action)
                self.dropped += 1
            self._changes.popleft()

    def _flush(self) -> bool:
        """Write one batch; True when the disk took it."""
        count = min(len(self._pending), MAX_BATCH)
        batch = [self._pending.popleft() for _ in range(count)]
        heard = [self._heard.popleft() for _ in range(min(len(self._heard), MAX_BATCH))]
        try:
            self._append(batch, heard)
        except Exception as error:  # noqa: BLE001 - kept, and tried again
            self._pending.extendleft(reversed(batch))
            self._heard.extendleft(reversed(heard))
            self._fail(error)
            return False
        self.is_writable = True
        self._pause_s = 0.0
        ids = [conversation.id for conversation, spooled in batch if spooled]
        if ids:
            self._forget(ids)
        return True

    def _append(
        self, batch: Sequence[tuple[Conversation, bool]], heard: Sequence[HeardRecord]
    ) -> None:
        """Write a batch; a conversation that can't be written must not hold up the others.

        Raises:
            JournalUnavailableError, OSError: the disk said no; again later.
        """
        try:
            self._journal.append([conversation for conversation, _ in batch], heard)
        except (JournalUnavailableError, OSError):
            raise
        except Exception:
            log.exception("journal.bug", conversations=len(batch))
        else:
            return
        for conversation, _ in batch:
            self._append_one(conversation.id, [conversation], ())
        for one in heard:
            self._append_one(one.id, (), [one])

    def _append_one(
        self, number: int, conversations: Sequence[Conversation], heard: Sequence[HeardRecord]
    ) -> None:
        try:
            self._journal.append(conversations, heard)
        except (JournalUnavailableError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - the mail is done; only its story is lost
            log.error("journal.unwritable", conversation=number, error=repr(error))  # noqa: TRY400 - the batch's trace is logged above
            self.dropped += 1

    def _fail(self, error: Exception) -> None:
        """Say so, and wait longer from failure to failure."""
        self.is_writable = False
        self._pause_s = min(max(2 * self._pause_s, self._period_s), MAX_PAUSE_S)
        self._pause_until = time.monotonic() + self._pause_s
        log.warning("journal.write_failed", error=str(error), pending=len(self._pending))
        if "full" in str(error):
            self._on_full()
