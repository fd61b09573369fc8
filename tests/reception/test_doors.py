"""Workers that accept from one socket: each gets its part, and nobody waits for a hung one."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from postern.reception.doors import Door, Doors
from postern.reception.limits import ConnectionCounts
from postern.runtime.headcount import Headcount

CLIENTS = 40


class Guest(asyncio.Protocol):
    """A connection that stays."""

    def __init__(self, counts: ConnectionCounts, inside: list[asyncio.Transport]) -> None:
        self._counts = counts
        self._inside = inside

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport without being one.
        stays = cast("asyncio.Transport", transport)
        self._counts.enter("127.0.0.1")
        self._inside.append(stays)
        stays.write(b"in\n")


class House:
    """Workers of one listening socket, all in this process, and clients that come to stay."""

    def __init__(self, workers: int) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self._table = Headcount(workers)
        self.counts: list[ConnectionCounts] = []
        self._doors: list[Doors] = []
        self._clients: list[asyncio.StreamWriter] = []
        self._inside: list[asyncio.Transport] = []

    async def add_worker(self) -> None:
        counts = ConnectionCounts(1000, 1000, self._table, len(self.counts))
        doors = Doors(counts)
        self.counts.append(counts)
        self._doors.append(doors)
        await doors.open(Door(self.sock.dup(), lambda: Guest(counts, self._inside), is_unix=False))

    async def let_in(self, clients: int) -> None:
        """One client after the other, each once the one before is in."""
        for _ in range(clients):
            reader, writer = await asyncio.open_connection(*self.sock.getsockname())
            self._clients.append(writer)
            async with asyncio.timeout(10):
                assert await reader.readline() == b"in\n"

    async def close(self) -> None:
        for doors in self._doors:
            doors.close()
        for transport in self._inside:
            transport.close()
        for writer in self._clients:
            writer.close()
            await writer.wait_closed()
        self.sock.close()


@asynccontextmanager
async def house(workers: int, *, at_work: int) -> AsyncIterator[House]:
    made = House(workers)
    try:
        for _ in range(at_work):
            await made.add_worker()
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("workers", [2, 4])
async def test_connections_that_stay_are_spread_over_the_workers(workers: int) -> None:
    async with house(workers, at_work=workers) as under_test:
        await under_test.let_in(CLIENTS)
        parts = [counts.open for counts in under_test.counts]
        assert sum(parts) == CLIENTS
        assert max(parts) <= CLIENTS / workers * 1.125 + 4


async def test_a_worker_that_does_not_accept_holds_nobody_up() -> None:
    async with house(2, at_work=1) as under_test:
        await under_test.let_in(CLIENTS)
        assert under_test.counts[0].open == CLIENTS


async def test_one_worker_never_shuts_its_doors() -> None:
    async with house(1, at_work=1) as under_test:
        await under_test.let_in(CLIENTS)
        assert under_test.counts[0].has_its_part()
