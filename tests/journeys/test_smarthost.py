"""All mail to outside leaves through a relay that wants a password: a second Postern."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.journeys.clients import submit
from tests.journeys.told import wait_state, wait_tried
from tests.peers.certificates import Authority
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder

ALICE = "alice@here.test"
LISTENERS = (Listening(), Listening("submission"))
EGRESS = """\
name = "us1"
relay = "127.0.0.1:{port}"
username = "{login}"
password_file = "{password}"
"""


@dataclass(frozen=True)
class World:
    """Alice's Postern, the relay, and the file with the relay's password."""

    desk: PosternServer
    relay: PosternServer
    password: Path

    def send(self, to: str) -> str:
        """Alice sends; returns the trace code."""
        return submit(self.desk.port("submission"), ALICE, "own secret", [to])


@contextmanager
def desk_and_relay(authority: Authority) -> Iterator[World]:
    """Both, running."""
    relay_settings = PosternSettings(
        hostname="relay.test",
        listeners=LISTENERS,
        certificate=authority.issue("relay.test", "127.0.0.1"),
    )
    with short_folder() as folder, postern(relay_settings) as relay:
        password = folder / "password"
        password.write_text("relay secret\n")
        password.chmod(0o600)
        for domain in ("here.test", "far.test"):
            relay.domain_add(domain)
        relay.mailbox_add(ALICE, "relay secret")
        relay.mailbox_add("zoe@far.test")
        egress = EGRESS.format(port=relay.port("submission"), login=ALICE, password=password)
        settings = PosternSettings(
            hostname="desk.here.test",
            listeners=LISTENERS,
            certificate=authority.issue("desk.here.test"),
            tables=(("[egress]", egress), ("delivery", f'ca_file = "{authority.ca}"')),
        )
        with postern(settings) as desk:
            desk.domain_add("here.test")
            desk.mailbox_add(ALICE, "own secret")
            yield World(desk, relay, password)


@pytest.fixture(scope="module")
def world(authority: Authority) -> Iterator[World]:
    with desk_and_relay(authority) as both:
        yield both


@pytest.fixture
def own_world(authority: Authority) -> Iterator[World]:
    """Not shared: its password will be changed."""
    with desk_and_relay(authority) as both:
        yield both


def test_mail_leaves_through_the_relay_signed_in_under_tls(world: World) -> None:
    code = world.send("zoe@far.test")
    (raw,) = world.relay.wait_for_messages("zoe@far.test")
    assert code.encode() in raw
    (attempt,) = wait_state(world.desk, code, zoe="delivered").attempts
    assert attempt.egress == "us1"
    assert attempt.tls.startswith("TLS1.3")
    there = wait_state(world.relay, ALICE, zoe="delivered")
    assert [step.result for step in there.steps if step.step == "auth"] == ["pass"]
    assert there.trace in attempt.reply, "the relay's own code is on file"


def test_what_the_relay_refuses_comes_back_with_its_words(world: World) -> None:
    code = world.send("nobody@far.test")
    wait_state(world.desk, code, nobody="bounced")
    (bounce,) = world.desk.wait_for_messages(ALICE)
    assert b"there is no mailbox nobody@far.test here" in b" ".join(bounce.split())


def test_a_wrong_password_for_the_relay_bounces_nobodys_mail(own_world: World) -> None:
    world = own_world
    before = len(world.desk.messages(ALICE))
    world.relay.cli("mailbox", "set", ALICE, "--password-stdin", stdin="changed\n")
    world.desk.stop()  # no signed-in connection rests, and the password is read at start
    world.desk.start()
    told = wait_tried(world.desk, world.send("ann@far.test"), ann="waiting")
    assert "535" in told.attempts[-1].reply
    assert len(world.desk.messages(ALICE)) == before
