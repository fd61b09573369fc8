"""Postern in front of a customer's own Postfix, which knows its mailboxes and is down at times."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from tests.journeys.told import code_in, queue, traced, wait_state
from tests.peers.postern_server import PosternServer, PosternSettings, postern
from tests.peers.postfix import Postfix, PostfixSettings, postfix
from tests.peers.process import Server, answers, wait_until
from tests.peers.swaks import Exchange, swaks

pytestmark = pytest.mark.peers("postfix", "swaks")

KNOWN = "wang@tea.test"


@dataclass(frozen=True)
class World:
    """Postern and the customer's server behind it."""

    postern: PosternServer
    peer: Postfix

    def send(self, *to: str) -> Exchange:
        """A stranger sends."""
        return swaks(self.postern.port(), sender="li@far.test", to=to)


@contextmanager
def gateway() -> Iterator[World]:
    """Both, running."""
    refuse = {f"{name}@tea.test": "550 5.1.1 User unknown" for name in ("gone", "never")}
    settings = PostfixSettings(hostname="mail.tea.test", domains=("tea.test",), refuse=refuse)
    with postfix(settings) as peer, postern(PosternSettings(workers=1)) as server:
        server.domain_add("tea.test", to=f"127.0.0.1:{peer.port}")
        yield World(server, peer)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway() as both:
        yield both


@pytest.fixture
def own_world() -> Iterator[World]:
    """Not shared: a server that was down is not asked again for a while."""
    with gateway() as both:
        yield both


@contextmanager
def down(peer: Postfix) -> Iterator[None]:
    """The customer's server is stopped for a while, and started on the same port."""
    subprocess.run(["/usr/sbin/postfix", "-c", str(peer.config), "stop"], check=True)
    wait_until(lambda: not answers(peer.host, peer.port, b""), "Postfix to be down")
    yield
    command = ["/usr/sbin/postfix", "-c", str(peer.config), "start-fg"]
    peer.server = Server("postfix again", command, peer.folder / "log" / "again.log").start()
    peer.server.wait_for_greeting(peer.port, b"220 ")


def test_mail_for_a_mailbox_there_is_taken_and_handed_on(world: World) -> None:
    exchange = world.send(KNOWN)
    assert exchange.accepted, exchange.transcript
    (raw,) = world.peer.wait_for_messages(KNOWN)
    code = code_in(exchange.reply_to("."))
    assert code.encode() in raw
    told = wait_state(world.postern, code, wang="delivered")
    assert told.attempts[-1].address == f"127.0.0.1:{world.peer.port}"


def test_a_mailbox_that_is_not_there_is_refused_before_the_message(world: World) -> None:
    exchange = world.send("gone@tea.test")
    assert exchange.refused_at == "rcpt"
    (reply,) = exchange.replies("550")
    assert reply.startswith("550 5.1.1")
    told = traced(world.postern, code_in(reply))
    assert told.because is not None
    assert told.because.check == "rcpt.unknown"
    assert "User unknown" in " ".join(step.text for step in told.steps)


def test_while_it_is_down_known_mailboxes_wait_and_unknown_ones_are_put_off(
    own_world: World,
) -> None:
    world = own_world
    assert world.send(KNOWN).accepted
    count = len(world.peer.wait_for_messages(KNOWN))
    with down(world.peer):
        known = world.send(KNOWN)
        assert known.accepted, known.transcript
        code = code_in(known.reply_to("."))
        wait_state(world.postern, code, wang="waiting")
        (cause,) = queue(world.postern).causes
        assert cause.mx_group == f"gateway:127.0.0.1:{world.peer.port}"
        unknown = world.send("never-seen@tea.test")
        assert unknown.refused_at == "rcpt"
        (reply,) = unknown.replies("450")
        told = traced(world.postern, code_in(reply))
        assert told.because is not None
        assert told.because.check == "rcpt.couldnt-tell"
        assert "couldnt-tell" in [step.result for step in told.steps]
        assert told.states() == {"never-seen@tea.test": "refused-for-now"}
    world.postern.cli("queue", "retry", code)
    wait_state(world.postern, code, wang="delivered")
    assert len(world.peer.wait_for_messages(KNOWN, count + 1)) == count + 1
    assert queue(world.postern).waiting == 0
