"""Open connections: those at work, those that rest until there is more mail, and their time limits.

One coarse timer serves them all, and the attempts they are made for; it runs only while there are
any.
"""

import asyncio
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from postern.delivery.settings import DeliverySettings
from postern.delivery.smtp_connection import SmtpConnection
from postern.runtime.clock import Clock

Key = TypeVar("Key", bound=Hashable)


class Timed(Protocol):
    """Wants to know how time goes by."""

    def look(self, now: float, /) -> None:
        """Act on what is due at the monotonic second ``now``."""
        ...


class Pool(Generic[Key]):
    """Connections by key: what two transactions must share to use one connection.

    ``is_over``: what was at work has been cut, and nothing new is to be opened.
    """

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._open: set[SmtpConnection] = set()
        self._resting: dict[Key, list[SmtpConnection]] = {}
        self._keys: dict[SmtpConnection, Key] = {}
        self._attempts: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self._is_closing = False
        self.is_over = False

    @property
    def open_count(self) -> int:
        """Connections that are open, at work or at rest."""
        return len(self._open)

    @property
    def resting_count(self) -> int:
        """Connections that wait for mail."""
        return len(self._keys)

    def watch(self, connection: SmtpConnection) -> None:
        """Look at this connection's deadline until it is closed."""
        self._open.add(connection)
        connection.on_lost = self._forget
        if self._timer is None:
            self._arm()

    def attend(self, attempt: Timed) -> None:
        """Let it look at the time until ``leave``."""
        self._attempts.add(attempt)
        if self._timer is None:
            self._arm()

    def leave(self, attempt: Timed) -> None:
        """It is over."""
        self._attempts.discard(attempt)

    def take(self, key: Key) -> SmtpConnection | None:
        """The connection that rested last and can send at once, or None."""
        resting = self._resting.get(key)
        now = self._clock.monotonic()
        while resting:
            connection = resting.pop()
            del self._keys[connection]
            if not resting:
                del self._resting[key]
            if connection.can_send(now) and connection.is_quiet:
                return connection
            connection.close()
        return None

    def give_back(self, key: Key, connection: SmtpConnection) -> None:
        """Keep the connection for more mail while that is worth it, else close it."""
        settings, now = self._settings, self._clock.monotonic()
        until = min(now + settings.reuse_idle_s, connection.opened_at + settings.reuse_max_age_s)
        is_full = len(self._keys) >= settings.idle_connections
        connection.rest(until)
        if self._is_closing or is_full or not connection.can_send(now):
            connection.close()
            return
        self._keys[connection] = key
        self._resting.setdefault(key, []).append(connection)

    async def close(self, grace_s: float) -> None:
        """Close what rests, wait for what works, drop what is left after ``grace_s``."""
        self._is_closing = True
        for connection in list(self._keys):
            connection.close()
        await self._wait_empty(grace_s)
        # Where nothing is left somebody may still come: who waited for DNS during a reload.
        self.is_over = bool(self._open)
        for connection in list(self._open):
            connection.abort()
        await self._wait_empty(1.0)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait_empty(self, timeout_s: float) -> None:
        if self._open:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=timeout_s)

    def _forget(self, connection: SmtpConnection) -> None:
        self._open.discard(connection)
        key = self._keys.pop(connection, None)
        if key is not None:
            resting = self._resting[key]
            resting.remove(connection)
            if not resting:
                del self._resting[key]
        if not self._open and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._settings.tick_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._open and not self._attempts:
            return
        self._arm()
        now = self._clock.monotonic()
        for connection in list(self._open):
            connection.look(now)
        for attempt in list(self._attempts):
            attempt.look(now)
