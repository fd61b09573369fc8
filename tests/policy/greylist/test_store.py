"""``greylist.db``: what is in it is durable, bounded, and never in anybody's way."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from postern.policy.greylist.key import Key
from postern.policy.greylist.settings import DAY_S, GreylistSettings
from postern.policy.greylist.standing import Standing
from postern.policy.greylist.store import FILE_NAME, Asked, GreylistStore
from postern.runtime.clock import FakeClock
from postern.runtime.database.trouble import DatabaseTroubleError

KEY = Key("net:198.51.100.0/24", "chen@tea.example", "wang@harbour.example", "net:198.51.100.0/24")
SETTINGS = GreylistSettings()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GreylistStore]:
    opened = GreylistStore.open(tmp_path)
    yield opened
    opened.close()


def ask(
    store: GreylistStore, now: float, key: Key = KEY, settings: GreylistSettings = SETTINGS
) -> Standing:
    """As the keeper does."""
    asked = Asked(key, now, settings)
    (found,) = store.look([asked])
    return store.settle([asked])[0] if found is None else found


def test_it_waits_then_passes_and_stays_known_for_as_long_as_it_comes(store: GreylistStore) -> None:
    clock = FakeClock()
    began = clock.now()
    assert ask(store, clock.now()).until == began + 300
    clock.advance(299)
    assert ask(store, clock.now()).until == began + 300
    clock.advance(1)
    assert ask(store, clock.now()) == Standing(began)
    for _ in range(10):
        clock.advance(30 * DAY_S)
        assert ask(store, clock.now()).until is None
    clock.advance(36 * DAY_S)
    assert ask(store, clock.now()).until is not None


def test_what_was_written_is_there_for_others_and_after_a_restart(
    store: GreylistStore, tmp_path: Path
) -> None:
    ask(store, 1000.0)
    other = GreylistStore.open(tmp_path)
    assert ask(other, 1100.0).until == 1300.0
    assert ask(other, 1300.0).until is None
    other.close()
    assert ask(store, 1301.0).until is None


def test_what_only_looks_writes_nothing(store: GreylistStore, tmp_path: Path) -> None:
    ask(store, 1000.0)
    watch = sqlite3.connect(tmp_path / FILE_NAME)
    (before,) = watch.execute("PRAGMA data_version").fetchone()
    assert store.look([Asked(KEY, 1100.0, SETTINGS)]) == [Standing(1000.0, 1300.0)]
    assert watch.execute("PRAGMA data_version").fetchone() == (before,)
    ask(store, 1400.0)
    assert watch.execute("PRAGMA data_version").fetchone() != (before,)
    watch.close()


def test_after_five_passes_all_senders_of_a_pool_pass(store: GreylistStore) -> None:
    for number in range(5):
        one = replace(KEY, sender=f"{number}@tea.example")
        assert ask(store, 1000.0, one).until is not None
        assert ask(store, 1300.0, one).until is None
    stranger = replace(KEY, sender="new@else.example", recipient="li@harbour.example")
    assert ask(store, 1301.0, stranger) == Standing(1301.0, is_trusted=True)
    elsewhere = replace(stranger, trusted="net:203.0.113.0/24")
    assert ask(store, 1301.0, elsewhere).until is not None
    # Its life ends when nobody comes any more, and what it did then counts no more.
    late = 1301.0 + 36 * DAY_S
    again = replace(KEY, sender="5@tea.example")
    assert ask(store, late, again).until is not None
    assert ask(store, late + 300, again).until is None
    assert ask(store, late + 300, stranger).until is not None


def test_many_of_one_transaction_are_each_settled(store: GreylistStore) -> None:
    # Two messages of one batch are the same mail: the second finds what the first has begun.
    settled = store.settle([Asked(KEY, now, SETTINGS) for now in (1000.0, 1000.5)])
    assert settled == [Standing(1000.0, 1300.0)] * 2


def test_what_is_over_is_swept(store: GreylistStore) -> None:
    passed, waiting = KEY, replace(KEY, sender="ann@tea.example")
    ask(store, 1000.0, passed)
    ask(store, 1300.0, passed)
    ask(store, 1300.0, waiting)
    assert store.sweep(1300.0 + 2 * DAY_S, SETTINGS) == 0
    assert store.sweep(1301.0 + 2 * DAY_S, SETTINGS) == 1
    assert [one.sender for one in store.listed((), 10)] == ["chen@tea.example"]
    assert store.sweep(1301.0 + 35 * DAY_S, SETTINGS) == 1
    assert store.listed((), 10) == []


def test_a_flood_pushes_out_the_oldest_that_never_passed_and_nobody_else(
    store: GreylistStore,
) -> None:
    settings = replace(SETTINGS, most=20)
    ask(store, 1000.0)
    ask(store, 1300.0)
    for number in range(100):
        ask(store, 2000.0 + number, replace(KEY, sender=f"{number}@spam.example"), settings)
    assert store.sweep(2100.0, settings) == 81
    left = store.listed((), 100)
    assert len(left) == 20
    senders = {one.sender for one in left}
    assert "chen@tea.example" in senders
    assert senders - {"chen@tea.example"} == {f"{n}@spam.example" for n in range(81, 100)}


def test_an_entry_is_found_let_pass_and_forgotten(store: GreylistStore) -> None:
    ask(store, 1000.0)
    ask(store, 1000.0, replace(KEY, sender="a_b@else.example"))
    (one,) = store.listed(("TEA.example", "wang"), 10)
    assert (one.sender, one.entry.passed_at) == ("chen@tea.example", None)
    assert store.listed(("%",), 10) == []
    assert len(store.listed(("a_b",), 10)) == 1
    assert len(store.listed((), 1)) == 1
    assert store.let_pass(one.id, 1010.0) is not None
    assert ask(store, 1011.0).until is None
    assert store.forget(one.id) is not None
    assert ask(store, 1012.0).until == 1312.0
    assert store.let_pass(4711, 1.0) is None
    assert store.forget(4711) is None


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database at all\n" * 500)
    store = GreylistStore.open(tmp_path)
    assert ask(store, 1000.0).until == 1300.0
    store.close()
    assert (tmp_path / f"{FILE_NAME}.damaged").read_bytes().startswith(b"no database")


def test_a_file_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    store = GreylistStore.open(tmp_path)
    ask(store, 1000.0)
    store.close()
    other = sqlite3.connect(tmp_path / FILE_NAME)
    other.execute("PRAGMA user_version = 99")
    other.commit()
    other.close()
    store = GreylistStore.open(tmp_path)
    assert store.listed((), 10) == []
    store.close()


def test_a_folder_that_cannot_be_written_is_trouble(tmp_path: Path) -> None:
    with pytest.raises(DatabaseTroubleError):
        GreylistStore.open(tmp_path / "not-there")
