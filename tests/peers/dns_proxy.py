"""A resolver behind a bad line: it passes questions on to a real DNS server, and drops some.

``with DnsProxy(nsd.address, silent={"tea.test"}) as home:`` never answers for ``tea.test`` and the
names below it; everything else is answered as the real server does. UDP alone.
"""

import contextlib
import socket
import threading
from collections.abc import Collection
from typing import Self

import dns.message

QUIT_S = 0.05
MAX_BYTES = 65_535


class DnsProxy:
    """One thread on one UDP socket of the loopback.

    ``silent`` may be changed at any time; ``dropped`` and ``passed`` are the names asked for.
    """

    def __init__(self, upstream: str, *, silent: Collection[str] = ()) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self.silent = set(silent)
        self.dropped: list[str] = []
        self.passed: list[str] = []
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(QUIT_S)
        self._quit = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``, as ``[[resolver]] servers`` takes it."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._quit.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._quit.is_set():
            with contextlib.suppress(OSError):  # a timeout, or a client that has gone
                wire, client = self._socket.recvfrom(MAX_BYTES)
                self._serve_one(wire, client)

    def _serve_one(self, wire: bytes, client: tuple[str, int]) -> None:
        name = dns.message.from_wire(wire).question[0].name.to_text(omit_final_dot=True).lower()
        if any(name == zone or name.endswith(f".{zone}") for zone in self.silent):
            self.dropped.append(name)
            return
        self.passed.append(name)
        with socket.socket(type=socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(2.0)
            upstream.sendto(wire, self._upstream)
            self._socket.sendto(upstream.recv(MAX_BYTES), client)
