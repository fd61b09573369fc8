"""A provider is blocked, and the relay is a Postfix whose logins Dovecot checks."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.journeys.clients import submit
from tests.journeys.told import wait_state
from tests.peers.certificates import Authority
from tests.peers.dns import NsdServer
from tests.peers.dovecot import PASSWORD, dovecot
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.postfix import Postfix, PostfixSettings, postfix
from tests.peers.process import free_port, short_folder, wait_until

pytestmark = pytest.mark.peers("postfix", "dovecot", "nsd")

ALICE = "alice@here.test"
ZONES = {
    "far.test": "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 127.0.8.1\nmx2 A 127.0.8.2",
    "relay.test": "@ A 127.0.0.1",
    "here.test": '@ TXT "v=spf1 ip4:127.0.0.1 -all"',
}
EGRESS = """\
name = "us1"
relay = "relay.test:{port}"
username = "desk"
password_file = "{password}"
tls = "verify"
"""


@dataclass(frozen=True)
class World:
    """Alice's Postern and the Postfix that relays for it."""

    desk: PosternServer
    relay: Postfix

    def send(self) -> str:
        """Alice writes to Zoe; returns the trace code."""
        return submit(self.desk.port("submission"), ALICE, "own secret", ["zoe@far.test"])


@pytest.fixture
def world(authority: Authority) -> Iterator[World]:
    with (
        short_folder() as folder,
        NsdServer(ZONES) as dns,
        dovecot() as logins,
        postfix(
            PostfixSettings(
                hostname="relay.test",
                domains=("far.test",),
                certificate=authority.issue("relay.test"),
                require_tls=True,
                main_cf={
                    "smtpd_sasl_auth_enable": "yes",
                    "smtpd_sasl_type": "dovecot",
                    "smtpd_sasl_path": str(logins.sasl_socket),
                    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
                    "smtpd_sasl_authenticated_header": "yes",
                },
            )
        ) as relay,
    ):
        password = folder / "password"
        password.write_text(f"{PASSWORD}\n")
        password.chmod(0o600)
        settings = PosternSettings(
            hostname="desk.here.test",
            listeners=(Listening(), Listening("submission")),
            certificate=authority.issue("desk.here.test"),
            resolver=dns.address,
            tables=(
                ("[egress]", 'name = "direct"'),
                ("[egress]", EGRESS.format(port=relay.port, password=password)),
                ("delivery", f"port = {free_port()}"),
            ),
            environment={"SSL_CERT_FILE": str(authority.ca)},
        )
        with postern(settings) as desk:
            desk.domain_add("here.test")
            desk.mailbox_add(ALICE, "own secret")
            yield World(desk, relay)


def test_mail_arrives_through_postfix_signed_in_under_verified_tls(world: World) -> None:
    # Not signed: it may take the relay once DNS has said that SPF of here.test lets it send.
    first = world.send()
    wait_until(lambda: bool(world.desk.cli_json("route", "list")["routes"]), "a route")
    wait_until(lambda: _relayed(world, first), "the first message, tried again", within_s=60)
    second = world.send()
    told = wait_state(world.desk, second, zoe="delivered")
    assert [attempt.egress for attempt in told.attempts] == ["us1"]
    assert told.attempts[0].tls.startswith("TLS1.3")
    raw = next(one for one in world.relay.messages("zoe@far.test") if second.encode() in one)
    assert b"(Authenticated sender: desk)" in raw
    assert b"X-Postern-Hop: us1; " in raw


def _relayed(world: World, code: str) -> bool:
    world.desk.run("queue", "retry")
    return any(code.encode() in raw for raw in world.relay.messages("zoe@far.test"))
