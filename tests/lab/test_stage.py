"""Everybody is in their place: DNS with DNSSEC, MTA-STS policies, the relay, MX hosts, Postern."""

import smtplib
import ssl
from collections.abc import Iterator
from http.client import HTTPResponse

import dns.flags
import dns.rcode
import pytest
from tests.journeys.told import wait_state
from tests.lab.behaviour import Behaviour, Letter, Opening
from tests.lab.cast import POLICIES, Provider
from tests.lab.dns import RESOLVER, ask
from tests.lab.mail import SECRET, Sent, flowing
from tests.lab.policies import PORT
from tests.lab.stage import MATCHING, Stage, stage
from tests.lab.world import ABROAD, HOME, NEEDS
from tests.peers.process import wait_until

pytestmark = pytest.mark.peers(*NEEDS, "nsd", "unbound")

PLAIN = Provider("plain", 11, 2, ("tea",))
BUSY = Provider("busy", 31, 1, ("bazaar",))
SAFE = Provider("safe", 21, 1, ("vault",), is_signed=True, tlsa=MATCHING, has_policy=True)


@pytest.fixture(scope="module")
def everybody() -> Iterator[Stage]:
    with stage(PLAIN, BUSY, SAFE) as made:
        yield made


def arrival(everybody: Stage, sent: Sent) -> Letter:
    """The one copy of a message, once it is there."""
    everybody.actors.wait_for(
        sent.to, lambda letters: sent.message_id in {one.message_id for one in letters}
    )
    (letter,) = (one for one in everybody.actors.letters() if one.message_id == sent.message_id)
    return letter


def test_the_resolver_at_home_vouches_for_signed_zones_and_only_for_them(everybody: Stage) -> None:
    def told(name: str, kind: str) -> tuple[bool, bool]:
        answer = ask(everybody.world.home, RESOLVER, name, kind)
        assert answer.rcode() == dns.rcode.NOERROR
        return bool(answer.answer), bool(answer.flags & dns.flags.AD)

    assert told("tea.example", "MX") == (True, False)
    assert told("vault.example", "MX") == (True, True)
    assert told("mx1.safe.example", "A") == (True, True)
    assert told("_25._tcp.mx1.safe.example", "TLSA") == (True, True)
    assert not told("_25._tcp.mx1.safe.example", "AAAA")[0]


def test_a_policy_is_served_under_a_certificate_of_its_host(everybody: Stage) -> None:
    context = ssl._create_unverified_context()
    name = "mta-sts.vault.example"
    with (
        everybody.world.home.connect(POLICIES, PORT) as plain,
        context.wrap_socket(plain, server_hostname=name) as sock,
    ):
        sock.sendall(f"GET /.well-known/mta-sts.txt HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
        response = HTTPResponse(sock)
        response.begin()
        assert response.read().split() == (
            b"version: STSv1 mode: enforce mx: mx1.safe.example max_age: 86400".split()
        )


def test_mail_goes_direct_under_tls_and_the_wire_hides_it(everybody: Stage) -> None:
    sent = everybody.sender.send("zoe@tea.example")
    letter = arrival(everybody, sent)
    assert (letter.ip, letter.client) == (PLAIN.addresses[0], HOME)
    assert letter.tls == "TLSv1.3"
    assert everybody.wire.carried(b"STARTTLS", to=letter.ip)
    assert not everybody.wire.carried(SECRET.encode())


def test_mail_that_a_person_sends_round_arrives_through_the_relay(everybody: Stage) -> None:
    everybody.actors.behave(BUSY.addresses, Behaviour(opening=Opening.BUSY))
    sent = everybody.sender.send("ann@bazaar.example")
    wait_state(everybody.home, sent.code, ann="waiting")
    everybody.actors.behave(BUSY.addresses)
    everybody.home.cli("queue", "reroute", "--to", "ann@bazaar.example", "--via", "us1", "--yes")
    letter = arrival(everybody, sent)
    assert letter.client == ABROAD
    assert letter.hops == 2


def test_a_flow_sends_to_each_in_turn_until_it_is_ended(everybody: Stage) -> None:
    to = ["a@tea.example", "b@vault.example"]
    with flowing(everybody.world.home, everybody.port, to, every_s=0.05) as flow:
        wait_until(lambda: len(flow.sent) >= 6, "six messages")
    assert [one.to for one in flow.sent[:4]] == to * 2
    arrived = {one.message_id for one in flow.sent}
    everybody.actors.wait_for(
        "all of them", lambda all_: arrived <= {one.message_id for one in all_}
    )
    assert {everybody.actors.copies()[one.message_id, one.to] for one in flow.sent} == {1}


def test_a_sender_is_told_when_postern_refuses(everybody: Stage) -> None:
    with pytest.raises((AssertionError, smtplib.SMTPException)):
        everybody.sender.send("nobody@home.example")
    everybody.sender.close()
