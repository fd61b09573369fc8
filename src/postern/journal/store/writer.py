"""The hand-over: finished conversations, in batches, into the day files of one worker."""

import contextlib
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from postern.journal.days import day_file, day_of, filed_day, list_files
from postern.journal.flood import FloodGate, Pressure
from postern.journal.record import ChangeRecord, Conversation, HeardRecord
from postern.journal.retention import CORRUPT_FOLDER
from postern.journal.settings import JournalSettings
from postern.journal.store.day import DayStore, TranscriptStore
from postern.runtime.clock import Clock

MAX_OPEN_DAYS = 8
"""Today's file, and those of days on which mail began that ends only now (5 days of retry)."""


TIDY_DAYS = 3
"""So many days back unfinished order is looked for, at the start and at midnight."""

_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class JournalUnavailableError(Exception):
    """The day file could not be written (disk full, read-only, locked): try again later.

    Nothing of the batch may be forgotten by the caller; appending it again is harmless.
    """


class JournalWriter:
    """Writes one worker's day files; for one thread, whose every call may block on the disk."""

    def __init__(self, folder: Path, worker: int, clock: Clock, settings: JournalSettings) -> None:
        self._folder = folder
        self._worker = worker
        self._clock = clock
        self._gate = FloodGate(settings)
        self._log_bytes = settings.log_bytes
        self._days: OrderedDict[int, DayStore] = OrderedDict()
        self._transcripts: TranscriptStore | None = None
        self._set_aside: list[Path] = []
        self._today = -1
        self._untidy: list[int] = []

    @property
    def set_aside(self) -> tuple[Path, ...]:
        """Damaged files this writer moved to ``corrupt/`` since it started, to be told loudly."""
        return tuple(self._set_aside)

    def append(
        self, conversations: Sequence[Conversation], heard: Sequence[HeardRecord] = ()
    ) -> None:
        """Make all of them durable, one transaction per day file (nearly always: one in all).

        ``heard``: decisions about mail that was taken, whose conversation comes once it is done.

        A conversation already there is replaced: after a crash between this commit and the
        spool's delete the same batch simply comes again.

        Raises:
            JournalUnavailableError: nothing, or whole days' parts of the batch, were written.
        """
        if not conversations and not heard:
            return
        by_day: dict[int, list[Conversation]] = {}
        heard_by_day: dict[int, list[HeardRecord]] = {}
        for conversation in conversations:
            by_day.setdefault(filed_day(conversation), []).append(conversation)
        for one in heard:
            heard_by_day.setdefault(day_of(one.at), []).append(one)
        today = day_of(self._clock.now())
        for day in by_day | heard_by_day:
            batch, decided = by_day.get(day, []), heard_by_day.get(day, [])
            self._append_day(day, batch, decided, is_today=day == today)
        self._tidy(today)

    def append_change(self, change: ChangeRecord) -> None:
        """Make a change durable, in the file of the day it was made.

        Raises:
            JournalUnavailableError: it was not written.
        """
        day = day_of(change.at)
        self._write(day, lambda: self._store(day).write_change(change))

    def __enter__(self) -> "JournalWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files; what SQLite keeps beside them is folded in."""
        while self._days:
            self._close_day(next(iter(self._days)))
        self._close_transcripts()

    def _append_day(
        self, day: int, batch: list[Conversation], heard: list[HeardRecord], *, is_today: bool
    ) -> None:
        store = self._opened(day)
        pressure = self._gate.pressure(self._day_bytes(store)) if is_today else Pressure.NONE
        folded: list[Conversation] = []
        if pressure is not Pressure.NONE:
            whole: list[Conversation] = []
            for conversation in batch:
                folds = self._gate.folds(conversation, pressure)
                (folded if folds else whole).append(conversation)
            batch = whole
        self._write_transcripts(day, batch)
        self._write(day, lambda: self._store(day).write(batch, folded, heard))

    def _tidy(self, today: int) -> None:
        """One step of bringing order into the files of days that are over.

        A step with each batch, because a whole day at once would hold the hand-over up for seconds
        at midnight.
        """
        if today != self._today:
            self._today = today
            self._untidy = [
                file.day
                for file in list_files(self._folder)
                if file.worker == self._worker
                and not file.is_transcripts
                and today - TIDY_DAYS <= file.day < today
            ]
        if not self._untidy:
            return
        day = self._untidy[-1]
        more = False
        # It is a comfort for readers: where it fails, the records are whole all the same.
        with contextlib.suppress(sqlite3.Error, OSError):
            more = self._store(day).tidy()
        if not more:
            self._untidy.pop()
            self._close_day(day)

    def _write_transcripts(self, day: int, batch: list[Conversation]) -> None:
        talks = [conversation for conversation in batch if conversation.transcript]
        if not talks:
            return
        # Written before the records: an answer then never points at a transcript that is missing.
        # Losing one loses a comfort, not a promise, so a failure here does not hold up the batch.
        with contextlib.suppress(sqlite3.Error, OSError):
            self._transcripts_of(day).write(talks)

    def _transcripts_of(self, day: int) -> TranscriptStore:
        store = self._transcripts
        if store is None or store.file.day != day or not store.file.path.exists():
            self._close_transcripts()
            file = day_file(self._folder, day, self._worker, is_transcripts=True)
            store = self._transcripts = TranscriptStore(file, self._log_bytes)
        return store

    def _opened(self, day: int) -> DayStore:
        """The open store of a day, whose file is still where it was."""
        store = self._days.get(day)
        if store is not None and not store.file.path.exists():
            # Retention unlinked it under us: what we wrote now would be written to nobody.
            self._close_day(day)
            store = None
        if store is None:
            self._write(day, lambda: self._store(day))
        return self._store(day)

    def _store(self, day: int) -> DayStore:
        store = self._days.get(day)
        if store is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            store = DayStore(day_file(self._folder, day, self._worker), self._log_bytes)
            self._days[day] = store
            if len(self._days) > MAX_OPEN_DAYS:
                self._close_day(next(iter(self._days)))
        self._days.move_to_end(day)
        return store

    def _write(self, day: int, act: Callable[[], object]) -> None:
        """Do ``act``; where the file turns out damaged set it aside and do it on a fresh one."""
        try:
            act()
        except (sqlite3.Error, OSError) as error:
            if not _is_damage(error):
                raise self._unavailable(error) from error
        else:
            return
        try:
            self._put_aside(day)
            act()
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> JournalUnavailableError:
        return JournalUnavailableError(f"the journal of worker {self._worker}: {error}")

    def _put_aside(self, day: int) -> None:
        self._close_day(day)
        file = day_file(self._folder, day, self._worker)
        shelf = self._folder / CORRUPT_FOLDER
        shelf.mkdir(exist_ok=True)
        stamp = int(self._clock.now())
        for path in file.all_paths:
            if path.exists():
                path.rename(shelf / f"{path.name}.{stamp}")
        self._set_aside.append(shelf / f"{file.path.name}.{stamp}")

    def _day_bytes(self, store: DayStore) -> int:
        talks = self._transcripts
        return store.file.size_bytes + (talks.file.size_bytes if talks else 0)

    def _close_day(self, day: int) -> None:
        store = self._days.pop(day, None)
        if store is not None:
            store.close()

    def _close_transcripts(self) -> None:
        if self._transcripts is not None:
            self._transcripts.close()
            self._transcripts = None


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _DAMAGE_CODES
