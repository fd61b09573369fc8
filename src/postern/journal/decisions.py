"""Decisions on file: how far back they go, and those that a change of rules could touch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postern.journal.days import DayFile, day_of, list_files
from postern.journal.decided import DecisionQuery, DecisionRow
from postern.journal.store.reading import DamagedFile, DayReading


@dataclass(frozen=True, slots=True)
class Kept:
    """What is on file of a time.

    Attributes:
        since: when the first decision was kept; None: there is none.
        decisions: how many fit.
        folded: refused conversations that a flood made us only count: nobody can judge them again.
        without: files of days when decisions were not kept yet, or not from their beginning.
    """

    since: float | None
    decisions: int
    folded: int
    without: int


class DecisionReader:
    """Reads the decisions of a journal, day by day, the newest first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.damaged: list[DamagedFile] = []

    def kept(self, query: DecisionQuery) -> Kept:
        """How many decisions there are of the query's mailbox or domain, whatever else it asks."""
        total = folded = without = 0
        since: float | None = None
        for file in self.files(query.since):
            with DayReading(file) as reading:
                folded += reading.folded_count()
                found = reading.decisions_kept(query)
            self._note(reading)
            without += not found.is_whole
            total += found.count
            if found.first_at is not None:
                since = found.first_at if since is None else min(since, found.first_at)
        return Kept(since, total, folded, without)

    def files(self, since: float) -> list[DayFile]:
        """Day files that may tell of the time from ``since`` on, the newest first."""
        first = day_of(since)
        return [
            file
            for file in list_files(self._folder)[::-1]
            if not file.is_transcripts and file.day >= first
        ]

    def transactions(self, file: DayFile, query: DecisionQuery) -> Iterator[list[DecisionRow]]:
        """All decisions of every transaction that has one that fits, the newest first."""
        before: int | None = None
        with DayReading(file) as reading:
            while True:
                turn = reading.decisions(query, before)
                yield from turn.transactions
                before = turn.before
                if before is None:
                    break
        self._note(reading)

    def _note(self, reading: DayReading) -> None:
        if reading.damage is not None and reading.damage not in self.damaged:
            self.damaged.append(reading.damage)
