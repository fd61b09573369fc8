"""Workers and the whole tree are killed at random while mail flows: nothing is lost."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import pytest
from tests.crash.sink import CountingSink, counting_sink
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

MESSAGES = 5000
CLIENTS = 8
COMMIT_S = 0.25
"""How old an outcome may be that is not on disk yet, on a busy machine."""


class Client:
    """Sends messages of new numbers until enough are acknowledged, over connections that break."""

    def __init__(self, port: int, numbers: Iterator[int], acknowledged: set[int]) -> None:
        self._port = port
        self._numbers = numbers
        self._acknowledged = acknowledged

    async def send_all(self) -> None:
        while len(self._acknowledged) < MESSAGES:
            try:
                async with asyncio.timeout(20):
                    await self._session()
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(0.05)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await self._reply(reader)
            await self._say(reader, writer, b"EHLO client.test")
            for _ in range(50):
                if len(self._acknowledged) >= MESSAGES:
                    return
                await self._send(reader, writer, next(self._numbers))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        await self._say(reader, writer, b"MAIL FROM:<li@client.test>")
        await self._say(reader, writer, b"RCPT TO:<wang@sink.test>")
        await self._say(reader, writer, b"DATA")
        body = b"x" * (100_000 if number % 200 == 0 else 500)
        text = b"X-Id: %d\r\nSubject: storm\r\n\r\n%s\r\n." % (number, body)
        await self._say(reader, writer, text)
        self._acknowledged.add(number)

    async def _say(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes
    ) -> None:
        writer.write(line + b"\r\n")
        await self._reply(reader)

    async def _reply(self, reader: asyncio.StreamReader) -> None:
        while True:
            line = await reader.readline()
            if not line:
                raise EOFError
            if line[3:4] != b"-":
                break
        if line[:1] not in b"23":
            raise ConnectionError(line.decode("ascii", "replace"))


async def storm(
    server: PosternServer, sink: CountingSink, chance: random.Random, acknowledged: set[int]
) -> int:
    """Kill until all is acknowledged; the deliveries that were in flight at the kills."""
    in_flight = 0
    while len(acknowledged) < MESSAGES:
        await asyncio.sleep(chance.uniform(0.2, 2.0))
        if chance.random() < 0.3:
            in_flight += sink.in_flight(COMMIT_S)
            await asyncio.to_thread(server.kill)
            in_flight += sink.in_flight(0.0)
            await asyncio.to_thread(server.start)
        else:
            children = server.children()
            in_flight += sink.in_flight(COMMIT_S)
            with suppress(ProcessLookupError):
                os.kill(chance.choice(children), signal.SIGKILL)
    return in_flight


async def test_every_acknowledged_message_arrives_whatever_is_killed(free_port: int) -> None:
    seed = int(os.environ.get("POSTERN_STORM_SEED", time.time_ns() % 1_000_000))
    print(f"POSTERN_STORM_SEED={seed}")
    acknowledged: set[int] = set()
    settings = PosternSettings(
        workers=2,
        listeners=(Listening(bind=f"127.0.0.1:{free_port}"),),
        tables=(("queue", "first_retry_s = 1.0"),),
    )
    async with counting_sink() as sink:
        with postern(settings, start=False) as server:
            server.domain_add("sink.test", to=f"127.0.0.1:{sink.port}")
            await asyncio.to_thread(server.start)
            numbers = count(1)
            clients = [
                asyncio.create_task(Client(free_port, numbers, acknowledged).send_all())
                for _ in range(CLIENTS)
            ]
            in_flight = await storm(server, sink, random.Random(seed), acknowledged)
            await asyncio.gather(*clients)
            await sink.wait_for(acknowledged, within_s=60)
            missing = acknowledged - sink.got.keys()
            assert not missing, f"{len(missing)} acknowledged and lost: {sorted(missing)[:10]}"
            doubled = sum(times - 1 for times in sink.got.values())
            print(f"{len(acknowledged)} acknowledged, {doubled} doubled, {in_flight} in flight")
            assert doubled <= in_flight
