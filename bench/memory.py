"""``python -m bench.memory``: what a large message and ten thousand idle connections cost.

A message: the highest resident memory (VmHWM, the kernel's own mark, so that no peak falls between
two looks) of every process of Postern's tree, added up, above what they had when idle. Connections:
PSS of the tree above its idle. The clients live in this process and are not counted.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

from bench.client import connect, conversation, hear, text_of, trusting
from bench.descriptors import allow_descriptors
from bench.reached import Reached
from bench.watch import highest_resident, resident_bytes
from tests.peers.certificates import self_signed
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder, wait_until
from tests.peers.proctree import tree_pss_bytes
from tests.peers.sink import Sink, smtp_sink

LARGE_BYTES = 50_000_000
CONNECTIONS = 10_000
WORKERS = 2
MOST_FOR_LARGE_MB = 32.0
MOST_FOR_IDLE_MB = 150.0
ADDRESSES = [f"127.0.1.{last}" for last in range(1, 201)]
"""The idle clients come from many addresses, as they do in life."""
CHUNK_BYTES = 1_000_000
MAILBOX = "large@postern.test"
AWAY = "large@sink.test"
WARM = 20
"""Small messages each way first: what is loaded once for all messages is not this one's cost."""

Send = Callable[[int, str, bytes], None]


def by_data(port: int, recipient: str, message: bytes) -> None:
    """One message with DATA."""
    with connect(port) as client:
        conversation(client, b"MAIL FROM:<a@client.test>", f"RCPT TO:<{recipient}>".encode())
        client.sendall(b"DATA\r\n")
        hear(client, b"354")
        client.sendall(message + b".\r\n")
        hear(client, b"250")


def by_chunks(port: int, recipient: str, message: bytes, most: int = CHUNK_BYTES) -> None:
    """One message with BDAT, chunk after chunk of at most ``most`` bytes without waiting."""
    with connect(port) as client:
        conversation(client, b"MAIL FROM:<a@client.test>", f"RCPT TO:<{recipient}>".encode())
        for at in range(0, len(message), most):
            chunk = message[at : at + most]
            last = b" LAST" if at + most >= len(message) else b""
            client.sendall(b"BDAT %d%s\r\n" % (len(chunk), last) + chunk)
            hear(client, b"250")


def by_one_chunk(port: int, recipient: str, message: bytes) -> None:
    """One message with a single BDAT of its whole size."""
    by_chunks(port, recipient, message, len(message))


WAYS: list[tuple[str, Send, str]] = [
    ("in by DATA, out to smtp-sink", by_data, AWAY),
    ("in by BDAT of 1 MB, out to smtp-sink", by_chunks, AWAY),
    ("in by one BDAT, out to a Maildir", by_one_chunk, MAILBOX),
    ("in by DATA, out to a Maildir", by_data, MAILBOX),
]


def large_messages(size_bytes: int = LARGE_BYTES) -> list[Reached]:
    """A message of that size in and out, each way with a server of its own."""
    message = text_of(size_bytes)
    found = []
    for what, send, recipient in WAYS:
        with short_folder() as scratch, relaying(scratch) as (server, sink):
            deliver_all(server, sink, by_data, text_of(4_000), WARM)
            idle = resident_bytes(server.pid)
            with highest_resident(server.pid) as highest:
                deliver(server, sink, send, recipient, message)
            name = f"a {size_bytes / 1e6:g} MB message {what}"
            reached = Reached(name, (highest[0] - idle) / 1e6, "MB", MOST_FOR_LARGE_MB)
            found.append(reached)
    return found


@contextmanager
def relaying(scratch: Path) -> Iterator[tuple[PosternServer, Sink]]:
    """A server with a mailbox, and a sink that takes all other mail."""
    with smtp_sink(log=scratch / "sink.log") as sink:
        settings = PosternSettings(
            workers=WORKERS,
            listeners=(Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),),
            tables=(
                ("[egress]", f'name = "sink"\nrelay = "127.0.0.1:{sink.port}"'),
                ("limits", f"max_message_bytes = {2 * LARGE_BYTES}"),
            ),
        )
        with postern(settings) as server:
            server.domain_add("postern.test")
            server.mailbox_add(MAILBOX)
            yield server, sink


def deliver_all(server: PosternServer, sink: Sink, send: Send, message: bytes, count: int) -> None:
    """``count`` messages to each recipient, and wait until all are there."""
    for _ in range(count):
        deliver(server, sink, send, AWAY, message)
        deliver(server, sink, send, MAILBOX, message)


def deliver(server: PosternServer, sink: Sink, send: Send, recipient: str, message: bytes) -> None:
    """One message, until it is where it should be."""
    taken, new = sink.messages, server.maildir(MAILBOX) / "new"
    kept = stored(new)
    send(server.port(), recipient, message)
    if recipient == AWAY:
        sink.wait_for(taken + 1, within_s=300)
    else:
        wait_until(lambda: stored(new) > kept, "the message in its Maildir", within_s=300)


def stored(folder: Path) -> int:
    """How many messages a Maildir's folder holds."""
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0


def idle_connections(count: int, *, kind: str, tls: bool) -> Reached:
    """``count`` clients that said EHLO (under TLS) and then nothing."""
    allow_descriptors(count)
    with short_folder() as folder, ExitStack() as clients:
        limits = f"connections = {2 * count}\nconnections_per_address = {2 * count}"
        settings = PosternSettings(
            workers=WORKERS,
            listeners=(Listening(kind),),
            certificate=self_signed(folder, "mx.postern.test"),
            tables=(("limits", limits),),
        )
        with postern(settings) as server:
            port = server.port(kind)
            addresses = cycle(ADDRESSES)
            context = trusting() if tls else None
            for _ in range(2 * WORKERS):
                clients.enter_context(connect(port, address=next(addresses), tls=context))
            idle = steady_bytes(server)
            for _ in range(count):
                clients.enter_context(connect(port, address=next(addresses), tls=context))
            weighed = steady_bytes(server) - idle
            clients.close()
    return Reached(
        f"{count:,} idle connections{' under TLS' if tls else ''}",
        weighed / 1e6,
        "MB",
        None if tls else MOST_FOR_IDLE_MB,
        f"{weighed / count / 1e3:.1f} kB each",
    )


def steady_bytes(server: PosternServer) -> int:
    """PSS of the tree once it has stopped moving by more than 1 %."""
    seen = [0, tree_pss_bytes(server.pid)]

    def is_steady() -> bool:
        seen.append(tree_pss_bytes(server.pid))
        return abs(seen[-1] - seen[-2]) < 0.01 * seen[-1]

    wait_until(is_steady, "steady memory")
    return seen[-1]


def weigh(connections: int = CONNECTIONS) -> list[Reached]:
    """All findings."""
    return [
        *large_messages(),
        idle_connections(connections, kind="mx", tls=False),
        idle_connections(connections, kind="submissions", tls=True),
    ]


def main() -> int:
    """Weigh and print; exit 1 when something is over its bound."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    found = weigh(parser.parse_args().connections)
    print("\n".join(reached.line() for reached in found))
    return 0 if all(reached.is_good for reached in found) else 1


if __name__ == "__main__":
    sys.exit(main())
