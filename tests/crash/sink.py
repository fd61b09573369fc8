"""An SMTP server that remembers the ``X-Id`` of every message it took, and what was under way."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

LIMIT_BYTES = 4 * 1024 * 1024
ID = re.compile(rb"^X-Id: (\d+)\r\n", re.MULTILINE)


class CountingSink:
    """Takes everything. ``got`` counts each id; ``open`` are transactions from MAIL to the 250."""

    def __init__(self) -> None:
        self.port = 0
        self.got: Counter[int] = Counter()
        self.open = 0
        self.ends: list[float] = []
        self._arrived = asyncio.Event()

    def in_flight(self, within_s: float) -> int:
        """Transactions now open, and those whose 250 is so young that its commit may be to come."""
        since = time.monotonic() - within_s
        return self.open + sum(at >= since for at in self.ends[-10_000:])

    async def wait_for(self, wanted: set[int], within_s: float) -> None:
        """Wait until all are here, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while wanted - self.got.keys():
                    self._arrived.clear()
                    await self._arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        is_open = False
        try:
            writer.write(b"220 sink.test\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"MAIL" and not is_open:
                    is_open = True
                    self.open += 1
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    data = await reader.readuntil(b"\r\n.\r\n")
                    found = ID.search(data)
                    if found is not None:
                        self.got[int(found[1])] += 1
                        self.ends.append(time.monotonic())
                        self._arrived.set()
                if verb in {b"DATA", b"RSET", b"QUIT"} and is_open:
                    is_open = False
                    self.open -= 1
                writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass  # killed in the middle: that is what this is for
        finally:
            self.open -= is_open
            writer.close()


@asynccontextmanager
async def counting_sink() -> AsyncIterator[CountingSink]:
    """A sink on a free port."""
    sink = CountingSink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, limit=LIMIT_BYTES)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
