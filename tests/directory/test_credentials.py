"""Logging in: right, wrong, unknown and overloaded are answered as they must be."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from postern.directory import passwords
from postern.directory.credentials import (
    REMEMBERED_S,
    Authenticator,
    BadCredentials,
    CouldntTell,
)
from postern.directory.model import Mailbox, MailboxPatch
from postern.directory.reader import Account, Directory
from postern.directory.store.site import SiteStore
from postern.mail.address import Address
from postern.runtime.clock import FakeClock

H = "harbour.example"


@dataclass
class Verifier:
    """Stands in for argon2: a hash is right for the password behind its last ``$``."""

    asked: list[str] = field(default_factory=list)
    gate: threading.Event | None = None
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, stored: str, prepared: str) -> bool:
        self.asked.append(stored)
        self.entered.release()
        if self.gate is not None:
            assert self.gate.wait(30)
        return stored.rpartition("$")[2] == prepared


@pytest.fixture
def verifier() -> Verifier:
    return Verifier()


@pytest.fixture
def login(
    site: SiteStore, directory: Directory, clock: FakeClock, verifier: Verifier
) -> Iterator[Authenticator]:
    site.add_domain(H)
    site.add_mailbox(f"wang@{H}", "$fake$tea")
    site.add_mailbox(f"mute@{H}")
    site.add_alias(f"sales@{H}", [f"wang@{H}"])
    made = Authenticator(directory, clock, max_waiting=3, verify=verifier)
    yield made
    if verifier.gate is not None:
        verifier.gate.set()
    made.close()


async def test_right_password_gives_the_account_in_any_case_of_the_name(
    login: Authenticator, site: SiteStore
) -> None:
    mailbox = site.mailbox(f"wang@{H}")
    assert isinstance(mailbox, Mailbox)
    found = await login.authenticate(f" Wang@{H.upper()}", "tea")
    assert found == Account(Address("wang", H), mailbox.id)


@pytest.mark.parametrize(
    ("username", "password", "verified"),
    [
        (f"wang@{H}", "coffee", "own"),
        (f"nobody@{H}", "tea", "dummy"),
        ("wang@strange.example", "tea", "dummy"),
        ("no address", "tea", "dummy"),
        ("postmaster", "tea", "dummy"),
        (f"mute@{H}", "tea", "dummy"),
        (f"sales@{H}", "tea", "dummy"),
        (f"wang+x@{H}", "tea", "dummy"),
    ],
)
async def test_wrong_and_unknown_cost_the_same_and_get_the_same_answer(
    login: Authenticator, verifier: Verifier, username: str, password: str, verified: str
) -> None:
    assert await login.authenticate(username, password) == BadCredentials()
    assert verifier.asked == ["$fake$tea" if verified == "own" else passwords.DUMMY_HASH]


async def test_dummy_password_opens_nothing(
    login: Authenticator, directory: Directory, clock: FakeClock
) -> None:
    real = Authenticator(directory, clock)
    assert await real.authenticate(f"mute@{H}", "nobody has this password") == BadCredentials()
    assert await real.authenticate("x@y.example", "nobody has this password") == BadCredentials()
    real.close()


async def test_real_argon2_lets_the_owner_in_and_nobody_else(
    login: Authenticator, site: SiteStore, directory: Directory, clock: FakeClock
) -> None:
    site.set_mailbox(f"wang@{H}", MailboxPatch(password_hash=passwords.hash_password("gr\u00fcn")))
    real = Authenticator(directory, clock)
    assert isinstance(await real.authenticate(f"wang@{H}", "gru\u0308n"), Account)
    assert await real.authenticate(f"wang@{H}", "grun") == BadCredentials()
    real.close()


async def test_switched_off_mailbox_gets_the_answer_of_a_wrong_password(
    login: Authenticator, site: SiteStore, verifier: Verifier
) -> None:
    assert isinstance(await login.authenticate(f"wang@{H}", "tea"), Account)
    site.set_mailbox(f"wang@{H}", MailboxPatch(enabled=False))
    assert await login.authenticate(f"wang@{H}", "tea") == BadCredentials()


async def test_password_that_cannot_be_one_is_never_hashed(
    login: Authenticator, verifier: Verifier
) -> None:
    for password in ("", "a\0b", "x" * 1025):
        assert await login.authenticate(f"wang@{H}", password) == BadCredentials()
    assert verifier.asked == []


async def test_success_is_remembered_for_five_minutes(
    login: Authenticator, verifier: Verifier, clock: FakeClock
) -> None:
    for _ in range(3):
        assert isinstance(await login.authenticate(f"wang@{H}", "tea"), Account)
    assert len(verifier.asked) == 1
    clock.advance(REMEMBERED_S - 1)
    await login.authenticate(f"wang@{H}", "tea")
    assert len(verifier.asked) == 1
    clock.advance(1)
    await login.authenticate(f"wang@{H}", "tea")
    assert len(verifier.asked) == 2


async def test_failure_is_not_remembered(login: Authenticator, verifier: Verifier) -> None:
    for _ in range(2):
        assert await login.authenticate(f"wang@{H}", "coffee") == BadCredentials()
    assert len(verifier.asked) == 2


async def test_changed_password_and_removed_mailbox_count_at_once(
    login: Authenticator, site: SiteStore
) -> None:
    assert isinstance(await login.authenticate(f"wang@{H}", "tea"), Account)
    site.set_mailbox(f"wang@{H}", MailboxPatch(password_hash="$fake$coffee"))
    assert await login.authenticate(f"wang@{H}", "tea") == BadCredentials()
    assert isinstance(await login.authenticate(f"wang@{H}", "coffee"), Account)
    site.remove_alias(f"sales@{H}")
    site.remove_mailbox(f"wang@{H}")
    assert await login.authenticate(f"wang@{H}", "coffee") == BadCredentials()


async def test_memory_of_successes_is_bounded(
    login: Authenticator, monkeypatch: pytest.MonkeyPatch, site: SiteStore
) -> None:
    monkeypatch.setattr("postern.directory.credentials.MAX_REMEMBERED", 2)
    for word in ("tea", "milk", "wine"):
        site.set_mailbox(f"wang@{H}", MailboxPatch(password_hash=f"$fake${word}"))
        assert isinstance(await login.authenticate(f"wang@{H}", word), Account)
    assert len(login._remembered) == 2


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what changes is behind a lock of other threads
            await asyncio.sleep(0)


async def test_full_pool_couldnt_tell_and_drains(login: Authenticator, verifier: Verifier) -> None:
    verifier.gate = threading.Event()
    running = [asyncio.create_task(login.authenticate(f"u{n}@{H}", "tea")) for n in range(3)]
    await wait_for(lambda: login._waiting == 3)
    overflow = await login.authenticate(f"wang@{H}", "tea")
    assert isinstance(overflow, CouldntTell)
    assert len(verifier.asked) <= 2  # two threads, the third waits
    verifier.gate.set()
    assert await asyncio.gather(*running) == [BadCredentials()] * 3
    await wait_for(lambda: login._waiting == 0)
    assert isinstance(await login.authenticate(f"wang@{H}", "tea"), Account)


async def test_client_that_hangs_up_does_not_free_its_place_before_the_thread_does(
    login: Authenticator, verifier: Verifier
) -> None:
    verifier.gate = threading.Event()
    running = [asyncio.create_task(login.authenticate(f"u{n}@{H}", "tea")) for n in range(2)]
    await wait_for(lambda: len(verifier.asked) == 2)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert login._waiting == 2
    verifier.gate.set()
    await wait_for(lambda: login._waiting == 0)


async def test_event_loop_runs_on_while_a_password_is_verified(
    login: Authenticator, verifier: Verifier
) -> None:
    verifier.gate = threading.Event()
    task = asyncio.create_task(login.authenticate(f"wang@{H}", "tea"))
    await wait_for(lambda: len(verifier.asked) == 1)
    assert not task.done()
    verifier.gate.set()
    assert isinstance(await task, Account)


async def test_database_trouble_is_couldnt_tell(login: Authenticator, site: SiteStore) -> None:
    with site.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE mailbox RENAME TO elsewhere"))
    assert isinstance(await login.authenticate(f"wang@{H}", "tea"), CouldntTell)


async def test_stopping_server_couldnt_tell(login: Authenticator) -> None:
    login.close()
    assert isinstance(await login.authenticate(f"wang@{H}", "tea"), CouldntTell)
    assert login._waiting == 0


async def test_password_is_remembered_only_as_a_keyed_hash(
    login: Authenticator, directory: Directory, clock: FakeClock, verifier: Verifier
) -> None:
    other = Authenticator(directory, clock, verify=verifier)
    for one in (login, other):
        assert isinstance(await one.authenticate(f"wang@{H}", "tea"), Account)
    assert {len(token) for token in login._remembered} == {32}
    assert login._remembered.keys().isdisjoint(other._remembered)  # each has a key of its own
    other.close()
