"""The greeting, held back a moment to see who talks before it.

A mail server waits to be greeted (RFC 5321 §3.1, §4.3.1); many programs that send spam do not. The
checks of the client's address run meanwhile. Who has waited once is greeted at once for a day.
"""

import asyncio
from collections import OrderedDict
from typing import Protocol, cast

from postern.mail.finding import Finding, Result

EARLY_TALK = Finding(
    "standards.early-talk", Result.FAIL, "your mail server did not wait to be greeted"
)
KEEP_S = 86_400.0
MOST_CLIENTS = 50_000
"""Addresses of clients that waited; about 8 MB where all are used."""


class PatientClients:
    """Addresses that waited for our greeting; those not seen for longest are forgotten first."""

    __slots__ = ("_most", "_until")

    def __init__(self, most: int = MOST_CLIENTS) -> None:
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def remember(self, ip: str, now: float) -> None:
        """This one has waited; ``now`` is monotonic."""
        self._until[ip] = now + KEEP_S
        self._until.move_to_end(ip)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def knows(self, ip: str, now: float) -> bool:
        """True when it has waited within the last day."""
        until = self._until.get(ip)
        if until is None:
            return False
        if until <= now:
            del self._until[ip]
            return False
        self._until.move_to_end(ip)
        return True


class Hearer(Protocol):
    """Who wants to know whether the client waited."""

    greeting_wait_s: float

    def greeted(self, *, talked_early: bool) -> None:
        """The client was greeted; it had waited for that, or not."""
        ...


class Greeter(Protocol):
    """The connection: what happens to it meanwhile is told to it."""

    def greet(self, early: bytes) -> None:
        """Greet now; ``early`` is what the client did not wait to say."""
        ...

    def eof_received(self) -> bool:
        """The client will say nothing more."""
        ...

    def connection_lost(self, error: Exception | None) -> None:
        """Gone."""
        ...


def holds_back(
    hearing: Hearer, connection: Greeter, transport: asyncio.Transport, early: bytes
) -> bool:
    """True when the connection is to greet later, and will be told when.

    ``early``: what the client sent right behind a PROXY header.
    """
    if not hearing.greeting_wait_s:
        return False
    if early:
        hearing.greeted(talked_early=True)
        return False
    transport.set_protocol(GreetingWait(hearing, connection, transport))
    return True


class GreetingWait(asyncio.Protocol):
    """In the connection's place until its client is greeted: when time is up, or it talks."""

    __slots__ = ("_connection", "_hearing", "_timer", "_transport")

    def __init__(self, hearing: Hearer, connection: Greeter, transport: asyncio.Transport) -> None:
        self._hearing = hearing
        self._connection = connection
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(hearing.greeting_wait_s, self._greet, b"")

    def data_received(self, data: bytes) -> None:
        """It did not wait. To make it wait longer would teach it nothing."""
        self._greet(data)

    def eof_received(self) -> bool:
        """The client will say nothing more."""
        return self._connection.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Gone before it was greeted."""
        self._timer.cancel()
        self._connection.connection_lost(error)

    def _greet(self, early: bytes) -> None:
        self._timer.cancel()
        if self._transport.is_closing():
            return  # the server stops, and has said so in the greeting's place
        self._transport.set_protocol(cast("asyncio.BaseProtocol", self._connection))
        self._hearing.greeted(talked_early=bool(early))
        self._connection.greet(early)
