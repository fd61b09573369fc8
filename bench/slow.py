"""``python -m bench.slow``: 50 MB from a client, and to a peer, that manage 100 kB/s.

Both run at the same time against one Postern with its default time limits; each takes 500 s.
"""

import argparse
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.client import connect, conversation, hear, text_of
from bench.reached import Reached
from bench.watch import highest_memory
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern

LARGE_BYTES = 50_000_000
RATE_BYTES_S = 100_000
BEAT_S = 0.1
SMALL_WINDOW_BYTES = 16_384
"""The slow peer's receive buffer: else the kernel would take megabytes in its name."""
PATIENCE = 1.5
MAILBOX = "slow@postern.test"


@dataclass
class SlowPeer:
    """A receiver that reads ``RATE_BYTES_S``; ``taken`` is the one message it got."""

    port: int
    rate: int
    arrived: threading.Event = field(default_factory=threading.Event)
    taken: bytearray = field(default_factory=bytearray)

    def serve(self, listening: socket.socket) -> None:
        """Take one message from one connection, then say goodbye."""
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"220 slow.test ESMTP\r\n")
            while True:
                command = self._line(connection)
                if not command:
                    return
                if command.upper().startswith((b"EHLO", b"HELO")):
                    connection.sendall(b"250-slow.test\r\n250 SIZE 0\r\n")
                elif command.upper().startswith(b"DATA"):
                    connection.sendall(b"354 slowly\r\n")
                    self._take(connection)
                    connection.sendall(b"250 2.0.0 taken\r\n")
                    self.arrived.set()
                else:
                    connection.sendall(b"250 2.0.0 ok\r\n")

    @staticmethod
    def _line(connection: socket.socket) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            piece = connection.recv(1)
            if not piece:
                return b""
            line += piece
        return line

    def _take(self, connection: socket.socket) -> None:
        """Read the message at the rate; the end of data may be cut anywhere."""
        begin = time.monotonic()
        while not self.taken.endswith(b"\r\n.\r\n"):
            allowed = int((time.monotonic() - begin) * self.rate) - len(self.taken)
            if allowed <= 0:
                time.sleep(BEAT_S)
                continue
            piece = connection.recv(allowed)
            if not piece:
                return
            self.taken += piece


@contextmanager
def slow_peer(rate: int) -> Iterator[SlowPeer]:
    """A slow receiver on a free port."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        peer = SlowPeer(listening.getsockname()[1], rate)
        threading.Thread(target=peer.serve, args=(listening,), daemon=True).start()
        yield peer


def send_slowly(port: int, message: bytes, rate: int) -> float:
    """Send ``message`` to ``MAILBOX`` at the rate; seconds until it was answered 250."""
    begin = time.monotonic()
    with connect(port) as client:
        conversation(client, b"MAIL FROM:<slow@client.test>", f"RCPT TO:<{MAILBOX}>".encode())
        client.sendall(b"DATA\r\n")
        hear(client, b"354")
        started, at = time.monotonic(), 0
        while at < len(message):
            allowed = int((time.monotonic() - started) * rate) - at
            client.sendall(message[at : at + max(0, allowed)])
            at += max(0, allowed)
            time.sleep(BEAT_S)
        client.settimeout(120)
        client.sendall(b".\r\n")
        hear(client, b"250")
    return time.monotonic() - begin


def send_at_once(port: int, message: bytes) -> None:
    """Send ``message`` to the slow peer's domain."""
    with connect(port) as client:
        conversation(client, b"MAIL FROM:<fast@client.test>", b"RCPT TO:<a@slow.test>")
        client.sendall(b"DATA\r\n")
        hear(client, b"354")
        client.sendall(message + b".\r\n")
        hear(client, b"250")


def slow_ways(size_bytes: int = LARGE_BYTES, rate: int = RATE_BYTES_S) -> list[Reached]:
    """Both ways at once.

    Raises:
        AssertionError: a message did not arrive, or not as it was sent.
    """
    message = text_of(size_bytes)
    longest_s = size_bytes / rate * PATIENCE + 60
    with slow_peer(rate) as peer:
        settings = PosternSettings(
            listeners=(Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),),
            tables=(("[egress]", f'name = "slow"\nrelay = "127.0.0.1:{peer.port}"'),),
        )
        with postern(settings) as server, ThreadPoolExecutor(1) as threads:
            server.domain_add("postern.test")
            server.mailbox_add(MAILBOX)
            with highest_memory(server.pid, every_s=1.0) as peak:
                begin = time.monotonic()
                sending = threads.submit(send_slowly, server.port(), message, rate)
                send_at_once(server.port(), message)
                assert peer.arrived.wait(longest_s), "nothing arrived at the slow peer"
                out_s = time.monotonic() - begin
                in_s = sending.result(longest_s)
            check_arrived(server, peer, message)
    note = f"{size_bytes / 1e6:g} MB at {rate // 1000} kB/s, arrived whole"
    return [
        Reached("from a slow client", in_s, "s", longest_s, note),
        Reached("to a slow peer", out_s, "s", longest_s, note),
        Reached("highest memory of the tree meanwhile", peak[0] / 1e6, "MB"),
    ]


def check_arrived(server: PosternServer, peer: SlowPeer, message: bytes) -> None:
    """Both messages end as they were sent: header fields were put in front of them."""
    (stored,) = server.wait_for_messages(MAILBOX, within_s=60)
    assert stored.endswith(message.replace(b"\r\n", b"\n")), "the mailbox has something else"
    assert peer.taken.endswith(message + b".\r\n"), "the slow peer has something else"
    assert not server.waiting(), "something still waits"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow", description=__doc__)
    parser.add_argument("--bytes", type=int, default=LARGE_BYTES)
    found = slow_ways(parser.parse_args().bytes)
    print("\n".join(reached.line() for reached in found))
    return 0 if all(reached.is_good for reached in found) else 1


if __name__ == "__main__":
    sys.exit(main())
