"""Mail to domains that demand TLS: DANE from signed zones, MTA-STS from a server of policies.

A real Postfix takes what is right. Servers that stall, or show another certificate, get nothing,
and ``why`` says what the mail waits for.
"""

import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.delivery.scripted import Act, Peer, Script, peer
from tests.journeys.clients import submit
from tests.journeys.told import Attempt, Because, queue, wait_state, wait_told
from tests.peers.background import in_background
from tests.peers.certificates import Authority, KeyPair, self_signed
from tests.peers.dnssec import SignedDns
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.postfix import Postfix, PostfixSettings, postfix
from tests.peers.process import short_folder, wait_until
from tests.routing.tls.policies import PolicyServer, policy, policy_server

from postern.mail.tlsrpt import TlsResult
from postern.routing.tls.results import store as results
from postern.routing.tls.results.tally import Counted, day_of

pytestmark = pytest.mark.peers("postfix", "nsd", "unbound")

ALICE = "alice@here.test"
SESSION_S = 3
STALLS, STRANGER = "127.0.0.32", "127.0.0.33"
"""Where a server is whose handshake never ends, and one with a certificate of its own."""
OPENING = {"EHLO", "STARTTLS", "QUIT"}
"""All that may be said in clear."""


@dataclass
class World:
    """Postern, and all the mail servers there are."""

    server: PosternServer
    postfix: Postfix
    stalling: Peer
    stranger: Peer
    policies: PolicyServer

    def send(self, to: str) -> str:
        """Alice sends; returns the trace code."""
        return submit(self.server.port("submission"), ALICE, "secret", [to])

    def waiting(self, to: str) -> Attempt:
        """The attempt after which mail to ``to`` waits."""
        told = wait_told(self.server, self.send(to), lambda found: bool(found.attempts))
        assert told.states() == {to: "waiting"}
        return told.attempts[-1]

    def held_up(self, to: str) -> Because:
        """Why mail to ``to`` waits although no server was tried."""
        told = wait_told(self.server, self.send(to), lambda found: found.because is not None)
        assert told.states() == {to: "waiting"}
        assert told.attempts == []
        assert told.because is not None
        return told.because


def key_record(pair: KeyPair) -> str:
    """The TLSA record of a server's own key."""
    certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"3 1 1 {sha256(key).hexdigest()}"


def authority_record(authority: Authority) -> str:
    """The TLSA record of an authority, whole: servers do not show it."""
    certificate = x509.load_pem_x509_certificate(authority.ca.read_bytes())
    return f"2 0 0 {certificate.public_bytes(Encoding.DER).hex()}"


def serving(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


def zones(port: int, right: str, authority: str, wrong: str) -> dict[str, str]:
    """Signed zones; ``right`` and ``wrong`` are TLSA records, ``authority`` as well."""
    tlsa = f"_{port}._tcp.mx TLSA"
    at_postfix, at_stalls = "@ MX 10 mx\nmx A 127.0.0.1\n", f"@ MX 10 mx\nmx A {STALLS}\n"
    stranger = f"@ MX 10 mx\nmx A {STRANGER}\n"
    has_policy = 'mta-sts A 127.0.0.1\n_mta-sts TXT "v=STSv1; id=20260101"\n'
    return {
        "key.test": f"{at_postfix}{tlsa} {right}",
        "anchor.test": f"{at_postfix}{tlsa} {authority}",
        "changed.test": f"{stranger}{tlsa} {wrong}",
        "stalls.test": f"{at_stalls}{tlsa} {right}",
        "spoilt.test": f"{at_postfix}{tlsa} {right}",
        "policy.test": f"{at_postfix}{has_policy}",
        "forged.test": f"{stranger}{has_policy}",
        "moved.test": f"@ MX 10 mail\nmail A 127.0.0.1\n{has_policy}",
        "nothing.test": stranger,
    }


@pytest.fixture(scope="module")
def world(authority: Authority) -> Iterator[World]:
    names = ("key", "anchor", "changed", "stalls", "spoilt", "policy", "forged", "moved", "nothing")
    pair = authority.issue(*(f"mx.{name}.test" for name in names))
    served = PolicyServer(policy("enforce", *(f"mx.{name}.test" for name in names)))
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = enter(short_folder())
        receiving = enter(
            postfix(
                PostfixSettings(
                    hostname="mx.key.test",
                    domains=tuple(f"{name}.test" for name in names),
                    certificate=pair,
                )
            )
        )
        other = self_signed(folder, "mx.forged.test")
        port = receiving.port
        stalls = Script(tls=serving(pair), after_starttls=Act.SILENCE)
        stalling = enter(in_background(lambda: peer(stalls, host=STALLS, port=port)))
        shows = Script(tls=serving(other))
        stranger = enter(in_background(lambda: peer(shows, host=STRANGER, port=port)))
        hosts = ("policy", "forged", "moved")
        policy_pair = authority.issue(*(f"mta-sts.{name}.test" for name in hosts))
        policies = enter(in_background(lambda: policy_server(policy_pair, served)))
        spoilt = [f"_{port}._tcp.mx.spoilt.test"]
        signed = zones(port, key_record(pair), authority_record(authority), key_record(pair))
        dns = enter(SignedDns(signed, spoilt=spoilt))
        settings = PosternSettings(
            listeners=(Listening("submission"),),
            certificate=authority.issue("mx.postern.test"),
            resolver=dns.address,
            tables=(("delivery", delivery(port, policies.port, authority.ca)),),
        )
        server = enter(postern(settings))
        server.domain_add("here.test")
        server.mailbox_add(ALICE, "secret")
        yield World(server, receiving, stalling, stranger, policies)


def delivery(port: int, policy_port: int, ca_file: Path) -> str:
    """The lines of ``[delivery]``."""
    return "\n".join(
        [
            f"port = {port}",
            f"mta_sts_port = {policy_port}",
            f'ca_file = "{ca_file}"',
            f"session_budget_s = {SESSION_S}",
        ]
    )


@pytest.mark.parametrize("domain", ["key.test", "anchor.test", "policy.test"])
def test_who_proves_to_be_the_right_server_gets_the_mail(world: World, domain: str) -> None:
    to = f"zoe@{domain}"
    code = world.send(to)
    world.postfix.wait_for_messages(to)
    told = wait_state(world.server, code, zoe="delivered")
    assert told.attempts[0].tls.startswith("TLS1.3")
    if domain == "policy.test":
        assert len([r for r in world.policies.requests if b"mta-sts.policy.test" in r]) == 1


def test_a_server_with_another_key_than_dns_has_gets_nothing(world: World) -> None:
    attempt = world.waiting("zoe@changed.test")
    assert "TLSA" in attempt.reply
    assert "under TLS alone (DANE)" in attempt.reply
    assert attempt.mx == "mx.changed.test"
    assert world.stranger.messages == []


def test_a_stalled_handshake_is_waited_out_where_dane_demands_tls(world: World) -> None:
    attempt = world.waiting("zoe@stalls.test")
    assert "the TLS handshake" in attempt.reply
    assert "under TLS alone (DANE)" in attempt.reply
    assert OPENING.issuperset(world.stalling.verbs())
    words = world.server.cli("why", "zoe@stalls.test", codes=(0, 1, 2))
    assert "DANE" in words


def test_records_that_dns_cannot_vouch_for_hold_the_mail(world: World) -> None:
    told = world.held_up("zoe@spoilt.test")
    assert "TLSA records of mx.spoilt.test" in told.text
    assert told.whose == "between"


def test_a_forged_certificate_gets_nothing_where_a_policy_is_enforced(world: World) -> None:
    attempt = world.waiting("zoe@forged.test")
    assert "certificate" in attempt.reply
    assert "(MTA-STS)" in attempt.reply
    assert "4.7.5" in attempt.reply
    assert OPENING.issuperset(world.stranger.verbs())
    causes = queue(world.server).causes
    assert any(cause.mx_group == "forged.test" for cause in causes), causes


def test_hosts_that_a_policy_does_not_name_are_not_tried(world: World) -> None:
    told = world.held_up("zoe@moved.test")
    assert "mail.moved.test" in told.text
    assert "MTA-STS" in told.text
    assert told.whose == "recipient"
    assert "zoe@moved.test" not in world.postfix.server.log_text()
    # No session tells of it, and yet its domain's report will.
    counted = world.server.data / results.FILE_NAME
    found: list[Counted] = []

    def is_counted() -> bool:
        found.extend(results.read(counted, "moved.test", day_of(time.time())))
        return bool(found)

    wait_until(is_counted, "it to be counted")
    assert (found[0].result, found[0].mx) == (TlsResult.VALIDATION_FAILURE, "mail.moved.test")
    assert found[0].policy.mx[0] == "mx.key.test", "by the policy's own text"


def test_a_domain_that_demands_nothing_is_served_by_whoever_answers(world: World) -> None:
    code = world.send("zoe@nothing.test")
    told = wait_state(world.server, code, zoe="delivered")
    assert told.attempts[0].tls.startswith("TLS1.3")
    assert len(world.stranger.messages) == 1
