"""How much a Maildir holds: by its account where that can be believed, else by its messages."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from tests.peers.dovecot import dovecot

from postern.delivery.maildir_store import Folder, MaildirStore
from postern.delivery.maildir_usage import OLD_S, MaildirUsage
from postern.runtime.clock import FakeClock, SystemClock

HOME = ("here.test", "bob")
GIB = 1 << 30


class Bob:
    """One mailbox, and whoever measures it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.maildir = root / "here.test" / "bob" / "Maildir"
        self.account = self.maildir / "maildirsize"
        self.usage = MaildirUsage(root, SystemClock())
        self.store = MaildirStore(root, "mx.here.test", SystemClock())

    def deliver(self, octets: int, folder: Folder = Folder.INBOX) -> Path:
        draft = self.store.begin(HOME, folder)
        draft.write(b"x" * octets)
        name = draft.keep()
        draft.close()
        return self.maildir / folder.value / "new" / name

    def used(self, quota: int = GIB, more: int = 1) -> int:
        return self.usage.used_bytes(HOME, quota, more)

    def settle(self) -> None:
        """As if all of it had been a while ago: no folder is younger than the account."""
        for place in self.maildir.rglob("*"):
            if place.name in {"new", "cur"}:
                os.utime(place, (1, 1))


@pytest.fixture
def bob(tmp_path: Path) -> Bob:
    return Bob(tmp_path / "mail")


def test_what_is_not_there_holds_nothing_and_stays_away(bob: Bob) -> None:
    assert bob.used() == 0
    assert not bob.root.exists()


def test_the_first_look_counts_every_folder_and_begins_an_account(bob: Bob) -> None:
    bob.deliver(1000)
    bob.deliver(500, Folder.JUNK)
    (bob.maildir / "cur" / "1.M1.host:2,S").write_bytes(b"y" * 77)  # a name that tells no size
    assert not bob.account.exists()
    assert bob.used(GIB) == 1577
    assert bob.account.read_text() == f"{GIB}S\n1577 3\n"


def test_each_delivery_is_added_to_the_account_and_nothing_is_counted_again(bob: Bob) -> None:
    bob.deliver(1000)
    bob.used()
    bob.deliver(20)
    bob.deliver(3, Folder.JUNK)
    assert bob.account.read_text().splitlines()[2:] == ["20 1", "3 1"]
    (bob.maildir / "cur" / "unseen").write_bytes(b"z" * 5000)
    assert bob.used() == 1023  # it fits by the account, so nobody looked


def test_without_an_account_a_delivery_does_not_begin_one(bob: Bob) -> None:
    bob.deliver(1000)
    assert not bob.account.exists()


def test_what_its_owner_removed_is_noticed_where_it_would_be_full(bob: Bob) -> None:
    bob.deliver(600)
    path = bob.deliver(600)
    assert bob.used(1000) == 1200
    path.unlink()
    assert bob.used(1000) == 600
    assert bob.account.read_text() == "1000S\n600 1\n"


def test_a_full_mailbox_nobody_touched_is_not_counted_again(bob: Bob) -> None:
    bob.deliver(1200)
    assert bob.used(1000) == 1200
    bob.settle()
    bob.account.write_text("1000S\n1300 1\n")
    assert bob.used(1000) == 1300


def test_an_old_account_of_a_full_mailbox_is_not_believed(bob: Bob) -> None:
    bob.deliver(1200)
    bob.used(1000)
    bob.account.write_text("1000S\n1200 1\n700 1\n")
    bob.settle()
    later = FakeClock(bob.account.stat().st_mtime + OLD_S + 1)
    assert MaildirUsage(bob.root, later).used_bytes(HOME, 1000, 1) == 1200


def test_a_crash_between_message_and_account_heals(bob: Bob) -> None:
    bob.deliver(400)
    bob.used(1000)
    before = bob.account.read_text()
    bob.deliver(500)
    bob.account.write_text(before)  # the power went before the line was on disk
    assert bob.used(1000, 1) == 400  # too little, and nobody is turned away for it
    bob.deliver(300)
    later = FakeClock(bob.account.stat().st_mtime + OLD_S + 1)
    healed = MaildirUsage(bob.root, later)
    assert healed.used_bytes(HOME, 1000, 301) == 1200  # it seems full: counted, and right again


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"nonsense\n1 1\n",
        b"1000S\n12",
        b"1000S\nmany few\n",
        b"1000S\n-5 -1\n",
        b"1000S\n" + b"1 1\n" * 2000,
        b"\xff\xfe\n",
    ],
)
def test_an_account_that_cannot_be_read_is_made_anew(bob: Bob, damage: bytes) -> None:
    bob.deliver(100)
    bob.account.write_bytes(damage)
    assert bob.used(1000) == 100
    assert bob.account.read_text() == "1000S\n100 1\n"


def test_a_removal_that_dovecot_noted_counts(bob: Bob) -> None:
    bob.deliver(100)
    bob.account.write_text("1000S,50C\n900 9\n-300 -3\n")
    assert bob.used(1000) == 600


def test_a_domain_holds_what_its_mailboxes_hold(bob: Bob) -> None:
    bob.deliver(100)
    other = bob.root / "here.test" / "li" / "Maildir" / "cur"
    other.mkdir(parents=True)
    (other / "1.a,S=250").write_bytes(b"")
    (bob.root / "here.test" / "notes").write_text("no mailbox")
    (bob.root / "else.test" / "x" / "Maildir" / "new").mkdir(parents=True)
    assert bob.usage.used_by_domain("here.test", 1000, 1) == 350
    (other / "1.a,S=250").unlink()
    assert bob.usage.used_by_domain("here.test", 1000, 1) == 350  # it fits, so nobody looked
    assert bob.usage.used_by_domain("here.test", 300, 1) == 100
    assert bob.usage.used_by_domain("none.test", 300, 1) == 0


def test_a_domains_count_leaves_a_mailboxes_own_limit(bob: Bob) -> None:
    path = bob.deliver(100)
    bob.used(1000)
    path.unlink()
    assert bob.usage.used_by_domain("here.test", 50, 1) == 0
    assert bob.account.read_text() == "1000S\n0 0\n"


def test_who_only_looks_writes_nothing(bob: Bob) -> None:
    bob.deliver(100)
    assert bob.usage.look(HOME, count_all=False) is None
    assert bob.usage.look(HOME, count_all=True) == 100
    assert not bob.account.exists()
    bob.used()
    assert bob.usage.look(HOME, count_all=False) == 100


def test_a_link_is_not_followed(bob: Bob, tmp_path: Path) -> None:
    bob.deliver(100)
    (tmp_path / "secret").write_text("1000S\n1 1\n")
    bob.account.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        bob.used()


def test_a_fifo_in_place_of_the_account_holds_nobody_up(bob: Bob) -> None:
    path = bob.deliver(100)
    os.mkfifo(bob.account)
    with ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(bob.deliver, 20).result(5)  # noted nowhere
            assert thread.submit(bob.usage.look, HOME, count_all=False).result(5) is None
            assert thread.submit(bob.used).result(5) == 120
        finally:
            _unblock(bob.account)
    assert bob.account.read_text() == f"{GIB}S\n120 2\n"  # a file again
    assert path.exists()


def test_nothing_is_written_into_a_fifo_that_somebody_reads(bob: Bob) -> None:
    bob.deliver(100)
    os.mkfifo(bob.account)
    reader = os.open(bob.account, os.O_RDONLY | os.O_NONBLOCK)
    try:
        bob.deliver(20)
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)


def test_a_fifo_in_the_way_of_a_new_account_is_removed(
    bob: Bob, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob.deliver(100)
    monkeypatch.setattr("postern.delivery.maildir_usage._temporary", count(7))
    in_the_way = bob.maildir / f"maildirsize.{os.getpid()}.7"
    os.mkfifo(in_the_way)
    with ThreadPoolExecutor(1) as thread:
        try:
            with pytest.raises(OSError, match="No such device"):
                thread.submit(bob.used).result(5)
        finally:
            _unblock(in_the_way)
    in_the_way.unlink(missing_ok=True)
    assert bob.used() == 100


def _unblock(path: Path) -> None:
    """Let go of a thread that waits for the other end of a FIFO, so that the test can end."""
    if path.is_fifo():
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


@pytest.mark.peers("dovecot")
def test_dovecot_and_postern_keep_one_account() -> None:
    limit = 100 * 1024
    with dovecot(quota="100k") as peer:
        mail = peer.folder / "mail"
        store = MaildirStore(mail, "mx.peer.test", SystemClock())
        usage = MaildirUsage(mail, SystemClock())
        home = ("peer.test", "bob")
        draft = store.begin(home)
        draft.write(b"Subject: ours\r\n\r\n" + b"x" * 30_000 + b"\r\n")
        draft.keep()
        draft.close()
        ours = usage.used_bytes(home, limit, 1)
        account = mail / "peer.test" / "bob" / "Maildir" / "maildirsize"
        before = account.read_bytes()
        for path in [mail / "peer.test", *(mail / "peer.test").rglob("*")]:
            shutil.chown(path, "nobody")  # as if we ran as the same user

        assert peer.deliver("bob@peer.test", b"Subject: theirs\r\n\r\n" + b"y" * 20_000 + b"\r\n")
        assert account.read_bytes().startswith(before)  # it believed ours, and added a line
        both = usage.used_bytes(home, limit, 1)
        assert ours + 20_000 < both < ours + 21_000

        assert len(peer.messages("bob@peer.test")) == 2
        peer.empty("bob@peer.test")
        assert usage.used_bytes(home, limit, 1) == 0
        assert account.read_bytes().startswith(before)
