"""A flood of refused conversations: the journal stays within its budget, accepted mail is whole."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from postern.journal.flood import MAX_COUNTERS, FloodGate, Pressure, client_of
from postern.journal.query import parse_query
from postern.journal.record import Conversation, Line, RecipientRecord
from postern.journal.retention import size_bytes, sweep
from postern.journal.search import JournalReader
from postern.journal.settings import JournalSettings
from postern.journal.store import day
from postern.journal.store.writer import JournalWriter
from postern.runtime.clock import FakeClock

Make = Callable[..., Conversation]

MIB = 1 << 20


def gate(**settings: int) -> FloodGate:
    return FloodGate(JournalSettings(**settings))


def test_pressure_grows_with_the_day() -> None:
    flood = FloodGate(JournalSettings(budget_bytes=800, day_share=0.25, workers=2))
    assert flood.pressure(99) is Pressure.NONE
    assert flood.pressure(100) is Pressure.OVER_SHARE
    assert flood.pressure(200) is Pressure.OVER_TWICE


def test_the_first_of_each_client_in_an_hour_are_whole(refuse: Make, noon: float) -> None:
    flood = gate(whole_alike_an_hour=3)
    folded = [flood.folds(refuse(n, noon), Pressure.OVER_SHARE) for n in range(5)]
    assert folded == [False, False, False, True, True]
    assert not flood.folds(refuse(9, noon, client_ip="203.0.113.9"), Pressure.OVER_SHARE)
    assert not flood.folds(refuse(10, noon + 3600), Pressure.OVER_SHARE)


def test_one_client_is_bounded_whatever_it_says(refuse: Make, noon: float) -> None:
    flood = gate(whole_per_client_an_hour=10)
    folded = [
        flood.folds(refuse(n, noon, mail_from=f"u{n}@x.example"), Pressure.OVER_SHARE)
        for n in range(30)
    ]
    assert folded == [False] * 10 + [True] * 20


def test_a_whole_64_of_ipv6_is_one_client() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff")
    assert client_of("2001:db8:0:1::1") != client_of("2001:db8::1")
    assert client_of("192.0.2.1") != client_of("192.0.2.2")


def test_accepted_mail_is_never_folded(make: Make) -> None:
    flood = gate(whole_alike_an_hour=0)
    for pressure in Pressure:
        assert not flood.folds(make(1), pressure)


def test_counters_are_bounded_and_strangers_then_count_as_talkative(
    refuse: Make, noon: float
) -> None:
    flood = gate()
    for n in range(MAX_COUNTERS):
        flood.folds(refuse(n, noon, client_ip=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"),
                    Pressure.OVER_SHARE)  # fmt: skip
    assert len(flood._counts) <= MAX_COUNTERS
    assert flood.folds(refuse(1, noon, client_ip="203.0.113.200"), Pressure.OVER_SHARE)


def test_100_000_refused_conversations_a_minute_stay_within_the_budget(
    folder: Path, clock: FakeClock, make: Make, refuse: Make, noon: float
) -> None:
    budget = 16 * MIB
    settings = JournalSettings(budget_bytes=budget)
    writer = JournalWriter(folder, 0, clock, settings)
    accepted = []
    number = 0
    for tick in range(240):  # a minute of hand-overs, four a second
        batch = []
        for n in range(417):
            number += 1
            ip = (
                f"198.{n % 7}.{number >> 8 & 255}.{number & 255}" if n % 2 else f"192.0.2.{n % 200}"
            )
            talk = [Line(0.0, "S", "220 mx"), Line(0.1, "C", f"EHLO host{number}")]
            batch.append(refuse(number, noon + tick / 4, client_ip=ip, transcript=talk))
        number += 1
        accepted.append(number)
        batch.append(make(number, noon + tick / 4))
        writer.append(batch)
        clock.advance(0.25)
        if tick % 40 == 0:
            sweep(folder, clock.now(), settings)
            assert size_bytes(folder) <= budget
    writer.close()
    assert size_bytes(folder) <= budget
    reader = JournalReader(folder)
    assert all(reader.get(n) is not None for n in accepted)
    kept = sum(1 for n in range(1, number + 1, 97) if reader.get(n) is not None)
    assert reader.folded_count() > 50_000
    assert 0 < kept < number / 97
    # Nothing is lost without a trace: whole and counted make up all there were.
    assert writer_total(folder) + reader.folded_count() == number


def writer_total(folder: Path) -> int:
    total = 0
    for path in folder.glob("*-0.db"):
        connection = sqlite3.connect(path)
        total += connection.execute("SELECT count(*) FROM conversation").fetchone()[0]
        connection.close()
    return total


def test_folded_conversations_are_counted_by_client_and_check(
    folder: Path, clock: FakeClock, refuse: Make, noon: float
) -> None:
    settings = JournalSettings(budget_bytes=0)
    writer = JournalWriter(folder, 0, clock, settings)
    writer.append([refuse(n, noon + n) for n in range(1, 6)])
    writer.append([refuse(n, noon + n) for n in range(6, 8)])
    writer.append([refuse(n, noon, client_ip="2001:db8::7") for n in range(8, 10)])
    writer.close()
    reader = JournalReader(folder)
    (record,) = reader.folded(parse_query("198.51.100.0/24"))
    assert (record.client_ip, record.check, record.count) == ("198.51.100.24", "ptr.missing", 7)
    assert (record.first_at, record.last_at) == (noon + 1, noon + 7)
    (record,) = reader.folded(parse_query("2001:db8::7"))
    assert (record.client_ip, record.count) == ("2001:db8::", 2)


def test_rows_of_counts_are_bounded(
    folder: Path, clock: FakeClock, refuse: Make, noon: float
) -> None:
    settings = JournalSettings(budget_bytes=0)
    writer = JournalWriter(folder, 0, clock, settings)
    many = day.MAX_FOLDED_ROWS + 500
    writer.append(
        [refuse(n, noon, client_ip=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(many)]
    )
    writer.close()
    writer = JournalWriter(folder, 0, clock, settings)
    writer.append([refuse(1, noon, client_ip="203.0.113.1")])
    (store,) = writer._days.values()
    (count,) = store._connection.execute("SELECT count(*) FROM folded").fetchone()
    assert count == day.MAX_FOLDED_ROWS + 1
    assert JournalReader(folder).folded_count() == many + 1
    writer.close()


def test_a_day_without_flood_folds_nothing(
    writer: JournalWriter, reader: JournalReader, refuse: Make
) -> None:
    writer.append([refuse(n, recipients=[RecipientRecord("x@y.example", "refused")])
                   for n in range(1, 500)])  # fmt: skip
    assert reader.folded_count() == 0
    assert reader.get(499) is not None
