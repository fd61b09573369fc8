"""Destinations that hold lines open or say nothing: others' mail goes on, and a person sees why."""

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
from aiosmtpd.controller import Controller
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import free_port, wait_until
from tests.peers.swaks import swaks

pytestmark = pytest.mark.peers("nsd", "swaks")

TARPITS = 6
WELL_IP = "127.0.7.1"
DEAD_IP = "127.0.7.2"


@dataclass
class Taken:
    """A quick server: what it took, and when."""

    at: list[float] = field(default_factory=list)

    async def handle_DATA(self, *_: object) -> str:  # noqa: N802 - aiosmtpd's name
        """Take it."""
        self.at.append(time.monotonic())
        return "250 2.0.0 taken"


@contextmanager
def tarpit(port: int) -> Iterator[None]:
    """Takes connections on all its addresses and never says a word."""
    with contextlib.ExitStack() as stack:
        for number in range(TARPITS):
            listening = stack.enter_context(socket.socket())
            listening.bind((f"127.0.8.{number + 1}", port))
            listening.listen(64)
        yield


@contextmanager
def well(port: int, taken: Taken) -> Iterator[None]:
    """A quick server."""
    controller = Controller(taken, hostname=WELL_IP, port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


class Standing(msgspec.Struct):
    """How a group stands."""

    condition: str
    temporary: str | None = None


class Cause(msgspec.Struct):
    """One line of the queue."""

    mx_group: str
    group: Standing | None


class Lane(msgspec.Struct):
    """Slots of one lane."""

    used: int


class Slots(msgspec.Struct):
    """Slots by lane."""

    lanes: dict[str, Lane]


class Told(msgspec.Struct):
    """The queue, as far as it matters here."""

    slots: Slots
    causes: list[Cause]


@dataclass(frozen=True)
class World:
    """Postern with two fast slots, and what it meets."""

    postern: PosternServer
    port: int
    taken: Taken

    def send(self, to: str) -> None:
        """Mail from a client that may send to anyone."""
        sent = swaks(self.postern.port(), sender="li@client.test", to=to)
        assert sent.accepted

    def queue(self) -> Told:
        """What ``postern queue`` tells."""
        text = self.postern.cli("queue", "--json", codes=(0, 1, 2))
        return msgspec.json.decode(text, type=Told)

    def group(self, name: str) -> Standing:
        """What is told of a group; nothing but empty words while nothing is."""
        found = (cause.group for cause in self.queue().causes if cause.mx_group == name)
        return next(found, None) or Standing("")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    zones = {f"tar{n}.test": f"@ MX 10 mx\nmx A 127.0.8.{n + 1}" for n in range(TARPITS)}
    zones["well.test"] = f"@ MX 10 mx\nmx A {WELL_IP}"
    zones["dead.test"] = f"@ MX 10 mx\nmx A {DEAD_IP}"
    port = free_port(WELL_IP)
    taken = Taken()
    with NsdServer(zones) as dns, tarpit(port), well(port, taken):
        settings = PosternSettings(
            listeners=(Listening(extra='relay_from = ["127.0.0.0/8"]'),),
            resolver=dns.address,
            tables=(
                ("delivery", f"port = {port}\nslots = 2\nslow_slots = 20\ngroup_share = 1.0"),
                ("queue", "drain_per_min = 600"),
            ),
        )
        with postern(settings) as server:
            yield World(server, port, taken)


def test_mail_for_others_goes_on_while_tarpits_hold_every_slot(world: World) -> None:
    for number in range(TARPITS):
        world.send(f"a@tar{number}.test")
    sent_at = time.monotonic()
    world.send("chen@well.test")
    wait_until(lambda: len(world.taken.at) == 1, "mail for the quick server", within_s=14)
    assert world.taken.at[0] - sent_at < 14  # no session has even become slow by then
    assert world.queue().slots.lanes["slow"].used >= TARPITS - 2


def test_tarpits_are_named_as_what_holds_connections_open(world: World) -> None:
    wait_until(
        lambda: world.group("tar0.test").condition == "slow", "tar0 to be told as slow", within_s=30
    )
    text = world.postern.cli("queue", codes=(0, 1, 2))
    assert "tar0.test holds connections open" in text
    assert "slots in the slow lane (cap reached; others not affected)" in text


def test_a_dead_group_is_shut_and_all_goes_as_soon_as_it_answers(world: World) -> None:
    for number in range(8):
        world.send(f"u{number}@dead.test")
    wait_until(lambda: world.group("dead.test").condition == "shut", "dead.test to be shut")
    assert "one message at a time is tried, to see" in world.postern.cli("queue", codes=(0, 1, 2))
    taken = Taken()
    controller = Controller(taken, hostname=DEAD_IP, port=world.port)
    controller.start()
    try:
        wait_until(lambda: len(taken.at) == 8, "all mail for dead.test", within_s=60)
    finally:
        controller.stop()


def test_nothing_of_a_suspended_group_is_tried_until_it_is_resumed(world: World) -> None:
    before = len(world.taken.at)
    world.postern.cli("queue", "suspend", "--group", "well.test", "--reason", "ticket 812")
    world.send("li@well.test")
    wait_until(lambda: world.group("well.test").condition == "suspended", "well.test to wait")
    assert world.group("well.test").temporary == "Q1"
    assert "(Q1): ticket 812" in world.postern.cli("queue", codes=(0, 1, 2))
    assert len(world.taken.at) == before
    world.postern.cli("queue", "resume", "--group", "well.test")
    wait_until(lambda: len(world.taken.at) == before + 1, "mail for well.test", within_s=20)
