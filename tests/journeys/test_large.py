"""50 MB through a bounded amount of memory, and patience with those who are slow.

The slow ones here move 0.6 MB at 100 kB/s; ``bench/memory.py`` and the numbers in
``docs/benchmarks.md`` are of 50 MB.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.journeys.clients import send_large
from tests.journeys.told import code_in, wait_state
from tests.peers.postern_server import PosternServer, PosternSettings, postern
from tests.peers.proctree import pss_bytes
from tests.peers.scanners import clamd
from tests.peers.sink import smtp_sink

LARGE_BYTES = 50_000_000
SLOW_BYTES = 600_000
SLOW_BYTES_S = 100_000.0
ALLOWED_BYTES = 32 * 1024 * 1024


class Scales:
    """The most memory a process takes while one looks, above what it took before."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.idle = self.most = 0

    def __enter__(self) -> "Scales":
        self.idle = self.most = pss_bytes([self._pid])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            self.most = max(self.most, pss_bytes([self._pid]))

    @property
    def above_idle(self) -> int:
        return self.most - self.idle


@contextmanager
def here(settings: PosternSettings | None = None) -> Iterator[PosternServer]:
    """A Postern with a mailbox, past its first message."""
    # Fresh: memory is counted in parts where processes share it.
    with postern(replace(settings or PosternSettings(), is_fresh=True)) as server:
        server.domain_add("here.test")
        server.mailbox_add("bob@here.test")
        yield server


@pytest.mark.peers("smtp-sink")
def test_50_mb_come_in_and_go_out_in_little_memory(tmp_path: Path) -> None:
    with smtp_sink(log=tmp_path / "sink.log") as sink, here() as server:
        server.domain_add("sink.test", to=f"127.0.0.1:{sink.port}")
        to = ["bob@here.test", "zoe@sink.test"]
        send_large(server.port(), "first@far.test", to, 10_000)
        wait_state(server, "first@far.test", bob="delivered", zoe="delivered")
        with Scales(server.status().pid) as scales:
            reply = send_large(server.port(), "li@far.test", to, LARGE_BYTES)
            assert reply.startswith("250"), reply
            wait_state(server, code_in(reply), bob="delivered", zoe="delivered")
        large = max(server.messages("bob@here.test"), key=len)
        assert len(large.replace(b"\n", b"\r\n")) >= LARGE_BYTES - 100_000
        sink.wait_for(2, within_s=10)
        assert list((server.data / "spool").glob("**/*.body")) == []
        print(f"{scales.above_idle / 1e6:.1f} MB above {scales.idle / 1e6:.1f} MB idle")
        assert scales.above_idle <= ALLOWED_BYTES, f"{scales.above_idle / 1e6:.0f} MB above idle"


@pytest.mark.peers("clamd")
def test_50_mb_are_scanned_in_little_memory() -> None:
    with clamd() as scanner:
        tables = (("scanner.clamd", f'socket = "{scanner.socket}"\nmax_bytes = 0'),)
        with here(PosternSettings(tables=tables)) as server:
            send_large(server.port(), "first@far.test", ["bob@here.test"], 10_000)
            wait_state(server, "first@far.test", bob="delivered")
            with Scales(server.status().pid) as scales:
                reply = send_large(server.port(), "li@far.test", ["bob@here.test"], LARGE_BYTES)
                assert reply.startswith("250"), reply
                told = wait_state(server, code_in(reply), bob="delivered")
            assert "virus.found" in [step.step for step in told.steps if step.result == "pass"]
            print(f"{scales.above_idle / 1e6:.1f} MB above {scales.idle / 1e6:.1f} MB idle")
            assert scales.above_idle <= ALLOWED_BYTES


def take_slowly(listening: socket.socket, taken: bytearray) -> None:
    """A server that reads no more than 100 kB a second; ends with its second connection's QUIT."""
    while b"\r\n.\r\n" not in taken[-5:]:
        sock, _ = listening.accept()
        with sock, sock.makefile("rb") as file:
            sock.sendall(b"220 slow.test\r\n")
            while line := file.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    sock.sendall(b"354 go on\r\n")
                    read_slowly(sock, taken)
                sock.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    break


def read_slowly(sock: socket.socket, taken: bytearray) -> None:
    begin = time.monotonic()
    while taken[-5:] != b"\r\n.\r\n":
        chunk = sock.recv(10_000)
        if not chunk:
            return
        taken += chunk
        time.sleep(max(0.0, begin + len(taken) / SLOW_BYTES_S - time.monotonic()))


def test_slow_clients_and_slow_peers_are_waited_for() -> None:
    taken = bytearray()
    with socket.socket() as listening, here() as server:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server.domain_add("slow.test", to=f"127.0.0.1:{listening.getsockname()[1]}")
        peer = threading.Thread(target=take_slowly, args=(listening, taken), daemon=True)
        peer.start()
        begin = time.monotonic()
        out = send_large(server.port(), "out@far.test", ["zoe@slow.test"], SLOW_BYTES)
        reply = send_large(
            server.port(), "in@far.test", ["bob@here.test"], SLOW_BYTES, bytes_per_s=SLOW_BYTES_S
        )
        assert time.monotonic() - begin >= SLOW_BYTES / SLOW_BYTES_S * 0.9
        wait_state(server, code_in(reply), bob="delivered")
        told = wait_state(server, code_in(out), zoe="delivered")
        assert told.attempts[-1].seconds >= SLOW_BYTES / SLOW_BYTES_S * 0.8
        (stored,) = server.wait_for_messages("bob@here.test")
        assert len(stored.replace(b"\n", b"\r\n")) >= SLOW_BYTES - 10_000
        assert len(taken) >= SLOW_BYTES - 100_000
        peer.join(10)
        assert not peer.is_alive()
