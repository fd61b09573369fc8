"""A load of mail at a steady rate, or as fast as it is taken, over open sessions."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.client import text_of

SESSIONS = 20
WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """``count`` messages of ``kind`` to ``recipients`` in turn, ``rate`` a second (0: no limit)."""

    kind: str
    recipients: tuple[str, ...]
    count: int
    rate: float = 0.0
    size_bytes: int = 4_000


async def send(port: int, load: Load, sessions: int = SESSIONS) -> float:
    """Send it all; returns the seconds it took until the last was answered 250.

    At a steady rate each message is stamped with the moment it was due, so that what a server
    keeps waiting at its door counts as delay.
    """
    begin = time.monotonic()
    work = iter(enumerate(itertools.islice(itertools.cycle(load.recipients), load.count)))
    async with asyncio.TaskGroup() as group:
        for _ in range(sessions):
            group.create_task(_session(port, load, work, begin))
    return time.monotonic() - begin


async def _session(port: int, load: Load, work: Iterator[tuple[int, str]], begin: float) -> None:
    text = text_of(load.size_bytes).split(b"\r\n", 1)
    async with asyncio.timeout(WAIT_S + (load.count / load.rate if load.rate else 600)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await _hear(reader, b"220")
        await _say(reader, writer, b"EHLO client.test\r\n", b"250")
        for number, recipient in work:
            due = begin + number / load.rate if load.rate else time.monotonic()
            if due > time.monotonic():
                await asyncio.sleep(due - time.monotonic())
            envelope = f"MAIL FROM:<bench@client.test>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
            writer.write(envelope.encode())
            for code in (b"250", b"250", b"354"):
                await _hear(reader, code)
            mark = f"X-Bench: {load.kind} {due:.6f}".encode()
            message = b"\r\n".join((text[0], mark, text[1])) + b".\r\n"
            await _say(reader, writer, message, b"250")
        writer.write(b"QUIT\r\n")
        writer.close()


async def _say(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes, code: bytes
) -> None:
    writer.write(text)
    await _hear(reader, code)


async def _hear(reader: asyncio.StreamReader, code: bytes) -> None:
    while True:
        line = await reader.readline()
        if not line.startswith(code):
            raise ConnectionError(f"{code!r} was due: {line!r}")
        if line[3:4] != b"-":
            return
