"""Retention: whole files go, by age first, then the oldest over the budget."""

from collections.abc import Callable
from pathlib import Path

from postern.journal.days import day_file, day_of, list_files
from postern.journal.record import Conversation, Line
from postern.journal.retention import size_bytes, sweep
from postern.journal.search import JournalReader
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.runtime.clock import FakeClock

Make = Callable[..., Conversation]

DAY_S = 86_400


def touch(
    folder: Path, days_ago: int, noon: float, *, size: int = 1000, talk: bool = False
) -> Path:
    folder.mkdir(exist_ok=True)
    path = day_file(folder, day_of(noon) - days_ago, 0, is_transcripts=talk).path
    path.write_bytes(b"x" * size)
    return path


def test_records_go_after_thirty_days_and_transcripts_after_seven(
    folder: Path, noon: float
) -> None:
    kept = [touch(folder, 30, noon), touch(folder, 0, noon), touch(folder, 7, noon, talk=True)]
    old = [touch(folder, 31, noon), touch(folder, 8, noon, talk=True)]
    assert sorted(sweep(folder, noon, JournalSettings())) == sorted(old)
    assert sorted(folder.iterdir()) == sorted(kept)


def test_what_sqlite_keeps_beside_a_file_goes_with_it(folder: Path, noon: float) -> None:
    path = touch(folder, 40, noon)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).write_bytes(b"x")
    assert len(sweep(folder, noon, JournalSettings())) == 3
    assert list(folder.iterdir()) == []


def test_over_budget_the_oldest_go_first_and_today_stays(folder: Path, noon: float) -> None:
    paths = [touch(folder, ago, noon, size=1000) for ago in (5, 4, 3, 2, 1)]
    today = touch(folder, 0, noon, size=5000)
    gone = sweep(folder, noon, JournalSettings(budget_bytes=8000))
    assert gone == paths[:3]
    gone = sweep(folder, noon, JournalSettings(budget_bytes=100))
    assert gone == paths[3:]
    assert today.exists()


def test_transcripts_of_a_day_go_before_its_records(folder: Path, noon: float) -> None:
    records = touch(folder, 2, noon)
    talk = touch(folder, 2, noon, talk=True)
    assert sweep(folder, noon, JournalSettings(budget_bytes=1500)) == [talk]
    assert records.exists()


def test_other_files_are_left_alone(folder: Path, noon: float) -> None:
    folder.mkdir()
    for name in ("notes.txt", "20260230-0.db", "20200101-x.db", "20200101-0.db.bak"):
        (folder / name).write_text("keep me")
    assert sweep(folder, noon, JournalSettings(budget_bytes=0)) == []
    assert len(list(folder.iterdir())) == 4


def test_damaged_files_have_the_same_time_and_the_same_budget(folder: Path, noon: float) -> None:
    shelf = folder / "corrupt"
    shelf.mkdir(parents=True)
    old = shelf / f"20260401-0.db.{int(noon - 31 * DAY_S)}"
    new = shelf / f"20260518-0.db.{int(noon - DAY_S)}"
    for path in (old, new):
        path.write_bytes(b"x" * 1000)
    assert size_bytes(folder) == 2000
    assert sweep(folder, noon, JournalSettings()) == [old]
    assert sweep(folder, noon, JournalSettings(budget_bytes=500)) == [new]


def test_a_folder_that_is_not_there_is_swept_in_a_blink(folder: Path, noon: float) -> None:
    assert sweep(folder, noon, JournalSettings()) == []


def test_what_was_swept_is_not_found_and_the_rest_is(
    folder: Path, clock: FakeClock, make: Make, noon: float
) -> None:
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    talk = [Line(0.0, "S", "220 mx")]
    writer.append([make(1, noon - 31 * DAY_S), make(2, noon - 8 * DAY_S, transcript=talk), make(3)])
    sweep(folder, noon, JournalSettings())
    reader = JournalReader(folder)
    assert reader.get(1) is None
    assert reader.get(2) is not None
    assert reader.transcript(2) == []
    assert reader.get(3) is not None
    writer.append([make(4, noon - 31 * DAY_S + 1)])
    assert len([file for file in list_files(folder) if file.day < day_of(noon) - 30]) == 1
    writer.close()
