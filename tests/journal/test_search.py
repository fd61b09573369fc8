"""Search over day files and workers, beside a writer, and past damage."""

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from postern.journal.days import list_files
from postern.journal.match import matches
from postern.journal.query import Kind, parse_query
from postern.journal.record import AttemptRecord, Conversation, RecipientRecord
from postern.journal.search import JournalReader
from postern.journal.settings import JournalSettings
from postern.journal.store import index
from postern.journal.store.reading import DayReading
from postern.journal.store.writer import JournalWriter
from postern.mail.tracecode import TraceCodes
from postern.runtime.clock import FakeClock

Make = Callable[..., Conversation]

DAY_S = 86_400
CODES = TraceCodes(b"k" * 32)


def ids(reader: JournalReader, text: str, to: str = "") -> list[int]:
    query = parse_query(text, CODES)
    return [c.id for c in reader.search(query.to(to) if to else query)]


def test_every_kind_of_question_finds_its_conversation(
    writer: JournalWriter, reader: JournalReader, make: Make
) -> None:
    writer.append(
        [
            make(
                1,
                from_header="boss@brand.example",
                subject="报价单 Offer 2026",
                helo="srv-2003",
                recipients=[RecipientRecord("all@h.example", "delivered", final="w@q.example")],
                attempts=[AttemptRecord(1, "d", "mx.q.example", "192.0.2.80", "", 1, "", "")],
            ),
            make(
                2,
                client_ip="2001:db8::7",
                helo="other.example",
                mail_from="a@b.example",
                from_header="",
                subject="nothing alike",
                recipients=[RecipientRecord("c@d.example", "delivered")],
            ),
        ]
    )  # fmt: skip
    for text in (
        "li@tea-trading.example", "LI@Tea-Trading.example", "boss@brand.example", "brand.example",
        "all@h.example", "w@q.example", "<1@tea-trading.example>", "1@tea-trading.example",
        "198.51.100.24", "198.51.100.0/24", "192.0.2.80", "offer", "offer 2026", "报价", "价",
        "helo:srv-2003", "SRV-2003", "mx.q.example", CODES.encode(1), "tea-trading.example",
    ):  # fmt: skip
        assert ids(reader, text) == [1], text
    assert ids(reader, "2001:db8::/32") == [2]
    assert ids(reader, "nobody@tea-trading.example") == []
    assert ids(reader, "offer 2027") == []
    assert ids(reader, "203.0.113.0/24") == []


def test_answers_agree_before_and_after_the_index_is_merged(
    writer: JournalWriter, reader: JournalReader, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [make(n, mail_from=f"u{n % 7}@d{n % 3}.example") for n in range(1, 100)]
    writer.append(batch)
    questions = (
        "d1.example",
        "u3@d0.example",
        "198.51.100.24",
        "green tea",
        "<42@tea-trading.example>",
    )
    before = [ids(reader, text) for text in questions]
    monkeypatch.setattr(index, "MERGE_AT", 1)
    writer.append([make(500, mail_from="x@y.example", subject="zz", client_ip="192.0.2.1")])
    assert [ids(reader, text) for text in questions] == before
    assert all(before)


def test_newest_come_first_across_days_and_workers(
    folder: Path, clock: FakeClock, reader: JournalReader, make: Make, noon: float
) -> None:
    for worker in (0, 1):
        writer = JournalWriter(folder, worker, clock, JournalSettings())
        writer.append([make(100 * worker + n, noon - n * DAY_S / 2 - worker) for n in range(1, 9)])
        writer.close()
    assert ids(reader, "tea-trading.example")[:5] == [1, 101, 2, 102, 3]
    query = replace(parse_query("tea-trading.example"), limit=3)
    assert [c.id for c in reader.search(query)] == [1, 101, 2]


def test_time_limits_what_is_found(
    writer: JournalWriter, reader: JournalReader, make: Make, noon: float
) -> None:
    writer.append([make(n, noon - n * DAY_S) for n in range(1, 6)])
    query = parse_query("tea-trading.example")
    assert [c.id for c in reader.search(replace(query, since=noon - 2 * DAY_S))] == [1, 2]
    assert [c.id for c in reader.search(replace(query, until=noon - 3 * DAY_S))] == [4, 5]
    both = replace(query, since=noon - 3 * DAY_S, until=noon - 2 * DAY_S)
    assert [c.id for c in reader.search(both)] == [3]


def test_recipient_narrows_and_a_sender_is_no_recipient(
    writer: JournalWriter, reader: JournalReader, make: Make
) -> None:
    writer.append(
        [
            make(1),
            make(2, recipients=[RecipientRecord("chen@harbour.example", "delivered")]),
            make(3, mail_from="wang@harbour.example", from_header="",
                 recipients=[RecipientRecord("li@tea-trading.example", "delivered")]),
        ]
    )  # fmt: skip
    assert ids(reader, "tea-trading.example", "wang@harbour.example") == [1]
    assert ids(reader, "tea-trading.example", "harbour.example") == [2, 1]
    assert ids(reader, "li@tea-trading.example", "@harbour.example") == [2, 1]


def test_damaged_file_is_named_and_the_rest_is_searched(
    folder: Path, clock: FakeClock, reader: JournalReader, make: Make, noon: float
) -> None:
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    writer.append([make(1, noon - DAY_S), make(2, noon - 2 * DAY_S), make(3, noon)])
    writer.close()
    (folder / "20260518-0.db").write_bytes(b"no database " * 1000)
    found = reader.look(parse_query("tea-trading.example"))
    assert [c.id for c in found.conversations] == [3, 2]
    (damaged,) = found.damaged
    assert damaged.path.name == "20260518-0.db"
    assert damaged.reason
    assert reader.get(2) is not None
    assert reader.extent().since == noon - 2 * DAY_S


def test_file_that_is_being_made_at_this_moment_is_no_damage(
    folder: Path, clock: FakeClock, reader: JournalReader, make: Make
) -> None:
    folder.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(folder / "20260519-0.db")) as made:
        made.execute("PRAGMA journal_mode=WAL")
        assert reader.look(parse_query("tea-trading.example")).damaged == ()
        assert reader.get(1) is None
    with JournalWriter(folder, 0, clock, JournalSettings()) as writer:
        writer.append([make(1)])
        assert reader.get(1) is not None


def test_damaged_row_hides_none_of_its_neighbours(
    writer: JournalWriter, reader: JournalReader, folder: Path, make: Make
) -> None:
    writer.append([make(1), make(2), make(3)])
    connection = sqlite3.connect(folder / "20260519-0.db")
    connection.execute("UPDATE conversation SET blob=x'c1c1' WHERE id=2")
    connection.commit()
    connection.close()
    found = reader.look(parse_query("tea-trading.example"))
    assert [c.id for c in found.conversations] == [3, 1]
    assert len(found.damaged) == 1
    assert reader.get(2) is None


def test_file_that_breaks_off_is_named(
    folder: Path, clock: FakeClock, reader: JournalReader, make: Make
) -> None:
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    writer.append([make(n) for n in range(1, 200)])
    writer.close()
    path = folder / "20260519-0.db"
    path.write_bytes(path.read_bytes()[: 5 * 4096])
    found = reader.look(parse_query("tea-trading.example"))
    assert len(found.damaged) == 1


def test_searching_old_days_leaves_nothing_beside_their_files(
    folder: Path, clock: FakeClock, reader: JournalReader, make: Make
) -> None:
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    writer.append([make(1)])
    writer.close()
    assert ids(reader, "tea-trading.example") == [1]
    assert [p.name for p in folder.iterdir()] == ["20260519-0.db"]


def test_writer_that_comes_back_to_an_old_day_does_not_disturb_the_reader(
    folder: Path, clock: FakeClock, make: Make
) -> None:
    with JournalWriter(folder, 0, clock, JournalSettings()) as writer:
        writer.append([make(1)])
    (file,) = list_files(folder)
    with DayReading(file) as reading, JournalWriter(folder, 0, clock, JournalSettings()) as writer:
        assert reading._at_rest
        writer.append([make(2)])
        tries = []

        def read(connection: sqlite3.Connection) -> int:
            tries.append(connection)
            if len(tries) == 1:
                raise sqlite3.DatabaseError("database disk image is malformed")
            return int(connection.execute("SELECT count(*) FROM conversation").fetchone()[0])

        assert reading._read(0, read) == 2
        assert reading.damage is None


def test_records_are_found_while_the_writer_is_at_work(
    writer: JournalWriter, reader: JournalReader, make: Make
) -> None:
    for number in range(1, 6):
        writer.append([make(number)])
        assert ids(reader, "tea-trading.example")[0] == number


def test_siblings_are_found_in_both_directions(
    writer: JournalWriter, reader: JournalReader, make: Make, noon: float
) -> None:
    first, second = make(1, noon - DAY_S), make(2, related=[1, 999])
    third = make(3, noon + 1, related=[2])
    writer.append([first, second, third])
    assert [c.id for c in reader.siblings(second)] == [1, 3]
    assert [c.id for c in reader.siblings(first)] == [2]


def test_nearest_is_the_network_or_the_domain(
    writer: JournalWriter, reader: JournalReader, make: Make
) -> None:
    writer.append([make(1)])
    clue, found = reader.nearest(parse_query("198.51.100.99"))
    assert clue is not None
    assert (clue.kind, clue.text) == (Kind.NETWORK, "198.51.100.0/24")
    assert [c.id for c in found] == [1]
    clue, _ = reader.nearest(parse_query("chen@tea-trading.example"))
    assert clue is not None
    assert clue.text == "tea-trading.example"
    clue, _ = reader.nearest(parse_query("shop.tea-trading.example"))
    assert clue is not None
    assert clue.text == "tea-trading.example"
    assert reader.nearest(parse_query("192.0.2.1")) == (None, [])


def test_extent_tells_how_far_back_the_log_goes(
    folder: Path, clock: FakeClock, reader: JournalReader, make: Make, noon: float
) -> None:
    assert reader.extent().since is None
    for worker, days in ((0, 3), (1, 5)):
        writer = JournalWriter(folder, worker, clock, JournalSettings())
        writer.append([make(worker + 1, noon - days * DAY_S), make(worker + 5, noon)])
        writer.close()
    extent = reader.extent()
    assert (extent.since, extent.files, extent.workers) == (noon - 5 * DAY_S, 4, 2)


def test_waiting_mail_is_matched_as_the_journal_would(make: Make, noon: float) -> None:
    c = make(1, recipients=[RecipientRecord("all@harbour.example", "waiting", final="w@q.example")])
    for text in ("li@tea-trading.example", "tea-trading.example", "w@q.example", "198.51.100.0/24",
                 "green tea", "helo:mail.isp.example", "isp.example", "1@tea-trading.example",
                 CODES.encode(1)):  # fmt: skip
        assert matches(parse_query(text, CODES), c), text
    for text in ("i@tea-trading.example", "trading.example", "198.51.101.0/24", "green cup",
                 "2001:db8::/32", CODES.encode(2), " "):  # fmt: skip
        assert not matches(parse_query(text, CODES), c), text
    assert not matches(replace(parse_query("q.example"), since=noon + 1), c)
    assert not matches(replace(parse_query("q.example"), until=noon), c)
