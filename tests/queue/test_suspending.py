"""Groups that people suspended: on disk, and taken up by workers."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.queue.stage import Stage
from tests.spool.mail import message, until

from postern.directory.model import Refused
from postern.measures.temporary import Kind
from postern.queue.commands import Commands
from postern.queue.request import Action, MailFilter, Request
from postern.queue.store import suspensions
from postern.queue.store.requests import RequestStore
from postern.queue.store.suspensions import StoredSuspension, SuspensionStore
from postern.runtime.clock import FakeClock
from postern.runtime.database.engine import Database
from postern.runtime.database.migrate import migrate
from postern.runtime.database.watch import ChangeWatch


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "site.db")
    migrate(database)
    yield database
    database.close()


def test_suspensions_are_as_the_migration_makes_them(database: Database) -> None:
    def is_ours(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in suspensions.metadata.tables

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        differences = compare_metadata(context, suspensions.metadata)
    # The reference to measures' table is the migration's alone: rooms' metadata are apart.
    assert [entry for entry in differences if entry[0] != "remove_fk"] == []


def test_a_suspension_is_found_again_with_reason_owner_and_end(database: Database) -> None:
    clock = FakeClock()
    store = SuspensionStore(database, clock, "cli:wang")
    made, before = suspended(store.add(" Google.com ", lasts_s=7200.0, reason="ticket 812"))
    assert before is None
    assert (made.label, made.group) == ("Q1", "google.com")
    temporary = made.temporary
    assert (temporary.kind, temporary.reason, temporary.author, temporary.until) == (
        Kind.SUSPENSION, "ticket 812", "cli:wang", clock.now() + 7200.0,
    )  # fmt: skip
    assert store.all() == [made]
    assert store.active()["google.com"].label == "Q1"


async def test_a_relay_is_suspended_by_its_own_name(database: Database, tmp_path: Path) -> None:
    """Names of egresses may have capitals; those of all other groups have none."""
    clock = FakeClock()
    store = SuspensionStore(database, clock, "cli:wang")
    made, _ = suspended(store.add("relay:US1", lasts_s=None, reason="ticket 812"))
    stage = await Stage(tmp_path).open()
    stage.queue.gates.suspend(store.active())
    assert stage.queue.groups["relay:US1"].suspension is not None
    await stage.close()
    assert made.group == "relay:US1"
    assert store.end("relay:US1") is not None
    assert store.active() == {}


def test_a_suspension_takes_the_place_of_the_one_before_and_ends(database: Database) -> None:
    clock = FakeClock()
    store = SuspensionStore(database, clock, "cli:wang")
    first, _ = suspended(store.add("qq.com", lasts_s=None, reason="a"))
    second, before = suspended(store.add("qq.com", lasts_s=60.0, reason="b"))
    assert before is not None
    assert (before.label, second.label) == (first.label, "Q2")
    clock.advance(60.0)
    assert store.active() == {}
    assert store.end("qq.com") is None
    suspended(store.add("qq.com", lasts_s=None, reason="c"))
    ended = store.end("q3")
    assert ended is not None
    assert ended.temporary.ended_by == "cli:wang"
    assert store.active() == {}


@pytest.mark.parametrize(("group", "reason"), [("", "x"), ("a\nb", "x"), ("qq.com", " ")])
def test_a_suspension_needs_a_group_and_a_reason(
    database: Database, group: str, reason: str
) -> None:
    store = SuspensionStore(database, FakeClock(), "cli:wang")
    made = store.add(group, lasts_s=None, reason=reason)
    assert isinstance(made, Refused)


async def test_workers_take_up_a_suspension_and_its_end_when_they_are_told(
    database: Database, tmp_path: Path
) -> None:
    stage = await Stage(tmp_path).open()
    store = SuspensionStore(database, stage.clock, "cli:wang")
    watch = ChangeWatch(tmp_path / "site.db")
    commands = Commands(database, watch, 0, stage.queue, stage.spool, stage.clock)
    suspended(store.add("there.test", lasts_s=None, reason="ticket 812"))
    requests = RequestStore(database)
    word = Request(0, stage.clock.now(), "cli:wang", Action.SUSPEND, MailFilter(group="there.test"))
    asked = requests.add(word)
    await commands.poll()
    assert [answer.tally.is_done for answer in requests.answers(asked)] == [True]
    await stage.accept(message(1, "li@there.test"))
    await stage.settle()
    assert stage.courier.tries == []
    assert store.end("there.test") is not None
    requests.add(msgspec.structs.replace(word, action=Action.RESUME))
    await commands.poll()
    await until(lambda: stage.courier.count("li@there.test") == 1)
    await stage.close()


def suspended(
    made: "tuple[StoredSuspension, StoredSuspension | None] | Refused",
) -> "tuple[StoredSuspension, StoredSuspension | None]":
    assert not isinstance(made, Refused), made
    return made
