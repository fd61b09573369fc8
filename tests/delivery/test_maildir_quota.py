"""Whether a message fits into a Maildir, as RCPT asks: from memory, or a thread, in its time."""

import asyncio
import threading
from pathlib import Path

import pytest

from postern.delivery.maildir_quota import BELIEVED_S, MaildirQuota
from postern.delivery.maildir_usage import MaildirUsage
from postern.delivery.room import Room, room_in
from postern.directory.resolution import Store
from postern.mail.address import Address
from postern.runtime.clock import FakeClock

MAILDIR = "here.test/bob"


def bob(quota: int | None, domain: int | None = None) -> Store:
    return Store(Address("bob", "here.test"), MAILDIR, quota, domain)


def put(root: Path, octets: int, home: str = MAILDIR) -> Path:
    folder = root / home / "Maildir" / "new"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.M,S={octets}"
    path.write_bytes(b"")
    return path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Reads:
    """Counts what is read of the mailboxes, and may make it wait."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self._usage = MaildirUsage(root, clock)
        self.gate = threading.Event()
        self.gate.set()
        self.count = 0

    def used_bytes(self, home: tuple[str, str], quota_bytes: int, more_bytes: int) -> int:
        self.count += 1
        assert self.gate.wait(30)
        return self._usage.used_bytes(home, quota_bytes, more_bytes)

    def used_by_domain(self, domain: str, quota_bytes: int, more_bytes: int) -> int:
        return self._usage.used_by_domain(domain, quota_bytes, more_bytes)


@pytest.fixture
def reads(tmp_path: Path, clock: FakeClock) -> Reads:
    return Reads(tmp_path, clock)


@pytest.fixture
def quota(reads: Reads, clock: FakeClock) -> MaildirQuota:
    return MaildirQuota(reads, clock)


async def room(quota: MaildirQuota, store: Store, size: int = 0) -> Room:
    found = quota.room(store, size)
    return found if isinstance(found, Room) else await found


@pytest.mark.parametrize(
    ("used", "size", "expected"),
    [
        (0, 1000, Room.ENOUGH),
        (0, 1001, Room.NEVER),
        (999, 0, Room.ENOUGH),
        (1000, 0, Room.FULL),
        (900, 101, Room.FULL),
        (1000, 100, Room.FULL),
        (1000, 101, Room.OVERFULL),
        (1100, 0, Room.OVERFULL),
    ],
)
def test_room_in(used: int, size: int, expected: Room) -> None:
    assert room_in(used, 1000, size) is expected


async def test_what_was_read_is_believed_for_its_time(
    quota: MaildirQuota, clock: FakeClock, tmp_path: Path
) -> None:
    path = put(tmp_path, 1000)
    assert await room(quota, bob(1000)) is Room.FULL
    assert quota.room(bob(1000), 0) is Room.FULL  # at once, from memory
    path.unlink()
    assert quota.room(bob(1000), 0) is Room.FULL
    clock.advance(BELIEVED_S)
    assert await room(quota, bob(1000)) is Room.ENOUGH


async def test_a_mailbox_without_a_limit_is_not_looked_at(
    quota: MaildirQuota, tmp_path: Path
) -> None:
    put(tmp_path, 1000)
    assert quota.room(bob(None), 10**12) is Room.ENOUGH
    assert not (tmp_path / MAILDIR / "Maildir" / "maildirsize").exists()


async def test_the_domain_counts_all_its_mailboxes(quota: MaildirQuota, tmp_path: Path) -> None:
    put(tmp_path, 600)
    put(tmp_path, 500, "here.test/li")
    assert await room(quota, bob(1000, 5000)) is Room.ENOUGH
    assert await room(quota, bob(1000, 1100)) is Room.FULL
    assert await room(quota, bob(None, 1000)) is Room.OVERFULL


async def test_many_who_ask_at_once_are_answered_by_one_reading(
    quota: MaildirQuota, reads: Reads, tmp_path: Path
) -> None:
    put(tmp_path, 1000)
    rooms = await asyncio.gather(*(room(quota, bob(1000)) for _ in range(50)))
    assert set(rooms) == {Room.FULL}
    assert reads.count == 1


async def test_what_takes_too_long_is_unknown_and_learnt_for_the_next(
    quota: MaildirQuota, reads: Reads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, 1000)
    monkeypatch.setattr("postern.delivery.maildir_quota.WAIT_S", 0.01)
    reads.gate.clear()
    assert await room(quota, bob(1000)) is Room.UNKNOWN
    asked_again = asyncio.ensure_future(room(quota, bob(1000)))
    reads.gate.set()
    await asked_again

    async def is_learnt() -> None:
        while quota.room(bob(1000), 0) is not Room.FULL:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)

    await asyncio.wait_for(is_learnt(), 10)
    assert reads.count == 1


async def test_a_mailbox_that_cannot_be_read_is_unknown(
    quota: MaildirQuota, tmp_path: Path
) -> None:
    (tmp_path / "here.test").mkdir()
    (tmp_path / MAILDIR).symlink_to(tmp_path)
    assert await room(quota, bob(1000)) is Room.UNKNOWN


async def test_near_the_limit_every_message_is_measured_anew(
    quota: MaildirQuota, tmp_path: Path
) -> None:
    put(tmp_path, 500)
    assert await room(quota, bob(1000)) is Room.ENOUGH
    put(tmp_path, 300)
    assert quota.room(bob(1000), 100) is Room.ENOUGH  # from memory: far enough away
    account = tmp_path / MAILDIR / "Maildir" / "maildirsize"
    account.write_text("1000S\n500 1\n300 1\n")
    assert await room(quota, bob(1000), 410) is Room.OVERFULL


async def test_a_message_that_was_put_in_is_noticed_at_once(
    quota: MaildirQuota, tmp_path: Path
) -> None:
    assert await room(quota, bob(1000)) is Room.ENOUGH
    put(tmp_path, 1000)
    assert quota.room(bob(1000), 0) is Room.ENOUGH
    quota.forget(MAILDIR)
    assert await room(quota, bob(1000)) is Room.FULL
