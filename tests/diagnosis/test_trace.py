"""Trace: everything on file for one code."""

import json
from pathlib import Path

import pytest

from postern.diagnosis.conversation_text import Paper
from postern.diagnosis.ending import Exit
from postern.diagnosis.terminal import Style
from postern.diagnosis.trace import trace, trace_as_json, trace_text
from postern.diagnosis.why import NothingWaits
from postern.journal.query import Query
from postern.journal.record import Because, ChangeRecord, Conversation, Line, RecipientRecord
from postern.journal.search import JournalReader
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.mail.tracecode import TraceCodes
from postern.runtime.clock import FakeClock

NOON = 1_778_925_600.0
CODES = TraceCodes(b"k" * 32)
PAPER = Paper(Style(), CODES)


def conversation(number: int, **fields: object) -> Conversation:
    values: dict[str, object] = {
        "mail_from": "li@tea.example",
        "client_ip": "198.51.100.24",
        "because": Because("ptr.missing", "no reverse DNS name", "sender"),
        "recipients": [RecipientRecord("wang@harbour.example", "refused")],
    }
    return Conversation(id=number, at=NOON + number, **(values | fields))  # type: ignore[arg-type]  # a test's own words


@pytest.fixture
def journal(tmp_path: Path) -> JournalReader:
    talk = [
        Line(0.0, "S", "220 mx.host.example"),
        Line(0.1, "C", "MAIL FROM:<li@tea.example>\x1b[2J"),
        Line(18.9, "S", "451 4.4.3 later"),
    ]
    with JournalWriter(tmp_path, 0, FakeClock(NOON), JournalSettings()) as writer:
        writer.append([conversation(1), conversation(2, related=[1], transcript=talk)])
        writer.append_change(ChangeRecord(NOON + 9, "wang", "queue.hold", "1 message", "", (2,)))
    return JournalReader(tmp_path)


def test_transcript_is_told_with_slow_lines_marked(journal: JournalReader) -> None:
    found = trace(2, CODES.encode(2), journal, NothingWaits())
    text = trace_text(found, PAPER)
    assert found.exit is Exit.PROBLEM
    assert "   18.90 S  451 4.4.3 later  SLOW, after 18.8 s\n" in text
    assert "    0.10 C  MAIL FROM:<li@tea.example><U+001B>[2J\n" in text
    assert "\x1b" not in text


def test_siblings_and_changes_are_listed(journal: JournalReader) -> None:
    text = trace_text(trace(2, CODES.encode(2), journal, NothingWaits()), PAPER)
    assert CODES.encode(1) in text
    assert "queue.hold by wang: 1 message" in text
    first = trace_text(trace(1, CODES.encode(1), journal, NothingWaits()), PAPER)
    assert CODES.encode(2) in first
    assert "No transcript" in first


def test_unknown_code_is_not_found_and_says_how_far_back_the_log_goes(
    journal: JournalReader,
) -> None:
    found = trace(99, CODES.encode(99), journal, NothingWaits())
    assert found.exit is Exit.NOT_FOUND
    text = " ".join(trace_text(found, PAPER).split())
    assert f"Nothing is on file for {CODES.encode(99)}" in text
    assert "goes back to" in text


def test_code_of_waiting_mail_is_found(journal: JournalReader) -> None:
    class Waiting:
        def search(self, query: Query) -> list[Conversation]:
            assert query.clues[0].number == 50
            return [conversation(50, recipients=[RecipientRecord("a@b.example", "waiting")])]

    found = trace(50, CODES.encode(50), journal, Waiting())
    assert found.exit is Exit.WARNING
    assert "WAITING" in trace_text(found, PAPER)


def test_json_has_conversation_siblings_changes_and_transcript(journal: JournalReader) -> None:
    report = json.loads(trace_as_json(trace(2, CODES.encode(2), journal, NothingWaits()), CODES))
    assert report["schema"] == 1
    assert report["conversation"]["trace"] == CODES.encode(2)
    assert [c["trace"] for c in report["siblings"]] == [CODES.encode(1)]
    assert report["changes"][0]["action"] == "queue.hold"
    assert report["transcript"][2] == {"seconds": 18.9, "side": "S", "text": "451 4.4.3 later"}
    assert report["exit"] == 2
