"""``python -m bench.flood``: 100,000 refused conversations a minute, and a small journal.

Each is a connection of its own from one of many addresses: EHLO, MAIL, RCPT to nobody, QUIT.
Between them a few messages are accepted; afterwards every one of these is asked for by name.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop
from bench.client import text_of
from bench.descriptors import allow_descriptors
from bench.memory import by_data, stored
from bench.reached import Reached
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import wait_until

MINUTE_S = 60.0
AT_ONCE = 100
BUDGET_MB = 20
"""``disk_budget_mb``, which counts in MiB."""
ACCEPTED = 60
MAILBOX = "kept@postern.test"
REPLY_S = 30.0


@dataclass
class Flood:
    """How many conversations were held so far, and until when more begin."""

    port: int
    ends_at: float
    begun: int = 0
    refused: int = 0

    async def keep_knocking(self) -> None:
        """One conversation after the other."""
        while time.monotonic() < self.ends_at:
            self.begun += 1
            async with asyncio.timeout(REPLY_S):
                await self._knock(self.begun)

    async def _knock(self, number: int) -> None:
        address = f"127.{1 + number % 3}.{number // 250 % 250}.{1 + number % 250}"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(address, 0)
        )
        try:
            await reader.readuntil(b"\r\n")
            writer.write(b"EHLO flood.test\r\n")
            await reader.readuntil(b"\r\n250 ")
            await reader.readuntil(b"\r\n")
            writer.write(
                b"MAIL FROM:<s%d@flood.test>\r\nRCPT TO:<n%d@postern.test>\r\nQUIT\r\n"
                % (number, number % 1000)
            )
            said = await reader.read()
            self.refused += b"\r\n550 " in said
        finally:
            writer.close()


async def knock(port: int, seconds: float) -> int:
    """Knock from ``AT_ONCE`` clients for so long; how many were refused."""
    flood = Flood(port, time.monotonic() + seconds)
    async with asyncio.TaskGroup() as clients:
        for _ in range(AT_ONCE):
            clients.create_task(flood.keep_knocking())
        clients.create_task(send_between(port, seconds))
    return flood.refused


async def send_between(port: int, seconds: float) -> None:
    """Some mail that is accepted, spread over the time."""
    for number in range(ACCEPTED):
        message = text_of(4_000, f"kept-{number}")
        await asyncio.to_thread(by_data, port, MAILBOX, message)
        await asyncio.sleep(seconds / ACCEPTED * 0.8)


def refused_flood(seconds: float = MINUTE_S) -> list[Reached]:
    """Flood, then weigh the journal and look for what was accepted.

    Raises:
        AssertionError: a message that was accepted is not found.
    """
    allow_descriptors(2 * AT_ONCE)
    settings = PosternSettings(
        workers=2,
        listeners=(Listening("mx"),),
        tables=(("journal", f"disk_budget_mb = {BUDGET_MB}"), ("log", 'level = "error"')),
    )
    with postern(settings) as server:
        server.domain_add("postern.test")
        server.mailbox_add(MAILBOX)
        begin = time.monotonic()
        refused = uvloop.run(knock(server.port(), seconds))
        rate = refused / (time.monotonic() - begin) * 60
        new = server.maildir(MAILBOX) / "new"
        wait_until(lambda: stored(new) == ACCEPTED, "all that was accepted", within_s=30)
        time.sleep(2)  # the hand-over to the journal
        size_mib = folder_mib(server.data / "journal")
        missing = [number for number in range(ACCEPTED) if not is_found(server, number)]
        assert not missing, f"accepted, and not found: {missing}"
    note = f"{refused:,} connections refused, {rate:,.0f} a minute; {ACCEPTED} accepted, all found"
    return [Reached("journal after the flood", size_mib, "MiB", BUDGET_MB, note)]


def is_found(server: PosternServer, number: int) -> bool:
    """Whether ``postern why`` knows the message."""
    result = server.run("why", f"<kept-{number}@client.test>", "--json")
    return f"kept-{number}@" in result.stdout


def folder_mib(folder: Path) -> float:
    """What it takes on disk."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_blocks * 512 for path in files) / 2**20


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=MINUTE_S)
    found = refused_flood(parser.parse_args().seconds)
    print("\n".join(reached.line() for reached in found))
    return 0 if all(reached.is_good for reached in found) else 1


if __name__ == "__main__":
    sys.exit(main())
