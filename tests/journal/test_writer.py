"""The hand-over: durable once, whatever happens between its commit and the spool's delete."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from postern.journal.days import day_file, day_of, list_files
from postern.journal.query import parse_query
from postern.journal.record import ChangeRecord, Conversation, Line, RecipientRecord
from postern.journal.search import JournalReader
from postern.journal.settings import JournalSettings
from postern.journal.store import day, index
from postern.journal.store.writer import MAX_OPEN_DAYS, JournalUnavailableError, JournalWriter
from postern.runtime.clock import FakeClock

Make = Callable[..., Conversation]

DAY_S = 86_400

DIE_AFTER_COMMIT = """
import os, signal, sys
from pathlib import Path
from postern.journal.record import Conversation, RecipientRecord
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.runtime.clock import FakeClock

at = float(sys.argv[2])
writer = JournalWriter(Path(sys.argv[1]), 0, FakeClock(at), JournalSettings())
writer.append([
    Conversation(id=n, at=at, accepted=True, mail_from="li@tea.example",
                 recipients=[RecipientRecord("wang@harbour.example", "delivered")])
    for n in range(1, 51)
])
os.kill(os.getpid(), signal.SIGKILL)
"""


def rows(folder: Path, sql: str = "SELECT id FROM conversation") -> list[int]:
    found: list[int] = []
    for file in list_files(folder):
        if not file.is_transcripts:
            with sqlite3.connect(file.path) as connection:
                found += [row[0] for row in connection.execute(sql)]
            connection.close()
    return found


def test_appending_twice_leaves_one_record(
    writer: JournalWriter, reader: JournalReader, folder: Path, make: Make
) -> None:
    batch = [make(n) for n in range(1, 4)]
    writer.append(batch)
    writer.append(batch)
    assert rows(folder) == [1, 2, 3]
    assert [c.id for c in reader.search(parse_query("li@tea-trading.example"))] == [3, 2, 1]


def test_killed_between_journal_commit_and_spool_delete_leaves_one_record_each(
    folder: Path, reader: JournalReader, make: Make, noon: float
) -> None:
    source = Path(__file__).parents[2] / "src"
    killed = subprocess.run(
        [sys.executable, "-c", DIE_AFTER_COMMIT, str(folder), str(noon)],
        env=os.environ | {"PYTHONPATH": str(source)},
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    # The spool still has them all, and its next start may be after midnight.
    clock = FakeClock(noon + 13 * 3600)
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    writer.append([make(n, mail_from="li@tea.example") for n in range(1, 51)])
    writer.close()
    assert sorted(rows(folder)) == list(range(1, 51))
    query = parse_query("li@tea.example")
    assert len(reader.search(query)) == query.limit


def test_the_latest_copy_of_a_conversation_is_kept(
    writer: JournalWriter, reader: JournalReader, make: Make
) -> None:
    writer.append([make(1, recipients=[RecipientRecord("wang@harbour.example", "waiting")])])
    writer.append([make(1)])
    found = reader.get(1)
    assert found is not None
    assert found.recipients[0].state == "delivered"


def test_each_day_and_worker_has_its_file(
    folder: Path, clock: FakeClock, make: Make, noon: float
) -> None:
    for worker in (0, 3):
        writer = JournalWriter(folder, worker, clock, JournalSettings())
        writer.append([make(worker + 1, noon), make(worker + 11, noon + DAY_S)])
        writer.close()
    assert sorted(p.name for p in folder.iterdir()) == [
        "20260519-0.db", "20260519-3.db", "20260520-0.db", "20260520-3.db",
    ]  # fmt: skip


def test_held_mail_is_filed_under_the_day_it_ended(
    writer: JournalWriter, reader: JournalReader, folder: Path, make: Make, noon: float
) -> None:
    writer.append([make(1, noon - 40 * DAY_S, ended_at=noon)])
    assert [file.day for file in list_files(folder)] == [day_of(noon)]
    assert reader.get(1) is not None


def test_few_files_stay_open_however_many_days_a_batch_spans(
    writer: JournalWriter, folder: Path, make: Make, noon: float
) -> None:
    writer.append([make(n + 1, noon - n * DAY_S) for n in range(3 * MAX_OPEN_DAYS)])
    assert len(list_files(folder)) == 3 * MAX_OPEN_DAYS
    assert len(writer._days) == MAX_OPEN_DAYS


def test_commits_of_records_are_synced_and_the_schema_is_numbered(
    writer: JournalWriter, folder: Path, make: Make
) -> None:
    writer.append([make(1)])
    (store,) = writer._days.values()
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert folder.joinpath("20260519-0.db").exists()


def test_transcripts_go_to_a_file_of_their_own(
    writer: JournalWriter, reader: JournalReader, folder: Path, refuse: Make
) -> None:
    talk = [Line(0.0, "S", "220 mx"), Line(0.2, "C", "HELO x")]
    writer.append([refuse(1, transcript=talk), refuse(2)])
    assert folder.joinpath("20260519-0.transcripts.db").exists()
    assert reader.transcript(1) == talk
    assert reader.transcript(2) == []
    found = reader.get(1)
    assert found is not None
    assert found.transcript == []


def test_an_endless_transcript_keeps_its_beginning_and_its_end(
    writer: JournalWriter, reader: JournalReader, refuse: Make
) -> None:
    talk = [Line(float(n), "C", f"line {n} " + "x" * 3000) for n in range(5000)]
    writer.append([refuse(1, transcript=talk)])
    kept = reader.transcript(1)
    assert len(kept) < 60
    assert kept[0].text.startswith("line 0 ")
    assert kept[-1].text.startswith("line 4999 ")
    assert any("lines not kept" in line.text for line in kept)


def test_text_that_is_not_unicode_holds_up_nobody(
    writer: JournalWriter, reader: JournalReader, refuse: Make, make: Make
) -> None:
    broken = "\udcff"
    writer.append(
        [
            refuse(1, helo=broken, transcript=[Line(0.0, "C", broken)]),
            make(2, subject=broken, recipients=[RecipientRecord(broken, "refused")]),
            make(3),
        ]
    )
    assert [c.id for n in (1, 2, 3) if (c := reader.get(n))] == [1, 2, 3]
    assert reader.transcript(1)[0].text == "?"


def test_damaged_file_is_set_aside_and_the_batch_is_written(
    folder: Path, clock: FakeClock, reader: JournalReader, make: Make, noon: float
) -> None:
    folder.mkdir()
    path = day_file(folder, day_of(noon), 0).path
    path.write_bytes(b"this is no database " * 500)
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    writer.append([make(1)])
    assert reader.get(1) is not None
    (aside,) = writer.set_aside
    assert aside.parent == folder / "corrupt"
    assert aside.read_bytes().startswith(b"this is no database")
    writer.close()


def test_file_damaged_behind_its_header_is_set_aside(
    writer: JournalWriter, folder: Path, clock: FakeClock, reader: JournalReader, make: Make
) -> None:
    writer.append([make(n) for n in range(1, 500)])
    writer.close()
    path = folder / "20260519-0.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    again = JournalWriter(folder, 0, clock, JournalSettings())
    again.append([make(1000)])
    assert len(again.set_aside) == 1
    assert reader.get(1000) is not None
    again.close()


def test_unwritable_disk_is_an_error_that_loses_nothing(
    folder: Path, clock: FakeClock, make: Make
) -> None:
    folder.parent.joinpath("journal").write_text("a file where the folder should be")
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    with pytest.raises(JournalUnavailableError):
        writer.append([make(1)])
    folder.unlink()
    writer.append([make(1)])
    assert rows(folder) == [1]
    writer.close()


def test_full_disk_is_an_error_and_the_batch_can_come_again(
    writer: JournalWriter, folder: Path, make: Make
) -> None:
    writer.append([make(1)])
    (store,) = writer._days.values()
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count={pages + 2}")
    batch = [make(n, subject=f"word{n} " * 100) for n in range(2, 400)]
    with pytest.raises(JournalUnavailableError, match="full"):
        writer.append(batch)
    assert rows(folder) == [1]
    store._connection.execute("PRAGMA max_page_count=1000000")
    writer.append(batch)
    assert len(rows(folder)) == 399


def test_file_that_retention_took_away_is_begun_anew(
    writer: JournalWriter, reader: JournalReader, folder: Path, make: Make
) -> None:
    writer.append([make(1)])
    for path in list(folder.iterdir()):
        path.unlink()
    writer.append([make(2)])
    assert reader.get(2) is not None


def test_index_is_merged_while_writing_and_on_close(
    folder: Path, clock: FakeClock, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MERGE_AT", 100)
    monkeypatch.setattr(day, "_WORTH_MERGING", 1)
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    for start in range(0, 300, 10):
        writer.append([make(start + n + 1) for n in range(10)])
    assert len(rows(folder, "SELECT number FROM run")) > 10
    writer.append([make(999)])
    writer.close()
    assert rows(folder, "SELECT count(*) FROM fresh") == [0]
    query = parse_query("tea-trading.example")
    assert [c.id for c in JournalReader(folder).search(query)][:3] == [999, 300, 299]


def test_merging_goes_on_after_a_restart(
    folder: Path, clock: FakeClock, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(1, 7):
        writer = JournalWriter(folder, 0, clock, JournalSettings())
        monkeypatch.setattr(index, "MERGE_AT", 40)
        writer.append([make(start)])
        writer.close()
    assert rows(folder, "SELECT count(*) FROM run") == [1]


def test_changes_are_told_with_the_conversations_they_touched(
    writer: JournalWriter, reader: JournalReader, make: Make, noon: float
) -> None:
    writer.append([make(1), make(2)])
    cancel = ChangeRecord(noon + 2 * DAY_S, "wang", "queue.cancel", "2 messages", "spam", (1, 2))
    hold = ChangeRecord(noon + 60, "wang", "queue.hold", "1 message", "", (1,))
    writer.append_change(cancel)
    writer.append_change(hold)
    assert reader.changes_of(make(1)) == [hold, cancel]
    assert reader.changes_of(make(2)) == [cancel]
    assert reader.changes_of(make(3)) == []


def test_an_empty_batch_makes_no_file(writer: JournalWriter, folder: Path) -> None:
    writer.append([])
    assert not folder.exists()


def test_a_day_that_is_over_gets_one_run_step_by_step(
    writer: JournalWriter,
    folder: Path,
    clock: FakeClock,
    reader: JournalReader,
    make: Make,
    noon: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "MERGE_AT", 50)
    for start in range(1, 100, 10):
        writer.append([make(start + n) for n in range(10)])
    assert len(rows(folder, "SELECT number FROM run")) > 5
    clock.advance(DAY_S)
    for number in range(1000, 1010):
        writer.append([make(number, noon + DAY_S)])
        assert reader.get(55) is not None
        assert len(reader.search(parse_query("<55@tea-trading.example>"))) == 1
    connection = sqlite3.connect(folder / "20260519-0.db")
    assert connection.execute("SELECT number FROM run").fetchall() == [(0,)]
    connection.close()
    assert day_of(noon) not in writer._days
