"""Whom our users write to is held instead of refused; who was meant by a wrong address."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from tests.journeys.clients import submit
from tests.journeys.told import traced, wait_state
from tests.peers.certificates import Authority
from tests.peers.dns import NsdServer
from tests.peers.outsider import Letter, Said, hand_in
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.postfix import PostfixSettings, postfix
from tests.peers.process import wait_until

pytestmark = pytest.mark.peers("postfix", "nsd")

ALICE, BOB = "alice@here.test", "bob@here.test"
CAROL, DAVE = "carol@here.test", "dave@here.test"
CHEN, ANN = "chen@tea.test", "ann@tea.test"
LISTED = "198.51.100.24"
FORGER = "203.0.113.66"
ZONES = {
    "far.test": "@ MX 10 mx\nmx A 127.0.0.1",
    "tea.test": '@ MX 10 mail\nmail A 198.51.100.24\n@ TXT "v=spf1 ip4:198.51.100.24 -all"',
    "100.51.198.in-addr.arpa": "24 PTR mail.tea.test.",
    "113.0.203.in-addr.arpa": "66 PTR mail.forger.test.",
    "forger.test": "mail A 203.0.113.66",
    "bl.test": "2.0.0.127 A 127.0.0.2\n24.100.51.198 A 127.0.0.2\n66.113.0.203 A 127.0.0.2",
}


@dataclass(frozen=True)
class World:
    """Postern, with a block list that lists everybody who comes here from outside."""

    postern: PosternServer

    def send(self, owner: str, *to: str) -> str:
        """Our user sends; returns the trace code."""
        return submit(self.postern.port("submission"), owner, "secret", to)

    def known(self, owner: str) -> dict[str, bool]:
        """Whom the owner has written to, and whether anything reached them."""
        told = json.loads(self.postern.cli("mailbox", "known", owner, "--json"))["known"]
        return {one["address"]: one["delivered_at"] is not None for one in told}

    def wait_known(self, owner: str, address: str, *, reached: bool = False) -> None:
        """It is written down within moments."""
        wait_until(
            lambda: self.known(owner).get(address) in ({True} if reached else {True, False}),
            f"{owner} to know {address}",
            server=self.postern.server,
        )

    def comes(self, sender: str, to: str, ip: str = LISTED) -> Said:
        """A message from outside."""
        message = f"From: {sender}\r\nSubject: tea\r\n\r\nHello\r\n".encode()
        helo = "mail.tea.test" if ip == LISTED else "mail.forger.test"
        return hand_in(self.postern.port(), Letter(ip, helo, sender, message), [to])

    def held(self, mailbox: str) -> list[str]:
        """Senders of what is held for a mailbox."""
        words = ("quarantine", "list", "--mailbox", mailbox, "--json")
        return [one["mail_from"] for one in json.loads(self.postern.cli(*words))["held"]]


@pytest.fixture(scope="module")
def world(authority: Authority) -> Iterator[World]:
    peer_settings = PostfixSettings(
        hostname="mx.far.test",
        domains=("far.test",),
        refuse={"chen@far.test": "550 5.1.1 User unknown"},
    )
    with NsdServer(ZONES) as dns, postfix(peer_settings) as peer:
        settings = PosternSettings(
            listeners=(
                Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]'),
                Listening("submission"),
            ),
            certificate=authority.issue("mx.postern.test"),
            resolver=dns.address,
            tables=(
                ("delivery", f"port = {peer.port}\nconnect_timeout_s = 1"),
                ("[blocklist]", 'zone = "bl.test"'),
            ),
        )
        with postern(settings) as server:
            server.domain_add("here.test")
            for owner in (ALICE, BOB, CAROL, DAVE):
                server.mailbox_add(owner, "secret")
            yield World(server)


def test_who_was_written_to_is_held_instead_of_refused(world: World) -> None:
    refused = world.comes(CHEN, ALICE)
    assert (refused.stage, refused.code) == ("rcpt", 550)
    told = traced(world.postern, refused.trace)
    assert told.because is not None
    assert told.because.check == "dnsbl.listed"

    world.send(ALICE, CHEN)
    world.wait_known(ALICE, CHEN)
    accepted = world.comes(CHEN, ALICE)
    assert accepted.accepted, accepted
    assert traced(world.postern, accepted.trace).states() == {ALICE: "held"}
    assert world.held(ALICE) == [CHEN]
    # To Bob, who has not written to him, and for another of that house, nothing has changed.
    assert world.comes(CHEN, BOB).stage == "rcpt"
    assert world.comes(ANN, ALICE).stage == "rcpt"

    said = world.postern.cli("rule", "explain", ALICE, "--from", CHEN)
    assert f"{ALICE} has written to them, once" in said
    world.postern.cli("mailbox", "known", ALICE, "--forget", CHEN)
    assert world.comes(CHEN, ALICE).stage == "rcpt"


def test_a_forger_of_somebody_known_is_refused_once_nothing_has_proven_him(world: World) -> None:
    world.send(CAROL, CHEN)
    world.wait_known(CAROL, CHEN)
    forged = world.comes(CHEN, CAROL, FORGER)
    assert (forged.stage, forged.code) == ("message", 550)
    assert world.held(CAROL) == []


def test_a_wrong_address_comes_back_with_the_one_that_works(world: World) -> None:
    wait_state(world.postern, world.send(ALICE, "chen.l@far.test"), **{"chen.l": "delivered"})
    world.wait_known(ALICE, "chen.l@far.test", reached=True)
    code = world.send(ALICE, "chen@far.test")
    wait_state(world.postern, code, chen="bounced")
    wait_until(
        lambda: any(code.encode() in raw for raw in world.postern.messages(ALICE)), "the notice"
    )
    (raw,) = (raw for raw in world.postern.messages(ALICE) if code.encode() in raw)
    notice = message_from_bytes(raw, policy=policy.default)
    assert isinstance(notice, EmailMessage)
    body = notice.get_body()
    assert body is not None
    text = " ".join(str(body.get_content()).split())
    assert "You wrote to chen.l@far.test in " in text
    assert "; that one works." in text
    assert "写信到" in text


def test_known_outlives_a_crash_of_a_worker(world: World) -> None:
    world.send(DAVE, ANN)
    world.wait_known(DAVE, ANN)
    world.postern.kill_worker()
    # Until the next worker has tested the block list nobody is on it.
    wait_until(
        lambda: world.comes(ANN, DAVE).accepted and ANN in world.held(DAVE), "Ann held", within_s=30
    )
