"""An account is frozen once, whoever asks for it, and what is held of it goes when that is over."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.queue.stage import Stage
from tests.reception.rig import make_site
from tests.spool.mail import message, until

from postern.directory.freezes import Freeze
from postern.directory.reader import Directory
from postern.directory.store.freezes import FreezeStore
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.mail.address import Address
from postern.notices.settings import NoticeSettings
from postern.queue.commands import Commands
from postern.queue.freezing import Freezer, thaw_lapsed
from postern.queue.request import Action, MailFilter, Request
from postern.queue.store.requests import RequestStore
from postern.runtime.clock import FakeClock
from postern.runtime.database.watch import ChangeWatch
from postern.spool.message import DeliveryState

WANG = Address("wang", "harbour.example")
MONTH_S = 30 * 86_400.0


class Numbers:
    """Counts from a hundred."""

    last = 100

    def next(self) -> tuple[int, str]:
        self.last += 1
        return self.last, f"PT-{self.last}"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock) -> Iterator[SiteStore]:
    make_site(tmp_path)
    site = SiteStore.open(tmp_path, clock, "test")
    yield site
    site.close()


@pytest_asyncio.fixture
async def stage(tmp_path: Path, site: SiteStore, clock: FakeClock) -> AsyncIterator[Stage]:
    stage = await Stage(tmp_path, clock).open()
    yield stage
    await stage.close()


def freezes(site: SiteStore, clock: FakeClock) -> FreezeStore:
    return FreezeStore(site.database, clock, "test")


def requests(site: SiteStore) -> list[Request]:
    return RequestStore(site.database).unanswered(0, 0.0)


async def test_people_are_told_once_of_an_account_that_several_messages_wanted_frozen(
    site: SiteStore, stage: Stage, tmp_path: Path
) -> None:
    site.add_alias("postmaster", ["chen@harbour.example"])
    watch = ChangeWatch(tmp_path / FILE_NAME)
    freezer = Freezer(
        freezes(site, stage.clock),
        RequestStore(site.database),
        stage.queue,
        stage.spool,
        Directory(site.database, watch),
        Numbers(),
        stage.clock,
        NoticeSettings("mx.harbour.example"),
        86_400.0,
    )
    for _ in range(2):  # the second was on its way when the first had it frozen
        freezer.freeze(WANG, "too many")
        freezer.freeze(WANG, "too many")
        await until(lambda: not freezer._tasks, "the account to be frozen")
        await stage.settle()
    assert [to for _, to in stage.courier.tries] == [str(WANG), "chen@harbour.example"]
    assert {request.action for request in requests(site)} == {Action.HOLD}
    watch.close()


async def test_what_is_held_of_an_account_goes_when_its_freeze_is_over_by_itself(
    site: SiteStore, stage: Stage, tmp_path: Path
) -> None:
    store, asked = freezes(site, stage.clock), RequestStore(site.database)
    made = message(1, "ann@there.test")
    made.conversation.account = str(WANG)
    made.deliveries[0].state = DeliveryState.HELD
    await stage.accept(made)
    assert isinstance(store.freeze(str(WANG), lasts_s=60.0, reason="a minute"), Freeze)
    thaw_lapsed(store, asked, stage.clock)
    assert requests(site) == []
    stage.clock.advance(61.0)
    thaw_lapsed(store, asked, stage.clock)
    thaw_lapsed(store, asked, stage.clock)
    (release,) = requests(site)
    assert (release.action, release.filter) == (Action.RELEASE, MailFilter(account=str(WANG)))
    watch = ChangeWatch(tmp_path / FILE_NAME)
    await Commands(site.database, watch, 0, stage.queue, stage.spool, stage.clock).poll()
    await stage.settle()
    assert stage.courier.tries == [(1, "ann@there.test")]
    assert [(one.noun, one.action) for one in site.changes()][-1] == ("freeze", "ended")
    watch.close()


def test_what_somebody_froze_once_more_stays_held(site: SiteStore, clock: FakeClock) -> None:
    store, asked = freezes(site, clock), RequestStore(site.database)
    store.freeze(str(WANG), lasts_s=60.0, reason="a minute")
    clock.advance(61.0)
    store.freeze(str(WANG), lasts_s=MONTH_S, reason="a month")
    thaw_lapsed(store, asked, clock)
    assert requests(site) == []
    assert [freeze.label for freeze in store.all()] == ["F2"]
    assert store.lapsed() == []
