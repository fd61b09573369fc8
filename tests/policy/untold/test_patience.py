"""What DNS does not tell keeps one sender waiting for a day, and no longer."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.policy.making import book, facts, fail, unknown

from postern.mail.finding import Finding, Result, Whose
from postern.policy.judge import judge
from postern.policy.rules.match import Facts
from postern.policy.untold import patience as patience_module
from postern.policy.untold import store as module
from postern.policy.untold.patience import (
    GAP_S,
    KEEP_S,
    WAIT_S,
    Patience,
    open_patience,
    untold_field,
)
from postern.policy.untold.store import UntoldStore
from postern.runtime.clock import FakeClock
from postern.runtime.database import beside

HOUR_S = 3600.0
SILENT = unknown("mailfrom.dns-timeout")


class Stand:
    """One worker's patience, which can be started anew."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "untold.db"
        self.clock = FakeClock()
        self.patience = Patience(self.path)

    def restart(self) -> None:
        self.patience.close()
        self.patience = Patience(self.path)

    def comes(self, *findings: Finding, about: Facts | None = None) -> bool:
        """A message comes; True when it is let in. What is refused for now is on disk then."""
        about = about or facts()
        now = self.clock.now()
        left = self.patience.without_overdue(findings or (SILENT,), about, now)
        judgement = judge(left, about, book())
        self.patience.note([judgement], about, now)
        self.restart()
        return not judgement.gravity

    def tries(self, hours: int, *, each_h: int = 1, about: Facts | None = None) -> list[int]:
        """It comes again and again; the hours in which it was let in."""
        let_in = []
        for hour in range(0, hours, each_h):
            if self.comes(about=about):
                let_in.append(hour)
            self.clock.advance(each_h * HOUR_S)
        return let_in


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.patience.close()


def test_a_sender_waits_a_day_from_its_first_not_now_through_every_restart(stand: Stand) -> None:
    assert stand.tries(27) == [24, 25, 26]


def test_what_is_let_in_says_since_when_and_is_marked(stand: Stand) -> None:
    stand.tries(24)
    (noted,) = stand.patience.without_overdue((SILENT,), facts(), stand.clock.now())
    assert (noted.check, noted.result) == ("mailfrom.dns-timeout", Result.NOTE)
    assert noted.text.endswith("; so since 2025-06-15 15:06 UTC, and no longer waited for")
    assert untold_field([noted, fail("ptr.mismatch")]) == b"X-Postern-Couldnt-Tell: mailfrom\r\n"
    assert untold_field([replace(SILENT), fail("ptr.mismatch")]) == b""


def test_another_check_of_the_same_domain_does_not_begin_another_day(stand: Stand) -> None:
    stand.tries(24)
    assert stand.comes(SILENT, unknown("dmarc.couldnt-tell", "dmarc.reject"))
    assert not stand.comes(unknown("ptr.couldnt-tell"))  # that is not the domain's DNS


def test_another_sender_waits_a_day_of_its_own(stand: Stand) -> None:
    stand.tries(24)
    assert not stand.comes(about=facts("li@coffee.example"))
    assert stand.comes(about=facts("chen@tea.example", ip="192.0.2.1"))


def test_a_pool_of_servers_is_one_client(stand: Stand) -> None:
    silent = unknown("ptr.couldnt-tell", "ptr.missing")
    for hour in range(24):
        assert not stand.comes(silent, about=facts(ip=f"198.51.100.{hour}"))
        stand.clock.advance(HOUR_S)
    assert stand.comes(silent, about=facts(ip="198.51.100.99"))
    assert not stand.comes(silent, about=facts(ip="198.51.101.1"))


def test_time_begins_anew_for_a_sender_that_was_not_heard_of(stand: Stand) -> None:
    stand.comes()
    stand.clock.advance(GAP_S + 1)
    assert stand.tries(25) == [24]


def test_one_that_waited_once_waits_no_more_for_a_week(stand: Stand) -> None:
    assert stand.tries(25) == [24]
    stand.clock.advance(KEEP_S - 2 * HOUR_S)
    assert stand.comes()
    stand.clock.advance(KEEP_S - 2 * HOUR_S)
    assert stand.comes()
    stand.clock.advance(KEEP_S + 2 * HOUR_S)
    assert stand.tries(25) == [24]


def test_what_refuses_for_another_reason_is_not_remembered(stand: Stand) -> None:
    for _ in range(24):
        assert not stand.comes(SILENT, fail("helo.invalid"))
        stand.clock.advance(HOUR_S)
    assert not stand.comes()


def test_an_error_of_our_own_begins_no_day(stand: Stand) -> None:
    ours = replace(SILENT, whose=Whose.US)
    for _ in range(26):
        assert not stand.comes(ours)
        stand.clock.advance(HOUR_S)
    assert not stand.comes(SILENT)


def test_a_stop_does_not_wait_for_all_that_a_locked_file_keeps_back(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience_module, "CLOSE_S", 0.05)
    monkeypatch.setattr(beside, "BUSY_TIMEOUT_S", 0.3)
    stand.restart()
    locked = sqlite3.connect(stand.path, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    now = stand.clock.now()
    for number in range(200):
        about = facts(f"li@{number}.example")
        judgement = judge((SILENT,), about, book())
        stand.patience.note([judgement], about, now)
    began = time.monotonic()
    stand.patience.close()
    assert time.monotonic() - began < 10  # not the minute that 200 writes would take
    locked.execute("ROLLBACK")
    locked.close()
    stand.patience = Patience(stand.path)


def test_virus_scanners_are_waited_for_whatever_the_time(stand: Stand) -> None:
    for _ in range(30):
        assert not stand.comes(unknown("virus.couldnt-tell"))
        stand.clock.advance(HOUR_S)


def test_the_time_is_settable(stand: Stand) -> None:
    stand.comes()
    stand.patience.wait_s = 2 * HOUR_S
    stand.clock.advance(2 * HOUR_S)
    left = stand.patience.without_overdue((SILENT,), facts(), stand.clock.now())
    assert left[0].result is Result.NOTE


def test_a_file_that_cannot_be_read_keeps_waiting_and_breaks_nothing(stand: Stand) -> None:
    stand.tries(24)
    with sqlite3.connect(stand.path) as connection:
        connection.execute("DROP TABLE untold")
    now = stand.clock.now()
    assert stand.patience.without_overdue((SILENT,), facts(), now) == (SILENT,)
    stand.patience.note([judge((SILENT,), facts(), book())], facts(), now)


def test_those_heard_of_longest_ago_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 100)
    monkeypatch.setattr(module, "PRUNE_EVERY", 10)
    store = UntoldStore(tmp_path / "untold.db")
    for number in range(1000):
        pair = (f"{number}.example", "sender")
        store.note([pair], float(number), wait_s=WAIT_S, gap_s=GAP_S, keep_s=KEEP_S)
    known = [n for n in range(1000) if store.find(f"{n}.example", "sender") is not None]
    assert known[-1] == 999
    assert len(known) <= 110
    store.close()
    assert (tmp_path / "untold.db").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "untold.db"
    path.write_bytes(b"not a database, and long enough to be looked at" * 100)
    before = path.read_bytes()
    assert open_patience(path) is None
    assert path.read_bytes() == before


def test_many_workers_open_a_new_file_at_once(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"{number}.db"
        with ThreadPoolExecutor(8) as threads:
            opened = list(threads.map(lambda _, path=path: open_patience(path), range(8)))
        for patience in opened:
            assert patience is not None
            patience.close()
