"""A provider is blocked: its mail takes a relay at once, others' does not; and the way back.

The provider's five mail hosts are addresses of loopback. *Refused* is nobody listening there,
*silent* somebody who never greets. The relay is a second Postern, with a login and verified TLS.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from tests.journeys.clients import submit
from tests.journeys.told import Conversation, wait_state
from tests.peers.postern_server import PosternServer

pytestmark = pytest.mark.peers("nsd")

ALICE = "alice@here.test"
ADDRESSES = tuple(f"127.0.7.{n}" for n in range(1, 6))
HOSTS = "".join(f"mx{n} A {ip}\n" for n, ip in enumerate(ADDRESSES, 1))
ALL_MX = "".join(f"@ MX {n}0 mx{n}.provider.test.\n" for n in range(1, 6))
ZONES = {
    "provider.test": HOSTS,
    "far.test": ALL_MX,
    "two.test": ALL_MX,
    "other.test": "@ MX 10 mx\nmx A 127.0.7.9",
}
"""``far`` and ``two`` are hosted at the same provider; ``other`` has a mail host of its own."""
EGRESS = """\
name = "us1"
relay = "relay.test:{port}"
username = "desk@relay.test"
password_file = "{password}"
tls = "verify"
"""
QUICK = "retest_s = 0.4\nfirst_retest_s = 0.2\ngood_tests = 3\ncanaries = 2"


@dataclass
class World:
    """Alice's Postern, the relay, and the provider's mail hosts: a third Postern, or nobody."""

    desk: PosternServer
    relay: PosternServer
    provider: PosternServer
    doors: "Doors"

    def send(self, to: str) -> str:
        """Alice sends; returns the trace code."""
        return submit(self.desk.port("submission"), ALICE, "own secret", [to])

    def deliver(self, to: str) -> tuple[Conversation, float]:
        """Alice sends, and it arrives; how, and after how many seconds."""
        began = time.monotonic()
        code = self.send(to)
        told = wait_state(self.desk, code, **{to.split("@", maxsplit=1)[0]: "delivered"})
        return told, time.monotonic() - began

    def via(self, to: str) -> str:
        """The egress that a message went through in the end."""
        return self.deliver(to)[0].attempts[-1].egress

    def routes(self) -> list[dict[str, object]]:
        found = self.desk.cli_json("route", "list")["routes"]
        assert isinstance(found, list)
        return found

    def state(self) -> str:
        """How ``postern paths`` speaks of the provider's route."""
        found = self.desk.cli_json("paths", "provider.test", codes=(0, 1, 2, 4)).get("groups", [])
        assert isinstance(found, list)
        return str(found[0]["route"]) if found else ""


@dataclass
class Doors:
    """What is at the provider's addresses: nobody, silence, or its server behind each."""

    port: int
    server_port: int
    stack: ExitStack = field(default_factory=ExitStack)

    def shut(self) -> None:
        """Connections are refused."""
        self.stack.close()

    def fall_silent(self) -> None:
        """Connections are taken by nobody: the kernel answers, and no greeting ever comes."""
        self.shut()
        for ip in ADDRESSES:
            self.stack.enter_context(listening(ip, self.port))

    def open(self) -> None:
        """The server answers at every address."""
        self.shut()
        for ip in ADDRESSES:
            self.stack.enter_context(forwarding(ip, self.port, self.server_port))


@contextmanager
def listening(ip: str, port: int) -> Iterator[None]:
    with socket.create_server((ip, port), backlog=64):
        yield
