"""How groups stand, on disk: whoever saw the last version changes it, and nobody else."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from postern.routing.control.store import StandingStore
from postern.routing.paths.groups import AddressTests, GroupState, Standing

RELAYED = Standing(
    "google",
    state=GroupState.RELAYED,
    since=100.0,
    evidence="3 of 5 MX addresses do not answer",
    route="01ABC",
    via="us1",
    failing=("192.0.2.1",),
    tests=(AddressTests("192.0.2.1", 2, 90.0),),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StandingStore]:
    made = StandingStore(tmp_path / "paths.db")
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[StandingStore]:
    made = StandingStore(tmp_path / "paths.db")
    yield made
    made.close()


def test_what_was_written_is_read_back_whole(store: StandingStore, other: StandingStore) -> None:
    written = store.swap(Standing("google"), RELAYED)
    assert written == replace(RELAYED, version=1)
    assert other.all() == [written]


def test_of_two_that_saw_the_same_one_is_first(store: StandingStore, other: StandingStore) -> None:
    assert store.swap(Standing("google"), RELAYED) is not None
    assert other.swap(Standing("google"), RELAYED) is None
    (seen,) = store.all()
    assert other.swap(seen, replace(seen, via="de1")) is not None
    assert store.swap(seen, replace(seen, via="jp1")) is None
    assert [one.via for one in store.all()] == ["de1"]


def test_what_nobody_can_read_keeps_no_group_from_being_changed(
    store: StandingStore, tmp_path: Path
) -> None:
    store.swap(Standing("google"), RELAYED)
    with closing(sqlite3.connect(tmp_path / "paths.db")) as by_another_version:
        by_another_version.execute("UPDATE group_standing SET version = 7, value = x'c1'")
        by_another_version.commit()
    assert store.all() == []
    written = store.swap(Standing("google"), RELAYED)
    assert written is not None
    assert store.all() == [written]


def test_a_change_of_another_shows_once(store: StandingStore, other: StandingStore) -> None:
    other.all()
    assert store.changed()
    assert not store.changed()
    other.swap(Standing("google"), RELAYED)
    assert store.changed()
    assert not store.changed()


def test_only_what_did_not_change_is_forgotten(store: StandingStore) -> None:
    first = store.swap(Standing("google"), RELAYED)
    assert first is not None
    second = store.swap(first, replace(first, canaries=1))
    assert second is not None
    assert not store.forget(first)
    assert store.forget(second)
    assert store.all() == []


def test_a_file_that_was_set_aside_is_made_anew(store: StandingStore, tmp_path: Path) -> None:
    store.swap(Standing("google"), RELAYED)
    for path in tmp_path.glob("paths.db*"):
        path.unlink()
    assert store.all() == []
    assert store.swap(Standing("google"), RELAYED) is not None
    assert store.changed()
