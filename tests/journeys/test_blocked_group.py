"""A provider is blocked: its mail takes a relay at once, others' does not; and the way back.

The provider's five mail hosts are addresses of loopback. *Refused* is nobody listening there,
*silent* somebody who never greets. The relay is a second Postern, with a login and verified TLS.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest
from tests.journeys.clients import submit
from tests.journeys.told import Conversation, wait_state, wait_told
from tests.peers.certificates import Authority
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import free_port, short_folder, wait_until

pytestmark = pytest.mark.peers("nsd")

ALICE = "alice@here.test"
ADDRESSES = tuple(f"127.0.7.{n}" for n in range(1, 6))
HOSTS = "".join(f"mx{n} A {ip}\n" for n, ip in enumerate(ADDRESSES, 1))
ALL_MX = "".join(f"@ MX {n}0 mx{n}.provider.test.\n" for n in range(1, 6))
ZONES = {
    "provider.test": HOSTS,
    "far.test": ALL_MX,
    "two.test": ALL_MX,
    "relay.test": "@ A 127.0.0.1",
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
QUICK = """\
retest_s = 0.6
first_retest_s = 0.3
good_tests = 3
canaries = 2
"""
BOTH = (Listening(), Listening("submission"))


@dataclass
class World:
    """Alice's Postern, the relay, and what is at the provider's addresses."""

    desk: PosternServer
    relay: PosternServer
    provider: PosternServer
    port: int

    def deliver(self, to: str, *, within_s: float = 20.0) -> tuple[Conversation, float]:
        """Alice sends, and it arrives somewhere; how, and after how many seconds."""
        began = time.monotonic()
        code = submit(self.desk.port("submission"), ALICE, "own secret", [to])
        wait_until(lambda: self._has(to, code), f"{code} to {to}", within_s=within_s)
        took = time.monotonic() - began
        return wait_state(self.desk, code, **{to.split("@", maxsplit=1)[0]: "delivered"}), took

    def _has(self, to: str, code: str) -> bool:
        found = (*self.relay.messages(to), *self.provider.messages(to))
        return any(code.encode() in raw for raw in found)

    def via(self, to: str) -> str:
        """The egress that a message went through in the end."""
        return self.deliver(to)[0].attempts[-1].egress

    def routes(self) -> list[dict[str, object]]:
        """The routes that hold."""
        found = self.desk.cli_json("route", "list")["routes"]
        assert isinstance(found, list)
        return found

    def text(self) -> str:
        """How ``postern paths`` speaks of the provider."""
        return self.desk.cli("paths", "provider.test", codes=(0, 1, 2))

    def wait_withdrawn(self) -> list[str]:
        """Mail flows until the relay was taken back; the egress of each message."""
        taken: list[str] = []
        give_up = time.monotonic() + 40
        while self.routes():
            assert time.monotonic() < give_up, self.text()
            taken.append(self.via("zoe@far.test"))
        return taken


@contextmanager
def silence(port: int) -> Iterator[None]:
    """Somebody at every address who takes connections and never greets."""
    with ExitStack() as stack:
        for ip in ADDRESSES:
            stack.enter_context(socket.create_server((ip, port), backlog=64))
        yield


class Flapping(threading.Thread):
    """A mail host at the first address that hangs up on every second connection."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._server = socket.create_server((ADDRESSES[0], port), backlog=64)
        self.connections = 0

    def run(self) -> None:
        """Until it is closed."""
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            with line, suppress(OSError):
                if self.connections % 2:
                    line.settimeout(5)
                    line.sendall(b"220 mx1.provider.test\r\n")
                    while said := line.recv(1000):
                        line.sendall(b"250 ok\r\n" if said[:1] in b"Ee" else b"221 bye\r\n")

    def close(self) -> None:
        """Hang up for good."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@dataclass(frozen=True)
class Others:
    """Everybody but Alice's server: the relay, the provider's server (which does not run), DNS."""

    relay: PosternServer
    provider: PosternServer
    dns: NsdServer
    port: int


@pytest.fixture(scope="module")
def others(authority: Authority) -> Iterator[Others]:
    port = free_port()
    relay_settings = PosternSettings(
        hostname="relay.test",
        listeners=BOTH,
        certificate=authority.issue("relay.test"),
        tables=(("submission", 'relay_accounts = ["desk@relay.test"]'),),
    )
    listeners = tuple(Listening(bind=f"{ip}:{port}") for ip in ADDRESSES)
    provider_settings = PosternSettings(hostname="mx.provider.test", listeners=listeners)
    other_settings = PosternSettings(
        hostname="mx.other.test", listeners=(Listening(bind=f"127.0.7.9:{port}"),)
    )
    with (
        NsdServer(ZONES) as dns,
        postern(relay_settings) as relay,
        postern(provider_settings, start=False) as provider,
        postern(other_settings) as other,
    ):
        relay.domain_add("relay.test")
        relay.mailbox_add("desk@relay.test", "relay secret")
        other.domain_add("other.test")
        other.mailbox_add("ann@other.test")
        for server in (relay, provider):
            for address in ("zoe@far.test", "bob@two.test"):
                server.domain_add(address.partition("@")[2])
                server.mailbox_add(address)
        yield Others(relay, provider, dns, port)


@contextmanager
def world_of(
    authority: Authority, others: Others, password: str = "relay secret"
) -> Iterator[World]:
    """Alice's server, new; ``password`` is what it knows for the relay."""
    with short_folder() as folder:
        file = folder / "password"
        file.write_text(f"{password}\n")
        file.chmod(0o600)
        egress = EGRESS.format(port=others.relay.port("submission"), password=file)
        settings = PosternSettings(
            hostname="desk.here.test",
            listeners=BOTH,
            certificate=authority.issue("desk.here.test"),
            resolver=others.dns.address,
            tables=(
                ("[egress]", 'name = "direct"'),
                ("[egress]", egress),
                ("delivery", f"port = {others.port}"),
                ("paths", QUICK),
            ),
            environment={"SSL_CERT_FILE": str(authority.ca)},
        )
        with postern(settings) as desk:
            desk.domain_add("here.test")
            desk.mailbox_add(ALICE, "own secret")
            sign(desk)
            yield World(desk, others.relay, others.provider, others.port)
            if others.provider.server is not None:
                others.provider.stop()


def sign(desk: PosternServer) -> None:
    """Let mail of here.test be signed now: signed mail may leave through any server."""
    keys = desk.cli_json("dkim", "list", "here.test")["keys"]
    assert isinstance(keys, list)
    for key in keys:
        desk.cli("dkim", "activate", "here.test", str(key["selector"]))


@pytest.fixture
def world(authority: Authority, others: Others) -> Iterator[World]:
    with world_of(authority, others) as made:
        yield made


def test_refused_everywhere_the_relay_has_it_at_once_and_only_that_group(world: World) -> None:
    first, took = world.deliver("zoe@far.test")
    assert took < 10
    last = first.attempts[-1]
    assert last.egress == "us1"
    assert last.tls.startswith("TLS1.3")
    told = wait_state(world.relay, ALICE, zoe="delivered")
    assert [step.result for step in told.steps if step.step == "auth"] == ["pass"]
    wait_until(lambda: bool(world.routes()), "a route")
    (route,) = world.routes()
    assert (route["value"], route["via"], route["automatic"], route["author"]) == (
        "provider.test", "us1", True, "postern",
    )  # fmt: skip
    assert "5 of 5 MX addresses refuse the connection since" in str(route["reason"])

    second, took = world.deliver("bob@two.test")
    assert took < 1, "a domain of the same group that was never met goes straight through it"
    assert [attempt.egress for attempt in second.attempts] == ["us1"]
    text = world.desk.cli("why", second.trace)
    assert "relayed: provider.test is blocked: 5 of 5" in " ".join(text.split())
    assert f"route {route['id']}" in text

    code = submit(world.desk.port("submission"), ALICE, "own secret", ["ann@other.test"])
    other = wait_state(world.desk, code, ann="delivered")
    assert [attempt.egress for attempt in other.attempts] == ["direct"], "nobody else is touched"

    listed = world.desk.cli("temporary", "list")
    assert listed.splitlines()[1].split()[:2] == [route["id"], "route"]
    assert f"relay route {route['id']} via us1" in world.text()


def test_silent_everywhere_the_first_takes_seconds_and_the_next_none(world: World) -> None:
    with silence(world.port):
        first, took = world.deliver("zoe@far.test")
        assert took < 10
        assert first.attempts[-1].egress == "us1"
        wait_until(lambda: bool(world.routes()), "a route")
        second, took = world.deliver("bob@two.test")
        assert took < 1
        assert [attempt.egress for attempt in second.attempts] == ["us1"]


def test_a_path_that_fails_every_second_try_stays_relayed(world: World) -> None:
    flapping = Flapping(world.port)
    try:
        assert world.via("zoe@far.test") == "us1"
        wait_until(lambda: bool(world.routes()), "a route")
        (route,) = world.routes()
        flapping.start()
        wait_until(lambda: flapping.connections >= 12, "a dozen tests", within_s=40)
        assert world.routes() == [route], "it was never taken back"
        assert world.via("bob@two.test") == "us1"
    finally:
        flapping.close()


def test_a_kill_keeps_the_state_and_a_restored_path_is_taken_again(world: World) -> None:
    assert world.via("zoe@far.test") == "us1"
    wait_until(lambda: bool(world.routes()), "a route")
    (route,) = world.routes()
    world.desk.kill_worker()
    world.desk.kill()
    world.desk.start()
    told, took = world.deliver("bob@two.test")
    assert [attempt.egress for attempt in told.attempts] == ["us1"]
    assert took < 5
    assert world.routes() == [route]
    world.provider.start()
    taken = world.wait_withdrawn()
    assert taken.count("direct") >= 2, taken
    assert world.via("bob@two.test") == "direct"


def test_a_person_withdraws_and_forbids(world: World) -> None:
    assert world.via("zoe@far.test") == "us1"
    wait_until(lambda: bool(world.routes()), "a route")
    said = world.desk.cli("route", "end", str(world.routes()[0]["id"]))
    assert "goes direct for a day" in said
    code = submit(world.desk.port("submission"), ALICE, "own secret", ["zoe@far.test"])
    told = wait_state(world.desk, code, zoe="waiting")
    assert {attempt.egress for attempt in told.attempts} == {"direct"}
    assert world.routes() == []
    world.desk.cli("route", "policy", "provider.test", "automatic")
    wait_until(lambda: bool(world.routes()), "a route once more")


def test_a_relay_that_locks_us_out_loses_nothing_and_is_told_of(
    authority: Authority, others: Others
) -> None:
    with world_of(authority, others, password="wrong") as world:
        code = submit(world.desk.port("submission"), ALICE, "own secret", ["zoe@far.test"])
        wait_told(world.desk, code, lambda told: any("535" in a.reply for a in told.attempts))
        wait_state(world.desk, code, zoe="waiting")
        assert world.desk.messages(ALICE) == [], "nothing bounced"
        wait_until(lambda: "login ref." in world.desk.cli("paths", codes=(0, 1, 2)), "told of it")
        text = world.desk.cli("doctor", codes=(0, 1, 2, 3))
        assert "the relay us1 does not take our login" in text
