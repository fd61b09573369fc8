"""Forgetting: whole files are unlinked, by age and to stay within the disk budget.

To be called often (once a minute costs a directory listing): between two calls a flood may add what
is written in the meantime, and for that an eighth of the budget is kept free.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from postern.journal.days import DayFile, day_of, list_files
from postern.journal.settings import JournalSettings

CORRUPT_FOLDER = "corrupt"
"""Damaged files lie here, under their own name and the second they were set aside."""

_ROOM_PART = 8
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class _Damaged:
    path: Path
    set_aside_at: float
    size_bytes: int


def sweep(folder: Path, now: float, settings: JournalSettings) -> list[Path]:
    """Unlink what is too old, then the oldest of what is too much; returns what went.

    The files of today (and of days to come, by a clock that was wrong) always stay: their size is
    the writer's to limit. A file that is being written is safe to unlink: the writer sees that it
    is gone and begins it anew.
    """
    today = day_of(now)
    gone: list[Path] = []
    kept: list[DayFile] = []
    for file in list_files(folder):
        days = settings.transcript_days if file.is_transcripts else settings.keep_days
        if file.day < today - days:
            gone += _unlink(*file.all_paths)
        else:
            kept.append(file)
    damaged = []
    for old in _damaged(folder / CORRUPT_FOLDER):
        if old.set_aside_at < now - settings.keep_days * _DAY_S:
            gone += _unlink(old.path)
        else:
            damaged.append(old)
    limit_bytes = settings.budget_bytes - settings.budget_bytes // _ROOM_PART
    return gone + _shrink(kept, damaged, today, limit_bytes)


def size_bytes(folder: Path) -> int:
    """What the journal takes on disk, damaged files included."""
    damaged = _damaged(folder / CORRUPT_FOLDER)
    return sum(file.size_bytes for file in list_files(folder)) + sum(d.size_bytes for d in damaged)


def _shrink(
    files: list[DayFile], damaged: list[_Damaged], today: int, limit_bytes: int
) -> list[Path]:
    sizes = [file.size_bytes for file in files]
    total_bytes = sum(sizes) + sum(old.size_bytes for old in damaged)
    gone: list[Path] = []
    for old in damaged:
        if total_bytes <= limit_bytes:
            return gone
        gone += _unlink(old.path)
        total_bytes -= old.size_bytes
    for file, file_bytes in zip(files, sizes, strict=True):
        if total_bytes <= limit_bytes or file.day >= today:
            break
        gone += _unlink(*file.all_paths)
        total_bytes -= file_bytes
    return gone


def _damaged(shelf: Path) -> list[_Damaged]:
    found = []
    with contextlib.suppress(OSError):
        for path in shelf.iterdir():
            stamp = path.name.rpartition(".")[2]
            if stamp.isdecimal():
                with contextlib.suppress(OSError):
                    found.append(_Damaged(path, float(stamp), path.stat().st_size))
    return sorted(found, key=lambda old: old.set_aside_at)


def _unlink(*paths: Path) -> list[Path]:
    """Remove files; one that cannot be removed is tried again at the next sweep.

    Back to front: SQLite's ``-wal`` and ``-shm`` go before their database, whose name is what the
    next sweep would find after a crash in between.
    """
    gone = []
    for path in reversed(paths):
        with contextlib.suppress(OSError):
            path.unlink()
            gone.append(path)
    return gone
