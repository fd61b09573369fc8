"""``python -m bench.memory``: what a large message and ten thousand idle connections cost.

Memory is PSS of Postern's whole process tree above its own idle. The clients live in this process
and are not counted.
"""

import argparse
import resource
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.watch import highest_memory
from tests.peers.certificates import self_signed
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder, wait_until
from tests.peers.proctree import tree_pss_bytes
from tests.peers.sink import smtp_sink, smtp_source

LARGE_BYTES = 50_000_000
CONNECTIONS = 10_000
SAMPLE_S = 0.05
SPARE_DESCRIPTORS = 2_000


@dataclass(frozen=True, slots=True)
class Weighed:
    """One finding: megabytes above idle, and the most it may be (None: only written down)."""

    what: str
    megabytes: float
    most: float | None

    @property
    def is_good(self) -> bool:
        """Whether it is within its bound."""
        return self.most is None or self.megabytes <= self.most

    def line(self) -> str:
        """For the terminal."""
        bound = "" if self.most is None else f" (at most {self.most:g})"
        word = "" if self.is_good else "  TOO MUCH"
        return f"{self.what}: {self.megabytes:.1f} MB above idle{bound}{word}"


def large_message() -> Weighed:
    """One 50 MB message in, kept, and out to a sink."""
    with short_folder() as scratch, smtp_sink(log=scratch / "sink.log") as sink:
        settings = PosternSettings(
            listeners=(Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),),
            tables=(
                ("[egress]", f'name = "sink"\nrelay = "127.0.0.1:{sink.port}"'),
                ("delivery", 'egress = "sink"'),
                ("limits", f"max_message_bytes = {2 * LARGE_BYTES}"),
            ),
        )
        with postern(settings) as server:
            # A small one first: what is loaded once for all messages is not this one's cost.
            smtp_source(server.port(), messages=5, recipient="warm@sink.test")
            sink.wait_for(5, within_s=60)
            idle = idle_bytes(server)
            with highest_memory(server.pid, every_s=SAMPLE_S) as peak:
                smtp_source(server.port(), messages=1, size_bytes=LARGE_BYTES)
                sink.wait_for(6, within_s=300)
    return Weighed("a 50 MB message in and out", (peak[0] - idle) / 1e6, 32)


def idle_connections(count: int, *, tls: bool) -> Weighed:
    """``count`` clients that said EHLO (under TLS) and then nothing."""
    allow_descriptors(count)
    with short_folder() as folder, ExitStack() as clients:
        settings = PosternSettings(
            listeners=(Listening("submissions" if tls else "mx"),),
            certificate=self_signed(folder, "mx.postern.test"),
            tables=(
                ("limits", f"connections = {2 * count}\nconnections_per_address = {2 * count}"),
            ),
        )
        with postern(settings) as server:
            port = server.port("submissions" if tls else "mx")
            clients.enter_context(connect(port, tls=tls))
            idle = idle_bytes(server)
            for _ in range(count):
                clients.enter_context(connect(port, tls=tls))
            weighed = tree_pss_bytes(server.pid) - idle
            clients.close()
    what = f"{count:,} idle connections{' under TLS' if tls else ''}"
    return Weighed(what, weighed / 1e6, None if tls else 150)


@contextmanager
def connect(port: int, *, tls: bool) -> Iterator[socket.socket]:
    """One client that was greeted and said EHLO."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        connection: socket.socket = plain
        if tls:
            connection = CLIENT_TLS.wrap_socket(plain, server_hostname="mx.postern.test")
        hear(connection)
        connection.sendall(b"EHLO client.test\r\n")
        hear(connection)
        yield connection


def hear(connection: socket.socket) -> bytes:
    """One whole reply."""
    reply = b""
    while not (reply.endswith(b"\r\n") and reply.splitlines()[-1][3:4] == b" "):
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError(f"closed after {reply!r}")
        reply += piece
    return reply


def trusting() -> ssl.SSLContext:
    """A client that takes any certificate; who the server is does not matter here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


CLIENT_TLS = trusting()


def idle_bytes(server: PosternServer) -> int:
    """Memory once it has stopped moving by more than 1 %."""
    seen = [0, tree_pss_bytes(server.pid)]

    def is_steady() -> bool:
        seen.append(tree_pss_bytes(server.pid))
        return abs(seen[-1] - seen[-2]) < 0.01 * seen[-1]

    wait_until(is_steady, "steady memory")
    return seen[-1]


def allow_descriptors(count: int) -> None:
    """Raise the limit of open files for this process and the servers it starts."""
    wanted = count + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


def weigh(connections: int) -> list[Weighed]:
    """All findings."""
    return [
        large_message(),
        idle_connections(connections, tls=False),
        idle_connections(connections, tls=True),
    ]


def main() -> int:
    """Weigh and print; exit 1 when something is over its bound."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    found = weigh(parser.parse_args().connections)
    print("\n".join(weighed.line() for weighed in found))
    return 0 if all(weighed.is_good for weighed in found) else 1


if __name__ == "__main__":
    sys.exit(main())
