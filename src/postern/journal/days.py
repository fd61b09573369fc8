"""Which file a record is in: one per UTC day and worker, so that retention is an unlink."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from postern.journal.record import Conversation

DAY_S = 86_400
LATE_S = 7 * DAY_S
"""A conversation that ends later than this after it began is filed under the day it ended."""

_NAME = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d{1,4})(\.transcripts)?\.db")


@dataclass(frozen=True, slots=True)
class DayFile:
    """One file of the journal. ``day`` counts days since 1970-01-01 UTC."""

    path: Path
    day: int
    worker: int
    is_transcripts: bool = False

    @property
    def all_paths(self) -> tuple[Path, ...]:
        """The file with what SQLite keeps beside it."""
        return (self.path, *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm")))

    @property
    def size_bytes(self) -> int:
        """What it takes on disk, 0 where it is gone."""
        return sum(_size(path) for path in self.all_paths)


def day_of(instant: float) -> int:
    """Days since 1970-01-01 UTC."""
    return int(instant // DAY_S)


def filed_day(conversation: Conversation) -> int:
    """The day whose file holds ``conversation``.

    The day it began, which never changes: so a hand-over repeated after a crash, even past
    midnight, meets its own first copy. Held mail may end weeks later, when the file of its first
    day is gone; it is filed under its last.
    """
    c = conversation
    return day_of(c.ended_at if c.ended_at - c.at > LATE_S else c.at)


def day_file(folder: Path, day: int, worker: int, *, is_transcripts: bool = False) -> DayFile:
    """The file of a day and worker, there or not."""
    date = datetime.fromtimestamp(day * DAY_S, UTC).strftime("%Y%m%d")
    name = f"{date}-{worker}{'.transcripts' if is_transcripts else ''}.db"
    return DayFile(folder / name, day, worker, is_transcripts)


def list_files(folder: Path) -> list[DayFile]:
    """All day files of a folder, oldest day first, transcripts before records of one day."""
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:
        return []
    files = [file for path in paths if (file := _parsed(path)) is not None]
    return sorted(files, key=lambda f: (f.day, not f.is_transcripts, f.worker))


def _parsed(path: Path) -> DayFile | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    year, month, date, worker = (int(part) for part in match.groups()[:4])
    try:
        midnight = datetime(year, month, date, tzinfo=UTC)
    except ValueError:
        return None
    return DayFile(path, day_of(midnight.timestamp()), worker, match.group(5) is not None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
