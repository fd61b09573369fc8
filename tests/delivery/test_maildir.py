"""A message in a Maildir: whole, durable, once, and never outside the store."""

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postern.delivery.job import Job, JobResult
from postern.delivery.maildir import MaildirDelivery
from postern.delivery.maildir_store import Folder, MaildirStore, parse_home
from postern.mail.address import Address
from postern.mail.content import BytesContent, Content
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Cause, Deferred, Delivered
from postern.mail.route import MaildirRoute
from postern.runtime.clock import FakeClock, SystemClock

BODY = b"Subject: hello\r\n\r\none\r\n.two\r\n"
ROUTE = MaildirRoute("local", "here.test/bob")
ANN = Address("ann", "there.test")
HEAD = b"Return-Path: <ann@there.test>\nDelivered-To: bob@here.test\n"


@dataclass(frozen=True)
class Pieces:
    """Content that is streamed in the given pieces, and may fail after them."""

    pieces: tuple[bytes, ...]
    error: OSError | None = None

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def in_memory(self) -> None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.error is not None:
            raise self.error


def job(content: Content | None = None, sender: Address | None = ANN) -> Job:
    recipient = Recipient(Address("bob", "here.test"))
    return Job("PT-1", Sender(sender), (recipient,), content or BytesContent(BODY))


def maildir(root: Path) -> Path:
    return root / "here.test" / "bob" / "Maildir"


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


async def deliver(root: Path, made: Job | None = None, route: MaildirRoute = ROUTE) -> JobResult:
    delivery = MaildirDelivery(root, "mx.here.test", SystemClock())
    try:
        return await delivery.deliver(route, made or job())
    finally:
        await delivery.close(5)


def deferred(result: JobResult) -> Deferred:
    (outcome,) = result.outcomes
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.LOCAL
    return outcome


async def test_message_lands_in_new_with_its_envelope_on_top(tmp_path: Path) -> None:
    result = await deliver(tmp_path / "mail")
    (path,) = files(tmp_path)
    assert path.parent == maildir(tmp_path / "mail") / "new"
    assert path.read_bytes() == HEAD + BODY.replace(b"\r\n", b"\n")
    assert isinstance(result.outcomes[0], Delivered)
    (record,) = result.attempts
    assert (record.egress, record.outcome, record.recipients) == ("maildir", "delivered", (0,))
    assert {p.name for p in maildir(tmp_path / "mail").iterdir()} == {"tmp", "new", "cur"}


async def test_name_is_unique_says_its_size_and_can_be_read_by_dovecot(tmp_path: Path) -> None:
    delivery = MaildirDelivery(tmp_path, "odd/host:name", FakeClock(1_750_000_000.25))
    await asyncio.gather(*[delivery.deliver(ROUTE, job()) for _ in range(50)])
    await delivery.close(5)
    names = [path.name for path in files(tmp_path)]
    assert len(set(names)) == 50
    pattern = r"1750000000\.M250000P\d+Q\d+\.odd\\057host\\072name,S=(\d+)"
    sizes = {int(match[1]) for name in names if (match := re.fullmatch(pattern, name))}
    assert sizes == {len(HEAD) + len(BODY.replace(b"\r\n", b"\n"))}


async def test_null_sender_has_an_empty_return_path(tmp_path: Path) -> None:
    await deliver(tmp_path, job(sender=None))
    assert files(tmp_path)[0].read_bytes().startswith(b"Return-Path: <>\n")


async def test_streamed_message_is_the_same_wherever_it_was_cut(tmp_path: Path) -> None:
    for cut in range(len(BODY)):
        await deliver(tmp_path / str(cut), job(Pieces((BODY[:cut], BODY[cut:]))))
    assert {path.read_bytes() for path in files(tmp_path)} == {
        HEAD + BODY.replace(b"\r\n", b"\n"),
    }


async def test_message_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    broken = Pieces((BODY,), OSError(errno.EIO, "Input/output error"))
    deferred(await deliver(tmp_path, job(broken)))
    assert files(tmp_path) == []


async def test_each_recipient_of_one_mailbox_gets_a_copy(tmp_path: Path) -> None:
    plus = Recipient(Address("bob+lists", "here.test"))
    both = Job("PT-1", Sender(None), (*job().recipients, plus), BytesContent(BODY))
    result = await deliver(tmp_path, both)
    assert [type(outcome) for outcome in result.outcomes] == [Delivered, Delivered]
    found = {path.read_bytes().split(b"\n")[1] for path in files(tmp_path)}
    assert found == {b"Delivered-To: bob@here.test", b"Delivered-To: bob+lists@here.test"}


async def test_controls_in_an_address_cannot_add_a_header(tmp_path: Path) -> None:
    await deliver(tmp_path, job(sender=Address("x>\r\nBcc: eve", "there.test")))
    assert b"\nBcc" not in files(tmp_path)[0].read_bytes()


@pytest.mark.parametrize(
    "home",
    ["", "here.test", "/etc", "../bob", "here.test/..", "here.test/./bob", "here.test/a/b",
     "here.test//bob", "./bob", "here.test/", "here.test/b\0b", "a/" + "x" * 256],
)  # fmt: skip
async def test_home_that_leads_elsewhere_is_not_written_to(tmp_path: Path, home: str) -> None:
    assert parse_home(home) is None
    deferred(await deliver(tmp_path / "mail", route=MaildirRoute("local", home)))
    assert files(tmp_path) == []


@pytest.mark.parametrize("link", ["here.test", "here.test/bob", "here.test/bob/Maildir",
                                  "here.test/bob/Maildir/new"])  # fmt: skip
async def test_symbolic_links_are_not_followed(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    (outside / "bob" / "Maildir" / "new").mkdir(parents=True)
    place = tmp_path / "mail" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    outcome = deferred(await deliver(tmp_path / "mail"))
    assert "in the way" in outcome.reply.text
    assert files(outside) == []


@pytest.mark.parametrize(("number", "words"), [
    (errno.ENOSPC, "disk with the mailboxes is full"),
    (errno.EROFS, "read-only"),
    (errno.EACCES, "may not write"),
    (errno.ENOMEM, "could not be written"),
])  # fmt: skip
async def test_disk_trouble_defers_in_a_plain_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("postern.delivery.maildir_store.os.fsync", fail)
    (maildir(tmp_path)).mkdir(parents=True)
    for name in ("tmp", "new", "cur"):
        (maildir(tmp_path) / name).mkdir()
    outcome = deferred(await deliver(tmp_path))
    assert words in outcome.reply.text
    assert outcome.remote == ""
    assert files(tmp_path) == []


async def test_message_is_synced_before_it_is_visible_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(tmp_path)
    for path in files(tmp_path):
        path.unlink()
    seen: list[int] = []
    real = os.fsync

    def watch(handle: int) -> None:
        seen.append(len(list((maildir(tmp_path) / "new").iterdir())))
        real(handle)

    monkeypatch.setattr("postern.delivery.maildir_store.os.fsync", watch)
    await deliver(tmp_path)
    assert seen == [0, 1]


async def test_every_new_folder_is_synced_into_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def watch(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", watch)
    await deliver(tmp_path / "data" / "mail")
    here = tmp_path / "data" / "mail" / "here.test"
    parents = (tmp_path, tmp_path / "data", here.parent, here, here / "bob", maildir(here.parent))
    assert {str(parent) for parent in parents} <= set(synced)


async def test_leftovers_of_dead_deliveries_go_after_a_day_and_a_half(tmp_path: Path) -> None:
    clock = FakeClock()
    delivery = MaildirDelivery(tmp_path, "mx", clock)
    await delivery.deliver(ROUTE, job())
    old, young = maildir(tmp_path) / "tmp" / "old", maildir(tmp_path) / "tmp" / "young"
    for path, age_s in ((old, 37 * 3600), (young, 35 * 3600)):
        path.write_bytes(b"half")
        os.utime(path, (clock.now() - age_s, clock.now() - age_s))
    await delivery.deliver(ROUTE, job())
    assert old.exists()  # looked at a moment ago; not again for a day
    clock.advance(25 * 3600)
    os.utime(young, (clock.now() - 35 * 3600,) * 2)
    await delivery.deliver(ROUTE, job())
    await delivery.close(5)
    assert not old.exists()
    assert young.exists()


async def test_junk_goes_to_its_own_maildir_folder(tmp_path: Path) -> None:
    delivery = MaildirDelivery(tmp_path, "mx", SystemClock())
    await delivery.deliver(ROUTE, job(), Folder.JUNK)
    await delivery.close(5)
    junk = maildir(tmp_path) / ".Junk"
    assert len(list((junk / "new").iterdir())) == 1
    assert (junk / "maildirfolder").exists()


def test_store_leaves_no_descriptor_open(tmp_path: Path) -> None:
    store = MaildirStore(tmp_path, "mx", SystemClock())
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        draft = store.begin(("here.test", "bob"))
        draft.write(b"x")
        draft.keep()
        draft.close()
    (maildir(tmp_path) / "new").rename(tmp_path / "aside")
    (maildir(tmp_path) / "new").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        store.begin(("here.test", "bob"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
