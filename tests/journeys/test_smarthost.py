"""All mail to outside leaves through a relay that wants a password: a second Postern."""

import pytest
from tests.journeys.clients import submit
from tests.journeys.told import wait_state
from tests.peers.certificates import Authority
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder

ALICE = "alice@here.test"
BOTH = (Listening(), Listening("submission"))


def sender_behind(relay_port: int, authority: Authority, password: str) -> PosternSettings:
    """A Postern that sends everything to the relay."""
    return PosternSettings(
        hostname="desk.here.test",
        listeners=BOTH,
        certificate=authority.issue("desk.here.test"),
        tables=(
            (
                "[egress]",
                f'name = "us1"\nrelay = "127.0.0.1:{relay_port}"\nusername = "{ALICE}"\n'
                f'password_file = "{password}"\ntls = "encrypt"',
            ),
        ),
    )


def send(server: PosternServer, to: str) -> str:
    return submit(server.port("submission"), ALICE, "own secret", [to])


@pytest.mark.peers("openssl")
def test_mail_leaves_through_the_relay_signed_in_under_tls(authority: Authority) -> None:
    relay_settings = PosternSettings(
        hostname="relay.test", listeners=BOTH, certificate=authority.issue("relay.test")
    )
    with short_folder() as folder, postern(relay_settings) as relay:
        password = folder / "password"
        password.write_text("relay secret\n")
        password.chmod(0o600)
        for domain in ("here.test", "far.test"):
            relay.domain_add(domain)
        relay.mailbox_add(ALICE, "relay secret")
        relay.mailbox_add("zoe@far.test")
        settings = sender_behind(relay.port("submission"), authority, str(password))
        with postern(settings) as server:
            server.domain_add("here.test")
            server.mailbox_add(ALICE, "own secret")
            code = send(server, "zoe@far.test")
            (raw,) = relay.wait_for_messages("zoe@far.test")
            told = wait_state(server, code, zoe="delivered")
            (attempt,) = told.attempts
            assert (attempt.egress, attempt.mx) == ("us1", "127.0.0.1")
            assert attempt.tls.startswith("TLS1.3")
            assert "PT-" in attempt.reply, "the relay's own code is on file"
            assert code.encode() in raw
            there = wait_state(relay, ALICE, zoe="delivered")
            assert [step.result for step in there.steps if step.step == "auth"] == ["pass"]
            assert there.trace in attempt.reply

            refused = send(server, "nobody@far.test")
            wait_state(server, refused, nobody="bounced")
            (bounce,) = server.wait_for_messages(ALICE)
            assert b"there is no mailbox nobody@far.test here" in b" ".join(bounce.split())


@pytest.mark.peers("openssl")
def test_a_wrong_password_for_the_relay_bounces_nobodys_mail(authority: Authority) -> None:
    relay_settings = PosternSettings(
        hostname="relay.test", listeners=BOTH, certificate=authority.issue("relay.test")
    )
    with short_folder() as folder, postern(relay_settings) as relay:
        password = folder / "password"
        password.write_text("guessed\n")
        password.chmod(0o600)
        relay.domain_add("here.test")
        relay.mailbox_add(ALICE, "relay secret")
        settings = sender_behind(relay.port("submission"), authority, str(password))
        with postern(settings) as server:
            server.domain_add("here.test")
            server.mailbox_add(ALICE, "own secret")
            told = wait_state(server, send(server, "zoe@far.test"), zoe="waiting")
            assert "535" in told.attempts[-1].reply
            assert server.messages(ALICE) == []
