"""Whether a message fits into a mailbox that Dovecot stores: its ``quota-status`` service is asked.

Source: Postfix SMTPD_POLICY_README, "Protocol description" (attributes as ``name=value`` lines, an
empty line ends them, the answer is ``action=…`` and an empty line); Dovecot "Quota service". What
cannot be found out is never a reason to turn mail away: the store has the last word at delivery.
"""

import asyncio
import re
from contextlib import suppress

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

_Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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
            self._idle.pop()[1].close()

    async def _ask(self, address: str, size_bytes: int) -> Room:
        self._asking += 1
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._exchange(question(address, size_bytes))
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
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
            with suppress(OSError, EOFError):
                return await self._say(line, asked)
        return await self._say(await self._open(), asked)

    async def _open(self) -> _Line:
        if self._place.path:
            return await asyncio.open_unix_connection(self._place.path, limit=MAX_ANSWER_BYTES)
        return await asyncio.open_connection(
            self._place.ip, self._place.port, limit=MAX_ANSWER_BYTES
        )

    async def _say(self, line: _Line, asked: bytes) -> bytes:
        reader, writer = line
        is_whole = False
        try:
            writer.write(asked)
            answer = await reader.readuntil(b"\n\n")
            is_whole = True
        finally:
            if is_whole and self._keeps_lines and len(self._idle) < MAX_IDLE:
                self._idle.append(line)
            else:
                writer.close()
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
