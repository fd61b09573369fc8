"""One message that the disk does not give keeps no other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.spool.mail import spool_of, waiting

from postern.runtime.clock import FakeClock
from postern.spool.message import Message
from postern.spool.spool import Spool
from postern.spool.store.claiming import AGAIN_S
from postern.spool.store.file import SpoolFile

GROUP = "there.test"
LIMIT = 4
HIDDEN = (*range(1, 7), 99)
"""More than one claim has room for, and due first."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def spool(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Spool]:
    spool = spool_of(tmp_path, clock=clock)
    await spool.open()
    for number in range(1, 13):
        await spool.accept_wait(waiting(number, clock.now() - 100.0 + number, GROUP))
    load = SpoolFile.load

    def read(self: SpoolFile, number: int) -> Message | None:
        if number in HIDDEN:
            raise OSError(5, "Input/output error")
        return load(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "load", read)
        yield spool
    await spool.close()


async def test_what_is_due_behind_it_is_claimed(spool: Spool, clock: FakeClock) -> None:
    claim = await spool.claim(GROUP, LIMIT, ())
    assert [number for number, _ in claim.due] == [7, 8, 9, 10]
    assert [message.id for message in claim.loaded] == [7, 8, 9, 10]
    assert claim.next_due == clock.now() + AGAIN_S  # it is looked for again


async def test_a_walk_goes_on_behind_it(spool: Spool) -> None:
    claim = await spool.claim(GROUP, LIMIT, (), (-1.0, -1, -1))
    assert [number for number, _ in claim.due] == [7, 8, 9, 10]
    assert claim.place is not None
    assert claim.place[1] == 10


async def test_a_disk_that_gives_nothing_at_all_is_told(spool: Spool) -> None:
    await spool.accept_wait(waiting(99, 0.0, "other.test"))
    with pytest.raises(OSError, match="Input/output"):
        await spool.claim("other.test", LIMIT, ())


async def test_others_leave_by_their_expiry(spool: Spool, clock: FakeClock) -> None:
    clock.advance(400 * 86_400.0)
    found, _ = await spool.expired((-1, -1), 100)
    assert [message.id for message in found] == list(range(7, 13))
