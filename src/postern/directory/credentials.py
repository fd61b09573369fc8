"""Logging in: is this the password of this mailbox?

Argon2 is slow on purpose, so it runs in two threads, never on the event loop. What waits for them
is bounded: past that the answer is "couldn't tell", which is temporary and tells the client to
come again, because a wrong "no" would make it ask its owner for a password.
"""

import asyncio
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from postern.directory import passwords
from postern.directory.model import Mailbox
from postern.directory.names import read_address
from postern.directory.reader import Account, Directory
from postern.runtime.clock import Clock
from postern.runtime.database.trouble import DatabaseTroubleError

THREADS = 2
MAX_WAITING = 64
"""Log-ins under way or waiting: at 25 ms each, the last waits 0.8 s."""
REMEMBERED_S = 300.0
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class BadCredentials:
    """No such mailbox, a wrong password, or a mailbox that is switched off: never told apart."""


@dataclass(frozen=True, slots=True)
class CouldntTell:
    """Nobody knows yet; the client should come again. ``text`` is for our log, not for it."""

    text: str


Authenticated = Account | BadCredentials | CouldntTell


class Authenticator:
    """Checks log-ins for one worker; used from its event loop.

    A log-in that succeeded is remembered for five minutes under a keyed hash of the password, with
    the stored hash in it: a changed password, a removed or a switched-off mailbox counts at once.
    """

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        *,
        max_waiting: int = MAX_WAITING,
        verify: Callable[[str, str], bool] = passwords.verify,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._max_waiting = max_waiting
        self._verify = verify
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._lock = threading.Lock()

    async def authenticate(self, username: str, password: str) -> Authenticated:
        """Who this is, if the password is right.

        Args:
            username: the mailbox's whole address, in any case.
            password: as it came, at most 1,024 bytes in UTF-8.

        An unknown user takes as long as a wrong password.
        """
        prepared = passwords.prepare(password)
        if prepared is None:
            return BadCredentials()
        try:
            mailbox = self._find(username)
        except DatabaseTroubleError as error:
            return CouldntTell(str(error))
        stored = mailbox.password_hash if mailbox is not None else None
        token = self._token(stored, prepared)
        if stored is None or not self._remembers(token):
            right = await self._verified(stored or passwords.DUMMY_HASH, prepared)
            if isinstance(right, CouldntTell):
                return right
            if not right or stored is None:
                return BadCredentials()
        if mailbox is None or not mailbox.enabled:
            return BadCredentials()
        self._remember(token)
        return Account(mailbox.address, mailbox.id)

    def close(self) -> None:
        """Stop the threads; log-ins still waiting are cancelled."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _find(self, username: str) -> Mailbox | None:
        self._directory.refresh()
        address = read_address(username)
        return None if address is None else self._directory.mailbox(address)

    async def _verified(self, password_hash: str, prepared: str) -> bool | CouldntTell:
        with self._lock:
            if self._waiting >= self._max_waiting:
                return CouldntTell(f"{self._waiting} log-ins are being checked already")
            self._waiting += 1
        try:
            job = self._threads.submit(self._verify, password_hash, prepared)
        except RuntimeError:
            self._done(None)
            return CouldntTell("the server is stopping")
        # Counted down when the thread is through, not when the client has hung up: a guesser who
        # drops connections must not queue work without bound.
        job.add_done_callback(self._done)
        return await asyncio.wrap_future(job)

    def _done(self, _job: Future[bool] | None) -> None:
        with self._lock:
            self._waiting -= 1

    def _token(self, stored: str | None, prepared: str) -> bytes:
        secret = f"{stored}\0{prepared}".encode()
        return hashlib.blake2b(secret, key=self._key, digest_size=32).digest()

    def _remembers(self, token: bytes) -> bool:
        until = self._remembered.get(token)
        return until is not None and self._clock.monotonic() < until

    def _remember(self, token: bytes) -> None:
        if token not in self._remembered or not self._remembers(token):
            self._remembered[token] = self._clock.monotonic() + REMEMBERED_S
            self._remembered.move_to_end(token)
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
