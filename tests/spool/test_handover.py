"""From the spool to the journal: each once, in bounded memory, whatever the journal's disk says."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from tests.spool.mail import MemoryJournal

from postern.journal.record import Conversation, HeardRecord
from postern.spool import handover
from postern.spool.handover import Handover


class Spool:
    """Stands in for the spool: what was forgotten, and what is read back when asked."""

    def __init__(self) -> None:
        self.forgotten: list[int] = []
        self.refills = threading.Event()
        self.full = 0

    def forget(self, ids: Sequence[int]) -> None:
        self.forgotten += ids

    def on_full(self) -> None:
        self.full += 1


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def spool() -> Spool:
    return Spool()


@pytest.fixture
def hand(journal: MemoryJournal, spool: Spool) -> Iterator[Handover]:
    made = Handover(journal, spool.forget, spool.refills.set, spool.on_full, 0.001)
    yield made
    if made.is_alive():
        made.stop()
        made.join(10)


def test_spooled_messages_are_forgotten_once_the_journal_has_them(
    hand: Handover, journal: MemoryJournal, spool: Spool
) -> None:
    hand.add(Conversation(1, 1.0), spooled=True)
    hand.add(Conversation(2, 1.0), spooled=False)
    hand._turn()
    assert sorted(journal.kept) == [1, 2]
    assert spool.forgotten == [1]


def test_nothing_is_forgotten_while_the_journal_can_not_write(
    hand: Handover, journal: MemoryJournal, spool: Spool
) -> None:
    journal.fail()
    hand.add(Conversation(1, 1.0), spooled=True)
    hand._turn()
    assert spool.forgotten == []
    assert not hand.is_writable
    assert spool.full == 1
    journal.trouble = None
    hand._turn()
    assert spool.forgotten == [1]
    assert hand.is_writable


def test_one_conversation_that_can_not_be_written_does_not_hold_up_the_others(
    hand: Handover, journal: MemoryJournal, spool: Spool
) -> None:
    journal.poison = {2}
    for number in (1, 2, 3):
        hand.add(Conversation(number, 1.0), spooled=True)
    hand._turn()
    assert sorted(journal.kept) == [1, 3]
    assert spool.forgotten == [1, 2, 3]
    assert hand.dropped == 1


def test_what_is_too_much_for_memory_stays_spooled_and_is_asked_for_again(
    hand: Handover, journal: MemoryJournal, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "MAX_PENDING", 2)
    for number in (1, 2, 3):
        hand.add(Conversation(number, 1.0), spooled=True)
    hand.add(Conversation(4, 1.0), spooled=False)
    assert hand.dropped == 1
    hand._turn()
    assert sorted(journal.kept) == [1, 2]
    assert spool.refills.is_set()


def test_stopping_writes_what_is_pending(hand: Handover, journal: MemoryJournal) -> None:
    hand.start()
    for number in range(100):
        hand.add(Conversation(number, 1.0), spooled=True)
    hand.stop()
    hand.join(10)
    assert len(journal.kept) == 100
    assert journal.is_closed


def test_decisions_about_mail_that_waits_are_written_without_it(
    hand: Handover, journal: MemoryJournal, spool: Spool
) -> None:
    hand.add_heard(HeardRecord(1, 1.0, "198.51.100.24", []))
    hand._turn()
    assert [heard.id for heard in journal.heard] == [1]
    assert journal.kept == {}
    assert spool.forgotten == []


def test_decisions_are_kept_while_the_journal_can_not_write(
    hand: Handover, journal: MemoryJournal
) -> None:
    journal.fail()
    for number in (1, 2):
        hand.add_heard(HeardRecord(number, 1.0, "", []))
    hand._turn()
    assert journal.heard == []
    journal.trouble = None
    hand._turn()
    assert [heard.id for heard in journal.heard] == [1, 2]
    hand._turn()
    assert len(journal.heard) == 2


def test_decisions_that_can_not_be_written_hold_nothing_up(
    hand: Handover, journal: MemoryJournal
) -> None:
    journal.poison = {2}
    for number in (1, 2, 3):
        hand.add_heard(HeardRecord(number, 1.0, "", []))
    hand.add(Conversation(4, 1.0), spooled=False)
    hand._turn()
    assert [heard.id for heard in journal.heard] == [1, 3]
    assert list(journal.kept) == [4]
    assert hand.dropped == 1


def test_decisions_beyond_what_memory_takes_are_dropped_and_counted(
    hand: Handover, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "MAX_PENDING", 2)
    for number in (1, 2, 3):
        hand.add_heard(HeardRecord(number, 1.0, "", []))
    hand._turn()
    assert [heard.id for heard in journal.heard] == [1, 2]
    assert hand.dropped == 1
