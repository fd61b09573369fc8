from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.queue.holding import LI, WANG, telling_store

from postern.queue.store import tellings as tables
from postern.queue.store.tellings import Telling, TellingStore

NOW = 1_750_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TellingStore]:
    with telling_store(tmp_path) as store:
        yield store


def test_tables_are_as_the_migration_makes_them(store: TellingStore) -> None:
    def is_ours(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in tables.metadata.tables

    with store._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        assert compare_metadata(context, tables.metadata) == []


def test_an_owner_gets_the_first_letter_of_a_day_alone(store: TellingStore) -> None:
    first = Telling(1, WANG, "2025-06-15", NOW, ((10, 0), (11, 1)))
    second = Telling(2, WANG, "2025-06-15", NOW, ((12, 0),))
    other = Telling(3, LI, "2025-06-15", NOW, ((13, 0),))
    assert store.add([first]) == {1}
    assert store.add([second, other]) == {3}
    assert store.add([Telling(4, WANG, "2025-06-16", NOW, ((12, 0),))]) == {4}
    assert store.named([(10, 0), (11, 0), (11, 1), (12, 0)]) == {(10, 0), (11, 1), (12, 0)}


def test_what_a_letter_named_is_told_from_its_arrival_on(store: TellingStore) -> None:
    store.add([Telling(1, WANG, "day", NOW, ((10, 0),)), Telling(2, LI, "day", NOW, ((10, 1),))])
    assert store.told([(10, 0), (10, 1)]) == {}
    assert store.open_letters(-1, 1) == [1]
    assert store.open_letters(1, 9) == [2]
    store.conclude([1], [2], NOW + 5)
    assert store.told([(10, 0), (10, 1)]) == {(10, 0): NOW + 5}
    assert store.named([(10, 0), (10, 1)]) == {(10, 0)}
    assert store.open_letters(-1, 9) == []


def test_many_keys_are_asked_for_in_parts(store: TellingStore) -> None:
    keys = [(number, n) for number in range(1_000) for n in range(2)]
    store.add([Telling(5_000, WANG, "day", NOW, tuple(keys[::3]))])
    assert store.named(keys) == set(keys[::3])


def test_a_day_is_ended_once_and_what_is_old_is_forgotten(store: TellingStore) -> None:
    store.add([Telling(1, WANG, "one", NOW, ((10, 0),)), Telling(2, LI, "one", NOW, ((11, 0),))])
    store.conclude([1], [], NOW)
    assert not store.is_day_done("one")
    store.end_day("one", NOW, NOW - 1)
    assert store.is_day_done("one")
    store.end_day("two", NOW + 10, NOW + 5)
    assert not store.is_day_done("one")
    assert store.is_day_done("two")
    assert store.named([(10, 0), (11, 0)]) == {(11, 0)}  # nobody knows yet what became of that one
