"""Frozen accounts: made once, ended by a person or by their date, asked at every message."""

import pytest
from tests.directory.test_site import H, refusal

from postern.directory.freezes import Freeze, Frozen, nobody_frozen
from postern.directory.model import Domain, Mailbox, Problem
from postern.directory.store.freezes import FreezeStore
from postern.directory.store.site import SiteStore
from postern.mail.address import Address
from postern.runtime.clock import FakeClock
from postern.runtime.database.trouble import DatabaseTroubleError

WANG = Address("wang", H)


@pytest.fixture
def store(site: SiteStore, clock: FakeClock) -> FreezeStore:
    assert isinstance(site.add_domain(H), Domain)
    assert isinstance(site.add_mailbox(str(WANG)), Mailbox)
    return FreezeStore(site.database, clock, "cli:wang")


def test_freeze_holds_until_it_is_ended_and_is_in_the_change_log(
    store: FreezeStore, site: SiteStore, clock: FakeClock
) -> None:
    made = store.freeze(f"WANG@{H}", reason="ticket 812")
    assert isinstance(made, Freeze)
    assert (made.label, made.account, made.temporary.reason) == ("F1", WANG, "ticket 812")
    again = store.freeze(str(WANG), reason="another")
    assert again == made
    frozen = Frozen(store.all, clock)
    assert frozen.of(WANG) == made
    ended = store.thaw(str(WANG))
    assert isinstance(ended, Freeze)
    assert ended.temporary.ended_by == "cli:wang"
    assert frozen.of(WANG) == made  # until it is told
    frozen.forget()
    assert frozen.of(WANG) is None
    assert [change.noun for change in site.changes()][-2:] == ["freeze", "freeze"]


def test_freeze_ends_by_its_date_without_anybody_told(store: FreezeStore, clock: FakeClock) -> None:
    store.freeze(str(WANG), lasts_s=60.0, reason="a minute")
    frozen = Frozen(store.all, clock)
    assert frozen.of(WANG) is not None
    clock.advance(61.0)
    assert frozen.of(WANG) is None
    assert store.all() == []


def test_only_a_mailbox_can_be_frozen_and_only_a_frozen_one_thawed(store: FreezeStore) -> None:
    refusal(store.freeze(f"nobody@{H}", reason="x"), Problem.NOT_THERE)
    refusal(store.freeze(str(WANG), reason="two\nlines"), Problem.NOT_ALLOWED)
    assert "is not frozen" in refusal(store.thaw(str(WANG)), Problem.NOT_THERE)


def test_a_database_that_does_not_answer_freezes_nobody(clock: FakeClock) -> None:
    def broken() -> list[Freeze]:
        raise DatabaseTroubleError("disk I/O error")

    assert Frozen(broken, clock).of(WANG) is None
    assert nobody_frozen().of(WANG) is None


def test_while_the_database_does_not_answer_whoever_was_frozen_stays_so(
    store: FreezeStore, clock: FakeClock
) -> None:
    trouble: list[DatabaseTroubleError] = []
    thawed: list[Address] = []

    def read() -> list[Freeze]:
        if trouble:
            raise trouble[0]
        return store.all()

    store.freeze(str(WANG), reason="ticket 812")
    frozen = Frozen(read, clock, thawed.append)
    assert frozen.of(WANG) is not None
    store.thaw(str(WANG))
    trouble.append(DatabaseTroubleError("disk I/O error"))
    frozen.forget()
    assert frozen.of(WANG) is not None
    trouble.clear()
    assert frozen.of(WANG) is None  # it was asked again, though nothing changed since
    assert thawed == [WANG]
