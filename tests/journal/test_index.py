"""The index: runs and fresh batches answer alike."""

import random
import sqlite3
from collections.abc import Iterator

import pytest

from postern.journal.store import index
from postern.journal.store.index import KeyRange, exactly, starting_with


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(index.TABLES)
    yield connection
    connection.close()


def add(db: sqlite3.Connection, **numbers: list[int]) -> None:
    entries = [key.encode() + index.entry_tail(n) for key, found in numbers.items() for n in found]
    index.add(db, entries)


def ask(db: sqlite3.Connection, *clues: list[KeyRange]) -> list[int]:
    return list(index.numbers(db, clues))


@pytest.mark.parametrize("merged", [False, True])
def test_newest_numbers_come_first(db: sqlite3.Connection, *, merged: bool) -> None:
    add(db, tea=[1, 3], cup=[2])
    if merged:
        index.merge(db)
    add(db, tea=[7, 5])
    assert ask(db, [exactly(b"tea")]) == [7, 5, 3, 1]


def test_all_clues_must_fit_and_any_range_of_a_clue_may(db: sqlite3.Connection) -> None:
    add(db, tea=[1, 2, 3], cup=[2, 3], pot=[3])
    index.merge(db)
    assert ask(db, [exactly(b"tea")], [exactly(b"cup")]) == [3, 2]
    assert ask(db, [exactly(b"cup"), exactly(b"pot")]) == [3, 2]
    assert ask(db, [exactly(b"tea")], [exactly(b"none")]) == []


def test_exact_key_leaves_out_longer_ones(db: sqlite3.Connection) -> None:
    add(db, tea=[1], teapot=[2])
    assert ask(db, [exactly(b"tea")]) == [1]
    assert ask(db, [starting_with(b"tea")]) == [2, 1]


def test_a_range_over_many_pages_is_whole(db: sqlite3.Connection) -> None:
    for start in range(0, 5000, 500):
        index.add(db, [b"k%04d" % n + index.entry_tail(n) for n in range(start, start + 500)])
    index.merge(db)
    assert ask(db, [starting_with(b"k")]) == list(range(4999, -1, -1))
    assert ask(db, [starting_with(b"k12")]) == list(range(1299, 1199, -1))
    for number in (0, 99, 100, 101, 4999):
        assert ask(db, [exactly(b"k%04d" % number)]) == [number]


def test_one_key_may_fill_several_pages_even_with_doubles(db: sqlite3.Connection) -> None:
    for _ in range(3):
        index.add(db, [b"hot" + index.entry_tail(n) for n in range(250)])
    index.add(db, [b"hot" + index.entry_tail(1)] * 300)
    index.merge(db)
    assert ask(db, [exactly(b"hot")]) == list(range(249, -1, -1))
    assert ask(db, [exactly(b"hos")]) == []


def test_merging_empties_what_was_fresh(db: sqlite3.Connection) -> None:
    add(db, tea=[1, 2])
    assert index.waiting_entries(db) == 2
    index.merge(db)
    assert index.waiting_entries(db) == 0


def test_tidying_makes_one_run_and_every_step_of_it_answers_alike(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "STEP_PAGES", 7)
    draw = random.Random(5)
    keys: dict[int, set[bytes]] = {}
    for run in range(5):
        for number in range(run * 300, run * 300 + 300):
            keys[number] = {b"k%02d" % draw.randrange(40), b"all", b"n%d" % (number // 10)}
            index.add(db, [key + index.entry_tail(number) for key in keys[number]])
        index.merge(db)

    def fitting(*wanted: bytes) -> list[int]:
        return sorted((n for n, own in keys.items() if own >= set(wanted)), reverse=True)

    steps = 0
    while index.tidy(db):
        steps += 1
        assert sorted(ask(db, [exactly(b"all")]), reverse=True) == fitting(b"all")
        assert ask(db, [exactly(b"k07")], [exactly(b"all")]) == fitting(b"k07", b"all")
        assert ask(db, [exactly(b"n44")], [exactly(b"k07")]) == fitting(b"n44", b"k07")
    assert steps > 10
    assert db.execute("SELECT number FROM run").fetchall() == [(0,)]
    pages = [row[0] for row in db.execute("SELECT first FROM page ORDER BY number")]
    assert pages == sorted(pages)
    index.add(db, [b"all" + index.entry_tail(9999)])
    index.merge(db)
    assert ask(db, [exactly(b"all")])[0] == 9999
    assert index.tidy(db)
    assert not [steps for steps in range(3) if index.tidy(db) and steps == 2]
    assert db.execute("SELECT number FROM run").fetchall() == [(0,)]
