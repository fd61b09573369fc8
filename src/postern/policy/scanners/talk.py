"""One question to a scanner over a connection of its own."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar

from postern.policy.scanners.place import Place

T = TypeVar("T")

LAST_WORD_S = 1.0
"""How long a scanner that hung up on us may take to be heard out: it may have said why."""
MAX_ANSWER_BYTES = 1024 * 1024


async def connect(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A new connection.

    Raises:
        OSError: there is none to be had.
    """
    if place.path:
        return await asyncio.open_unix_connection(place.path, limit=MAX_ANSWER_BYTES)
    return await asyncio.open_connection(place.host, place.port, limit=MAX_ANSWER_BYTES)


async def put(writer: asyncio.StreamWriter, *pieces: bytes) -> None:
    """Write, and wait while the other side is behind.

    Raises:
        ConnectionError: it hung up; uvloop calls that a RuntimeError.
    """
    if writer.is_closing():
        raise ConnectionResetError(errno.ECONNRESET, "the other side hung up")
    writer.writelines(pieces)
    await writer.drain()


async def converse(
    place: Place,
    send: Callable[[asyncio.StreamWriter], Awaitable[None]],
    receive: Callable[[asyncio.StreamReader], Awaitable[T]],
) -> T:
    """Send and listen at once; what was heard.

    A scanner may answer before it has heard everything ("too large") and hang up: then its answer
    counts, not our broken pipe.

    Raises:
        OSError: the connection failed, or the message could not be read.
        EOFError: it hung up without an answer.
    """
    reader, writer = await connect(place)
    sending = asyncio.ensure_future(send(writer))
    hearing = asyncio.ensure_future(receive(reader))
    try:
        await asyncio.wait([sending, hearing], return_when=asyncio.FIRST_COMPLETED)
        if not hearing.done() and isinstance(sending.exception(), ConnectionError):
            await asyncio.wait([hearing], timeout=LAST_WORD_S)
        if not hearing.done():
            await sending
        elif hearing.exception() is not None and sending.done():
            sending.result()
        return await hearing
    finally:
        for task in (sending, hearing):
            task.cancel()
        await asyncio.wait([sending, hearing])
        for task in (sending, hearing):
            if not task.cancelled():
                task.exception()  # looked at, or the loop complains of it
        writer.transport.abort()
