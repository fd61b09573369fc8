"""``python -m bench.slow_world PORT TARPITS``: the mail hosts of ``bench.tarpits``, one process.

On ``PORT`` of addresses of their own: a sink that is quick, tarpits (half of them say a byte a
second, half say nothing for ten minutes), and a black hole: its queue of connections is full, so
that the kernel answers no more of them. A line of JSON is asked for at ``CONTROL``:``PORT``: how
many messages the sink has of each kind, or, for ``times KIND``, the delay of each in seconds. A
message tells its kind and when it was due in ``X-Bench: KIND SECONDS``, of the monotonic clock.
"""

import asyncio
import json
import re
import socket
import sys
import time
from collections import defaultdict
from typing import cast

import uvloop

SINK = "127.2.0.1"
CONTROL = "127.2.0.2"
BLACK_HOLE = "127.3.0.1"
BANNER_AFTER_S = 600.0
_MARK = re.compile(rb"\r\nX-Bench: (\w+) ([0-9.]+)\r\n")
_REPLIES = {
    b"EHLO": b"250-sink.test\r\n250 PIPELINING\r\n",
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
    b"RSET": b"250 2.0.0 ok\r\n",
}
delays: dict[str, list[float]] = defaultdict(list)


def tarpit_ip(number: int) -> str:
    """The address of one tarpit."""
    return f"127.1.{number // 200}.{number % 200 + 1}"


class Sink(asyncio.Protocol):
    """Takes everything at once."""

    def __init__(self) -> None:
        self._buffer = b""
        self._is_text = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"220 sink.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Commands, or a message."""
        assert self._transport is not None
        self._buffer += data
        answer = b""
        while True:
            if self._is_text:
                text, dot, rest = self._buffer.partition(b"\r\n.\r\n")
                if not dot:
                    break
                self._took(text)
                answer += b"250 2.0.0 taken\r\n"
                self._buffer, self._is_text = rest, False
                continue
            line, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                break
            self._buffer = rest
            verb = line[:4].upper()
            answer += _REPLIES.get(verb, b"502 5.5.1 no\r\n")
            self._is_text = verb == b"DATA"
        if answer:
            self._transport.write(answer)

    def _took(self, text: bytes) -> None:
        mark = _MARK.search(text)
        if mark is not None:
            delays[mark[1].decode()].append(time.monotonic() - float(mark[2]))


class Tarpit(asyncio.Protocol):
    """Says a byte a second, or nothing."""

    def __init__(self, *, trickles: bool) -> None:
        self._trickles = trickles
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to be slow."""
        speaking = self._speak(cast("asyncio.Transport", transport))
        self._task = asyncio.get_running_loop().create_task(speaking)

    async def _speak(self, transport: asyncio.Transport) -> None:
        if not self._trickles:
            await asyncio.sleep(BANNER_AFTER_S)
        while not transport.is_closing():
            for byte in b"220-one moment please\r\n":
                transport.write(bytes([byte]))
                await asyncio.sleep(1.0)

    def connection_lost(self, exc: Exception | None) -> None:
        """No more."""
        if self._task is not None:
            self._task.cancel()


async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one question."""
    words = (await reader.readline()).decode().split()
    found = delays[words[1]] if words[:1] == ["times"] else {k: len(v) for k, v in delays.items()}
    writer.write(json.dumps(found).encode() + b"\n")
    await writer.drain()
    writer.close()


def black_hole(port: int) -> list[socket.socket]:
    """A listener nobody accepts from, its queue filled."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((BLACK_HOLE, port))
    listening.listen(0)
    kept = [listening]
    for _ in range(4):
        filling = socket.socket()
        filling.setblocking(False)
        filling.connect_ex((BLACK_HOLE, port))
        kept.append(filling)
    return kept


async def serve(port: int, tarpits: int) -> None:
    """All of them, until killed."""
    loop = asyncio.get_running_loop()
    kept = black_hole(port)
    for number in range(tarpits):
        trickles = number % 2 == 0
        await loop.create_server(
            lambda trickles=trickles: Tarpit(trickles=trickles),  # type: ignore[misc]  # a bound default
            tarpit_ip(number),
            port,
        )
    await asyncio.start_server(control, CONTROL, port)
    await loop.create_server(Sink, SINK, port, backlog=1024)  # last: whoever sees it finds the rest
    await loop.create_future()
    del kept


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
