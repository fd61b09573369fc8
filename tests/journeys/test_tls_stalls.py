"""STARTTLS stalls at one address of a provider, or at all: mail moves, and never in clear unasked.

Three addresses take the mail. What went over the wire in clear is kept octet by octet.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.journeys.clients import submit
from tests.journeys.told import Conversation, queue, wait_state, wait_told
from tests.peers.certificates import Authority
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import wait_until
from tests.peers.starttls import TlsHosts

pytestmark = pytest.mark.peers("nsd")

ALICE = "alice@here.test"
FIRST, SECOND, THIRD = IPS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
ZONES = {
    "far.test": "@ MX 10 mx1\n@ MX 20 mx2\n@ MX 30 mx3\n"
    + "\n".join(f"mx{number} A {ip}" for number, ip in enumerate(IPS, 1)),
    # Who has no MX is its own mail host: its name is certain.
    "alone.test": f"@ A {FIRST}",
}
SETTINGS = (
    ("delivery", "port = {port}\nsession_budget_s = 3\nhedge_s = 0.4\nreuse_idle_s = 0.001"),
    ("tls_exemptions", "retest_s = 2\nlasts_s = 600"),
    ("queue", "first_retry_s = 600"),
)


@dataclass(frozen=True)
class World:
    """Postern, and the three addresses of one provider."""

    server: PosternServer
    hosts: TlsHosts

    def submit(self, body: str, *to: str, fields: str = "", **options: str) -> str:
        """Alice sends; returns the trace code."""
        return submit(
            self.server.port("submission"),
            ALICE,
            "secret",
            to or ("zoe@far.test",),
            body=body,
            fields=fields,
            mail_options=options.get("mail_options", "").split(),
        )

    def temporaries(self) -> list[dict[str, object]]:
        """What ``postern temporary list`` shows of TLS."""
        listed = json.loads(self.server.cli("temporary", "list", "--json"))["temporaries"]
        return [one for one in listed if one["kind"] == "tls"]

    def retry(self, code: str) -> None:
        """Try it now, unless it is on its way already: its group has just become well."""
        self.server.cli("queue", "retry", code, "--yes", codes=(0, 4))

    def paths(self) -> str:
        """What ``postern paths`` shows."""
        return self.server.cli("paths", codes=(0, 1, 2))

    def why(self, code: str) -> str:
        """What a person reads."""
        return self.server.cli("why", code, codes=(0, 1, 2))

    def waits(self, code: str) -> Conversation:
        """The message, once it was tried and waits."""

        def is_so(found: Conversation) -> bool:
            return set(found.states().values()) == {"waiting"} and bool(found.attempts)

        return wait_told(self.server, code, is_so)


@pytest.fixture(scope="module")
def served(authority: Authority) -> Iterator[World]:
    names = ("mx1.far.test", "mx2.far.test", "mx3.far.test", "alone.test")
    with NsdServer(ZONES) as dns, TlsHosts(IPS, authority.issue(*names)) as hosts:
        tables = [(name, lines.format(port=hosts.port)) for name, lines in SETTINGS]
        settings = PosternSettings(
            listeners=(Listening("submission"),),
            certificate=authority.issue("mx.postern.test"),
            resolver=dns.address,
            tables=tables,
            environment={"SSL_CERT_FILE": str(authority.ca)},
        )
        with postern(settings) as server:
            server.domain_add("here.test")
            server.mailbox_add(ALICE, "secret")
            yield World(server, hosts)


@pytest.fixture
def world(served: World) -> Iterator[World]:
    """As it was in the beginning: TLS works everywhere, and nothing is exempted."""
    served.hosts.set()
    served.hosts.forget()
    yield served
    served.hosts.set()
    for one in served.temporaries():
        served.server.cli("tls", "end", str(one["id"]), codes=(0, 4))


def test_where_one_address_stalls_the_mail_goes_encrypted_to_another(world: World) -> None:
    world.hosts[FIRST].stalls = True
    code = world.submit("only one stalls")
    told = wait_state(world.server, code, zoe="delivered")
    assert [
        (b"only one stalls" in message, secure) for message, secure in world.hosts.messages
    ] == [(True, True)]
    assert b"only one stalls" not in world.hosts.clear
    assert b"MAIL FROM" not in world.hosts.clear
    assert told.attempts[-1].tls.startswith("TLS1.3")
    assert told.attempts[-1].address != f"{FIRST}:{world.hosts.port}"
    assert world.temporaries() == []


def test_where_all_stall_mail_goes_in_clear_and_the_exemption_heals(world: World) -> None:
    world.hosts.set(stalls=True)
    code = world.submit("all of them stall")
    wait_state(world.server, code, zoe="delivered")
    ((message, is_secure),) = world.hosts.messages
    assert b"all of them stall" in message
    assert not is_secure
    assert "Not encrypted on this hop" in world.why(code)
    wait_until(lambda: bool(world.temporaries()), "an exemption")
    (made,) = world.temporaries()
    assert made["owner"] == "postern"
    assert "did not go on after STARTTLS" in str(made["reason"])
    ip = str(made["what"]).split()[2]
    assert ip in IPS

    # The next one does not wait for the same.
    world.hosts.forget()
    code = world.submit("the next one")
    wait_state(world.server, code, zoe="delivered")
    assert "STARTTLS" not in " ".join(world.hosts[ip].commands)
    told = world.why(code)
    assert f"exemption {made['id']} until" in " ".join(told.split())
    assert f"No TLS to {ip} until" in world.server.cli("queue", codes=(0, 1, 2))
    assert f"No TLS to {ip}: exemption {made['id']}" in world.paths()

    # TLS works again: it ends by itself, and mail is encrypted.
    world.hosts.set()
    world.hosts.forget()
    wait_until(lambda: not world.temporaries(), "the end of the exemption", within_s=60)
    assert "tls.ended" in world.server.log()
    world.hosts.forget()
    code = world.submit("healed")
    wait_state(world.server, code, zoe="delivered")
    ((message, is_secure),) = world.hosts.messages
    assert b"healed" in message
    assert is_secure
    assert b"healed" not in world.hosts.clear


def test_mail_that_must_be_encrypted_waits_and_never_goes_in_clear(world: World) -> None:
    world.hosts.set(stalls=True)
    code = world.submit("marked by its sender", fields="X-Postern-Encrypt: yes\r\n")
    world.waits(code)
    assert world.hosts.messages == []
    assert b"marked by its sender" not in world.hosts.clear
    assert b"MAIL FROM" not in world.hosts.clear, "not even who writes to whom"
    assert world.temporaries() == []

    # Nor where the address is exempted for other mail.
    for ip in IPS:
        world.server.cli("tls", "exempt", ip, "--reason", "it stalls")
    plain = world.submit("ordinary mail")
    wait_state(world.server, plain, zoe="delivered")
    world.hosts.forget()

    tries = len(world.waits(code).attempts)

    def is_tried_again() -> bool:
        world.retry(code)
        return len(world.waits(code).attempts) > tries

    wait_until(is_tried_again, "another try")
    assert b"marked by its sender" not in world.hosts.clear
    assert b"MAIL FROM" not in world.hosts.clear
    assert world.hosts.messages == []
    (cause,) = queue(world.server).causes
    assert cause.cause == "far.test: no safe encryption could be agreed on"

    # It goes as soon as TLS works there, whatever holds for other mail.
    world.hosts.set()

    def is_delivered() -> bool:
        world.retry(code)
        return bool(world.hosts.messages)

    wait_until(is_delivered, "the message")
    wait_state(world.server, code, zoe="delivered")
    ((message, is_secure),) = world.hosts.messages
    assert b"marked by its sender" in message
    assert is_secure


def test_mail_for_a_domain_of_which_we_ask_it_waits_where_nobody_offers_tls(world: World) -> None:
    world.hosts.set(offers=False)
    world.server.cli("tls", "require", "far.test", "encrypt", "--reason", "contract")
    try:
        code = world.submit("for a domain of ours")
        told = world.waits(code)
        assert "must be encrypted" in told.attempts[-1].reply
        assert world.hosts.messages == []
        assert b"for a domain of ours" not in world.hosts.clear
        assert any("must be encrypted" in one.cause for one in queue(world.server).causes)
    finally:
        world.server.cli("tls", "require", "far.test", "opportunistic")
    world.retry(code)
    wait_state(world.server, code, zoe="delivered")
    assert [secure for _, secure in world.hosts.messages] == [False]


def test_requiretls_goes_to_a_verified_host_that_promises_and_else_comes_back(world: World) -> None:
    host = world.hosts[FIRST]
    host.keywords = ("REQUIRETLS",)
    try:
        code = world.submit("required", "zoe@alone.test", mail_options="REQUIRETLS")
        wait_state(world.server, code, zoe="delivered")
        assert any(c.startswith("MAIL FROM") and c.endswith("REQUIRETLS") for c in host.commands)
        ((_, is_secure),) = host.messages
        assert is_secure
    finally:
        host.keywords = ()
    host.forget()
    code = world.submit("required again", "zoe@alone.test", mail_options="REQUIRETLS")
    told = wait_state(world.server, code, zoe="bounced")
    assert "5.7.30" in told.attempts[-1].reply
    assert host.messages == []
    # A domain's MX that neither DNSSEC nor a policy vouches for is no certain host.
    code = world.submit("required elsewhere", mail_options="REQUIRETLS")
    wait_state(world.server, code, zoe="bounced")
    assert world.hosts.messages == []
    wait_until(lambda: len(world.server.messages(ALICE)) >= 2, "the notices")
    for notice in world.server.messages(ALICE):
        assert b"required again\r\n" not in notice, "the header alone comes back"
        assert b"text/rfc822-headers" in notice
