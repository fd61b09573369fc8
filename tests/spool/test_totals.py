"""How many wait and are held is known at any moment without counting them."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.spool.mail import message

from postern.spool.body import BodyFolder
from postern.spool.message import DeliveryState
from postern.spool.rows import delivery_row
from postern.spool.store.file import SpoolFile

Life = tuple[list[int], list[int], bool]
STATES = st.lists(st.sampled_from(DeliveryState), min_size=1, max_size=4)


def counted(path: Path) -> tuple[int, int]:
    """As a second connection counts them."""
    with sqlite3.connect(path) as other:
        query = "SELECT count(*) FROM delivery WHERE state = ?"
        (waiting,), (held,) = (other.execute(query, (n,)).fetchone() for n in (1, 2))
    return waiting, held


@given(st.lists(st.tuples(STATES, STATES, st.booleans()), max_size=6), st.integers(0, 6))
def test_totals_are_what_counting_would_find(
    tmp_path_factory: pytest.TempPathFactory,
    life: list[tuple[list[int], list[int], bool]],
    known: int,
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    file = SpoolFile(folder / "0.db", BodyFolder(folder / "0"))
    for number, (first, then, is_forgotten) in enumerate(life):
        if number == known:
            file.totals()
        made = message(number + 1, *(f"a{n}@here.test" for n in range(len(first))))
        for delivery, state in zip(made.deliveries, first, strict=True):
            delivery.state = DeliveryState(state)
        with file.transaction():
            file.insert([made])
        for delivery, state in zip(made.deliveries, then, strict=False):
            delivery.state = DeliveryState(state)
        with file.transaction():
            file.update([delivery_row(made.id, delivery) for delivery in made.deliveries])
        if is_forgotten:
            with file.transaction():
                file.forget([made.id])
    assert file.totals()[:2] == counted(file.path)
    file.close()


def test_what_was_rolled_back_does_not_count(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "0.db", BodyFolder(tmp_path / "0"))
    assert file.totals()[:2] == (0, 0)
    made = message(1)
    made.deliveries[0].state = DeliveryState.WAITING
    with pytest.raises(sqlite3.IntegrityError), file.transaction():
        file.insert([made, made])
    assert file.totals()[:2] == (0, 0) == counted(file.path)
    file.close()


def test_a_disk_that_fails_half_way_does_not_keep_them_from_being_counted_later(
    tmp_path: Path,
) -> None:
    file = SpoolFile(tmp_path / "0.db", BodyFolder(tmp_path / "0"))

    def deny(action: int, *_: object) -> int:
        is_trigger = action == sqlite3.SQLITE_CREATE_TEMP_TRIGGER
        return sqlite3.SQLITE_DENY if is_trigger else sqlite3.SQLITE_OK

    file._db.set_authorizer(deny)
    with pytest.raises(sqlite3.DatabaseError):
        file.totals()
    file._db.set_authorizer(None)
    made = message(1)
    made.deliveries[0].state = DeliveryState.WAITING
    with file.transaction():
        file.insert([made])
    assert file.totals()[:2] == (1, 0)
    with file.transaction():
        file.forget([made.id])
    assert file.totals()[:2] == (0, 0)
    file.close()
