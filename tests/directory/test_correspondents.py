"""Whom mailboxes have written to: noted in memory, written in batches, bounded, forgotten."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.directory.correspondents import MAX_PENDING, Notebook
from postern.directory.store import correspondents as module
from postern.directory.store.correspondents import KEEP_S, CorrespondentStore
from postern.mail.address import Address

WANG, LI = "01WANG", "01LI"
CHEN = Address("Chen", "tea.example")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CorrespondentStore]:
    opened = CorrespondentStore.open(tmp_path)
    opened.prepare()
    yield opened
    opened.close()


def wrote(store: CorrespondentStore, mailbox: str, *to: Address, at: float = 1.0) -> None:
    notebook = Notebook()
    for address in to:
        notebook.wrote(mailbox, address, at)
    store.write(notebook.take())


def test_who_was_written_to_is_known_to_that_mailbox_alone(store: CorrespondentStore) -> None:
    wrote(store, WANG, CHEN)
    assert store.knows(WANG, Address("cHEN", "tea.example"))
    assert not store.knows(LI, CHEN)
    assert not store.knows(WANG, Address("chen", "shop.tea.example"))


def test_a_batch_adds_to_what_is_there(store: CorrespondentStore) -> None:
    wrote(store, WANG, CHEN, at=10.0)
    notebook = Notebook()
    notebook.wrote(WANG, CHEN, 20.0)
    notebook.wrote(WANG, CHEN, 30.0)
    notebook.reached(WANG, CHEN, 31.0)
    store.write(notebook.take())
    found = store.find(WANG, CHEN)
    assert found is not None
    assert (found.address, found.first_at, found.last_at) == (
        Address("chen", "tea.example"), 10.0, 30.0,
    )  # fmt: skip
    assert (found.times, found.delivered_at) == (3, 31.0)
    assert notebook.take() == {}


def test_to_reach_somebody_makes_nobody_known(store: CorrespondentStore) -> None:
    notebook = Notebook()
    notebook.reached(WANG, CHEN, 5.0)
    store.write(notebook.take())
    assert not store.knows(WANG, CHEN)


def test_what_could_not_be_written_is_written_with_what_came_since(
    store: CorrespondentStore,
) -> None:
    notebook = Notebook()
    other = Address("ann", "tea.example")
    notebook.wrote(WANG, CHEN, 1.0)
    taken = notebook.take()
    notebook.wrote(WANG, other, 2.0)
    notebook.put_back(taken)
    store.write(notebook.take())
    assert store.knows(WANG, CHEN)
    assert store.knows(WANG, other)


def test_the_notebook_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_PENDING <= 20_000
    monkeypatch.setattr("postern.directory.correspondents.MAX_PENDING", 3)
    notebook = Notebook()
    for n in range(5):
        notebook.wrote(WANG, Address(f"u{n}", "tea.example"), 1.0)
        notebook.reached(WANG, Address(f"v{n}", "tea.example"), 1.0)
    taken = notebook.take()
    assert len(taken) == 3
    notebook.wrote(WANG, CHEN, 2.0)
    notebook.put_back(taken)
    assert len(notebook.take()) == 3


def test_a_mailbox_that_knows_too_many_forgets_the_one_written_to_longest_ago(
    store: CorrespondentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OF_A_MAILBOX", 3)
    wrote(store, LI, Address("u0", "tea.example"), at=0.0)
    for n in range(4):
        wrote(store, WANG, Address(f"u{n}", "tea.example"), at=float(n))
    wrote(store, WANG, Address("u1", "tea.example"), at=9.0)
    wrote(store, WANG, Address("u5", "tea.example"), at=10.0)
    kept = [found.address.local for found in store.of_mailbox(WANG, 10)]
    assert kept == ["u5", "u1", "u3"]
    assert store.knows(LI, Address("u0", "tea.example"))


def test_whom_nobody_wrote_to_for_two_years_is_forgotten(
    store: CorrespondentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEPT_AT_ONCE", 2)
    now = KEEP_S + 100.0
    wrote(store, WANG, *(Address(f"old{n}", "tea.example") for n in range(5)), at=99.0)
    wrote(store, WANG, CHEN, at=101.0)
    store.sweep(now)
    assert [found.address.local for found in store.of_mailbox(WANG, 10)] == ["chen"]


def test_one_can_be_forgotten_by_hand(store: CorrespondentStore) -> None:
    wrote(store, WANG, CHEN)
    assert store.forget(WANG, CHEN)
    assert not store.forget(WANG, CHEN)
    assert not store.knows(WANG, CHEN)


def test_those_reached_at_one_domain_come_the_latest_first(store: CorrespondentStore) -> None:
    notebook = Notebook()
    for n, (local, domain) in enumerate(
        (("a", "tea.example"), ("b", "tea.example"), ("c", "other.example"), ("d", "tea.example"))
    ):
        notebook.wrote(WANG, Address(local, domain), float(n))
        if local != "d":
            notebook.reached(WANG, Address(local, domain), float(n))
    store.write(notebook.take())
    found = store.reached_at(WANG, "tea.example", 10)
    assert [one.address.local for one in found] == ["b", "a"]


def write_many(folder: str, mailbox: str) -> None:
    store = CorrespondentStore.open(Path(folder))
    store.prepare()
    for n in range(30):
        wrote(store, mailbox, Address(f"u{n}", "tea.example"), CHEN, at=float(n))
    store.close()


def test_workers_write_beside_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=write_many, args=(str(tmp_path), name)) for name in (WANG, LI, WANG)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    store = CorrespondentStore.open(tmp_path)
    found = store.find(WANG, CHEN)
    assert found is not None
    assert found.times == 60
    assert len(store.of_mailbox(LI, 100)) == 31
    store.close()
