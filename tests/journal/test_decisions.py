"""Decisions on file: written once, found by what a rule can be about, and nothing hidden."""

import sqlite3
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.journal.conftest import NOON, Make

from postern.journal.days import day_file, day_of
from postern.journal.decided import DecisionQuery, DecisionRow
from postern.journal.decisions import DecisionReader
from postern.journal.findings import bit_of
from postern.journal.record import KNOWN, DecisionRecord, HeardRecord
from postern.journal.search import JournalReader
from postern.journal.settings import JournalSettings
from postern.journal.store import decisions as table
from postern.journal.store.writer import JournalWriter
from postern.runtime.clock import FakeClock

WANG, LI = "wang@harbour.example", "li@harbour.example"


def decision(
    owner: str = WANG, found: str | None = "", early: str = "", flags: int = 0
) -> DecisionRecord:
    return DecisionRecord(owner, owner.partition("@")[2], early=early, found=found, flags=flags)


def heard(number: int, *decisions: DecisionRecord, at: float = NOON, **shown: str) -> HeardRecord:
    values: dict[str, str] = {
        "client_ip": "198.51.100.24",
        "helo": "mail.tea.example",
        "ptr": "mail.isp.example",
        "mail_from": "chen@tea.example",
        "authors": "chen@tea.example\nann@shop.tea.example\n",
        "list_id": "deals.offers.example",
        "subject": "tea",
    }
    values |= shown
    ip = values.pop("client_ip")
    return HeardRecord(number, at, ip, list(decisions or (decision(),)), **values)


@pytest.fixture
def decisions(folder: Path) -> DecisionReader:
    return DecisionReader(folder)


def found(reader: DecisionReader, query: DecisionQuery) -> list[DecisionRow]:
    return [
        row
        for file in reader.files(query.since)
        for rows in reader.transactions(file, query)
        for row in rows
    ]


def numbers(reader: DecisionReader, **asked: object) -> list[int]:
    query = DecisionQuery(**asked)  # type: ignore[arg-type]  # a test's own words
    return [row.number for row in found(reader, query)]


def test_a_decision_comes_back_as_it_was_written(
    writer: JournalWriter, decisions: DecisionReader
) -> None:
    record = decision(LI, "ptr.missing spf.fail", "ptr.missing", KNOWN)
    record.named = "Sales@harbour.example"
    writer.append(
        [], [heard(7, record, proven_early="tea.example", proven="tea.example a.example")]
    )
    (row,) = found(decisions, DecisionQuery())
    assert row == DecisionRow(
        7, NOON, 1, KNOWN, LI, "harbour.example", "Sales@harbour.example",
        b"\0" * 10 + b"\xff\xff\xc6\x33\x64\x18", "mail.tea.example", "mail.isp.example",
        "chen@tea.example", "chen@tea.example\nann@shop.tea.example\n", "deals.offers.example",
        "tea.example", "tea.example a.example", "ptr.missing", "ptr.missing spf.fail", "tea",
    )  # fmt: skip


def test_what_comes_again_is_written_once(
    writer: JournalWriter, decisions: DecisionReader, refuse: Make
) -> None:
    talk = refuse(1, heard=heard(1, decision(WANG), decision(LI)))
    for _ in range(2):
        writer.append([talk], [heard(2)])
    assert numbers(decisions) == [2, 1, 1]
    assert decisions.kept(DecisionQuery()).decisions == 3
    assert decisions.kept(DecisionQuery(owner=WANG)).decisions == 2


def test_a_conversation_is_stored_without_its_decisions(
    writer: JournalWriter, reader: JournalReader, refuse: Make
) -> None:
    writer.append([refuse(1, heard=heard(1))])
    talk = reader.get(1)
    assert talk is not None
    assert talk.heard is None
    assert talk.helo == "mail.isp.example"


def test_decisions_lie_in_the_file_of_the_day_they_were_made(
    writer: JournalWriter, decisions: DecisionReader, clock: FakeClock
) -> None:
    writer.append([], [heard(1, at=NOON - 2 * 86_400), heard(2)])
    assert [file.day for file in decisions.files(0)] == [day_of(NOON), day_of(NOON) - 2]
    assert numbers(decisions) == [2, 1]
    assert numbers(decisions, since=clock.now() - 86_400) == [2]
    assert decisions.kept(DecisionQuery()).since == NOON - 2 * 86_400


@pytest.mark.parametrize(
    "asked",
    [
        {"owner": WANG},
        {"domain": "harbour.example"},
        {"address": "chen@tea.example"},
        {"address": "ann@shop.tea.example"},
        {"sender_domain": "tea.example"},
        {"sender_domain": "shop.tea.example"},
        {"below": "tea.example"},
        {"below": "shop.tea.example"},
        {"network": ip_network("198.51.100.0/24")},
        {"network": ip_network("198.51.100.24")},
        {"helo": "mail.tea.example"},
        {"ptr": "mail.isp.example"},
        {"list_id": "deals.offers.example"},
        {"is_known": True},
        {"failed": bit_of("ptr.missing")},
        {"failed": bit_of("spf.fail") | bit_of("virus.found")},
        {"failed": bit_of("mailfrom.no-mx")},
    ],
)
def test_it_is_found_by_all_that_a_rule_can_be_about(
    writer: JournalWriter, decisions: DecisionReader, asked: dict[str, object]
) -> None:
    told = decision(WANG, "spf.fail ?mailfrom.couldnt-tell=mailfrom.no-mx", "ptr.missing", KNOWN)
    other = heard(
        2, decision("ann@pier.example", "dkim.fail"), client_ip="2001:db8::1", helo="srv", ptr="",
        mail_from="bob@other.example", authors="bob@other.example\n", list_id="",
    )  # fmt: skip
    writer.append([], [heard(1, told), other])
    assert numbers(decisions, **asked) == [1]
    nothing = HeardRecord(3, NOON, "", [decision("x@y.example")])  # the null sender, no header
    writer.append([], [nothing])
    assert numbers(decisions, **asked) == [1]


def test_a_transaction_comes_whole_also_where_one_of_it_fits(
    writer: JournalWriter, decisions: DecisionReader
) -> None:
    writer.append([], [heard(5, decision(WANG), decision(LI), decision("ann@pier.example"))])
    assert numbers(decisions, owner=LI) == [5, 5, 5]
    assert found(decisions, DecisionQuery(owner=LI))[0].owner == WANG


def test_a_long_table_is_read_in_turns_and_nothing_twice(
    writer: JournalWriter, decisions: DecisionReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROWS_A_TURN", 4)
    many = [
        heard(n, *[decision(WANG), decision(LI), decision(WANG)][: n % 3 + 1]) for n in range(1, 12)
    ]
    writer.append([], many)
    told = numbers(decisions)
    assert told == sorted(told, reverse=True)
    assert told == [one.id for one in many[::-1] for _ in one.decisions]
    assert sorted(set(numbers(decisions, owner=LI))) == [n for n in range(1, 12) if n % 3]


@pytest.fixture
def old_file(folder: Path) -> Path:
    """A day file as it was before decisions were kept."""
    path = day_file(folder, day_of(NOON) - 1, 0).path
    with JournalWriter(folder, 0, FakeClock(NOON - 86_400), JournalSettings()) as before:
        before.append([], [heard(1, at=NOON - 86_400)])
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE decision")
    connection.execute("PRAGMA user_version=1")
    connection.commit()
    connection.close()
    return path


def test_days_when_none_were_kept_are_told_apart_from_damage(
    old_file: Path, writer: JournalWriter, decisions: DecisionReader
) -> None:
    assert old_file.exists()
    writer.append([], [heard(2)])
    kept = decisions.kept(DecisionQuery())
    assert (kept.decisions, kept.without, kept.since) == (1, 1, NOON)
    assert numbers(decisions) == [2]
    assert decisions.damaged == []


def test_an_old_file_that_is_written_again_keeps_decisions_from_then_on(
    old_file: Path, writer: JournalWriter, decisions: DecisionReader
) -> None:
    writer.append([], [heard(3, at=NOON - 86_400)])
    assert old_file.exists()
    assert numbers(decisions) == [3]
    assert decisions.kept(DecisionQuery()).without == 1  # not from its beginning


def test_a_damaged_file_is_named_and_the_others_are_read(
    folder: Path, writer: JournalWriter, decisions: DecisionReader
) -> None:
    writer.append([], [heard(1)])
    broken = day_file(folder, day_of(NOON), 1).path
    broken.write_bytes(b"no database" * 100)
    assert decisions.kept(DecisionQuery()).decisions == 1
    assert [one.path for one in decisions.damaged] == [broken]


def test_refused_mail_that_is_only_counted_is_counted_here_too(
    folder: Path, decisions: DecisionReader, clock: FakeClock, refuse: Make
) -> None:
    full = JournalSettings(budget_bytes=1, day_share=1.0, whole_alike_an_hour=1)
    with JournalWriter(folder, 0, clock, full) as writer:
        writer.append([refuse(1)])
        writer.append([refuse(n, heard=heard(n)) for n in range(2, 6)], [heard(9)])
    kept = decisions.kept(DecisionQuery())
    assert (kept.decisions, kept.folded) == (1, 5)  # what was taken is kept, whatever the pressure
    assert numbers(decisions) == [9]
