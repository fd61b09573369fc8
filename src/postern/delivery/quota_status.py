"""Whether a message fits into a mailbox that Dovecot stores: its ``quota-status`` service is asked.

Source: Postfix SMTPD_POLICY_README, "Protocol description" (attributes as ``name=value`` lines, an
empty line ends them, the answer is ``action=…`` and an empty line); Dovecot "Quota service". What
cannot be found out is never a reason to turn mail away: the store has the last word at delivery.
"""

import asyncio
import re
from contextlib import suppress
from typing import cast

import structlog

from postern.delivery.lmtp import parse_endpoint
from postern.delivery.opener import Place
from postern.delivery.room import Room
from postern.directory.resolution import Resolved, Store
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.delivery")

LIMIT_S = 2.0
REST_S = 10.0
"""After it did not answer it is not asked for so long: mail does not wait two seconds each."""
MAX_IDLE = 8
MAX_ASKING = 64
MAX_ANSWER_BYTES = 4096

_FULL = re.compile(r"[45][0-9]{2}(?: [45]\.(?P<detail>[0-9]{1,3}\.[0-9]{1,3}))?(?: |$)")


class _Line(asyncio.Protocol):
    """One connection, for one question at a time.

    What comes unasked would be read as the answer about the next recipient: then it is closed.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[bytes] | None = None
        self._got = b""

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked: it is open, and nobody waits for an answer on it."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and self._waiter is None

    async def ask(self, asked: bytes) -> bytes:
        """The answer with the empty line that ends it.

        Raises:
            OSError, EOFError, RuntimeError: the line was lost. uvloop raises the last of these
                where the transport is closing.
            ValueError: the answer has no end.
        """
        assert self._transport is not None
        self._transport.write(asked)
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        return await waiter

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The service waits for a question."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """A part of the answer, or what nobody asked for."""
        waiter = self._waiter
        if waiter is None:
            self.close()
            return
        self._got += data
        end = self._got.find(b"\n\n") + 2
        if end >= 2:
            answer, more = self._got[:end], self._got[end:]
            self._got, self._waiter = b"", None
            if more:
                self.close()
            if not waiter.done():
                waiter.set_result(answer)
        elif len(self._got) > MAX_ANSWER_BYTES:
            self.close()
            self._fail(ValueError("its answer has no end"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of the line."""
        self._fail(exc or EOFError("it hung up"))

    def _fail(self, error: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)


class QuotaStatus:
    """Asks one service; keeps connections. For one event loop. See ``room.Measure``."""

    def __init__(self, endpoint: str, clock: Clock) -> None:
        place = parse_endpoint(endpoint)
        assert place is not None, "the configuration was checked"
        self._place: Place = place
        self._endpoint = endpoint
        self._clock = clock
        self._idle: list[_Line] = []
        self._asking = 0
        self._rests_until = 0.0
        self._keeps_lines = True

    def concerns(self, resolved: Resolved) -> bool:
        """Always: only the store knows which mailboxes it limits."""
        return bool(resolved.stores)

    def room(self, store: Store, size_bytes: int) -> "Room | asyncio.Task[Room]":
        """Whether a message of that size fits."""
        is_resting = self._clock.monotonic() < self._rests_until
        if is_resting or self._asking >= MAX_ASKING:
            return Room.UNKNOWN
        return asyncio.ensure_future(self._ask(str(store.address), size_bytes))

    def close(self) -> None:
        """Close what rests. Who still asks, on a connection from before a reload, is answered."""
        self._keeps_lines = False
        while self._idle:
            self._idle.pop().close()

    async def _ask(self, address: str, size_bytes: int) -> Room:
        self._asking += 1
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._exchange(question(address, size_bytes))
        except (OSError, EOFError, ValueError, RuntimeError) as error:
            self._rests_until = max(self._rests_until, self._clock.monotonic() + REST_S)
            text = str(error) or type(error).__name__
            log.warning("quota.unknown", place=self._endpoint, error=text)
            return Room.UNKNOWN
        finally:
            self._asking -= 1
        return room_of(answer)

    async def _exchange(self, asked: bytes) -> bytes:
        """The answer, over a line that rests or a new one; one that died while resting is left."""
        while self._idle:
            line = self._idle.pop()
            if line.is_usable:
                with suppress(OSError, EOFError, RuntimeError):
                    return await self._say(line, asked)
        return await self._say(await self._open(), asked)

    async def _open(self) -> _Line:
        loop = asyncio.get_running_loop()
        line = _Line()
        if self._place.path:
            await loop.create_unix_connection(lambda: line, self._place.path)
        else:
            await loop.create_connection(lambda: line, self._place.ip, self._place.port)
        return line

    async def _say(self, line: _Line, asked: bytes) -> bytes:
        is_whole = False
        try:
            answer = await line.ask(asked)
            is_whole = line.is_usable
        finally:
            if is_whole and self._keeps_lines and len(self._idle) < MAX_IDLE:
                self._idle.append(line)
            else:
                line.close()
        return answer


def question(address: str, size_bytes: int) -> bytes:
    """What is asked about one recipient; an ``Address`` has no line ends, so none can be put in."""
    lines = (
        "request=smtpd_access_policy",
        "protocol_state=RCPT",
        f"recipient={address}",
        f"size={size_bytes}",
    )
    return "\n".join(lines).encode() + b"\n\n"


def room_of(answer: bytes) -> Room:
    """What an answer means.

    Full is only what refuses with a code of its own, unless that speaks of the address
    (``5.1.1``): ``REJECT`` is Dovecot's word for a user it does not know, ``DEFER_IF_PERMIT`` for
    an error of its own.
    """
    action = ""
    for line in answer.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition("=")
        if name == "action":
            action = value.strip()
    if action.upper() in {"OK", "DUNNO"}:
        return Room.ENOUGH
    found = _FULL.match(action)
    if found is None:
        return Room.UNKNOWN
    detail = found["detail"] or "2.2"
    if detail == "2.3":  # quota_status_toolarge: larger than all that it may hold (RFC 3463 §3.3)
        return Room.NEVER
    # How far over nobody says. Dovecot has a grace of its own (``quota_grace``) at delivery.
    return Room.UNKNOWN if detail.startswith("1.") else Room.FULL
