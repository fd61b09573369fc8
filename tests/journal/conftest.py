"""Conversations to write, and a journal to write them to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postern.journal.record import Because, Conversation, RecipientRecord
from postern.journal.search import JournalReader
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.runtime.clock import FakeClock

NOON = 1_779_192_000.0
"""Tue 19 May 2026 12:00 UTC."""

Make = Callable[..., Conversation]


@pytest.fixture
def noon() -> float:
    return NOON


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def writer(folder: Path, clock: FakeClock) -> Iterator[JournalWriter]:
    writer = JournalWriter(folder, 0, clock, JournalSettings())
    yield writer
    writer.close()


@pytest.fixture
def reader(folder: Path) -> JournalReader:
    return JournalReader(folder)


@pytest.fixture
def make() -> Make:
    def build(number: int = 1, at: float = NOON, **fields: object) -> Conversation:
        values: dict[str, object] = {
            "client_ip": "198.51.100.24",
            "helo": "mail.isp.example",
            "mail_from": "li@tea-trading.example",
            "from_header": "li@tea-trading.example",
            "message_id": f"<{number}@tea-trading.example>",
            "subject": "Offer 2026-118 for green tea",
            "accepted": True,
            "recipients": [RecipientRecord("wang@harbour.example", "delivered")],
        }
        return Conversation(id=number, at=at, **(values | fields))  # type: ignore[arg-type]  # a test's own words

    return build


@pytest.fixture
def refuse(make: Make) -> Make:
    def build(number: int = 1, at: float = NOON, **fields: object) -> Conversation:
        values: dict[str, object] = {
            "accepted": False,
            "mail_from": "",
            "from_header": "",
            "message_id": "",
            "subject": "",
            "recipients": [],
            "because": Because("ptr.missing", "no reverse DNS name", "sender"),
        }
        return make(number, at, **(values | fields))

    return build
