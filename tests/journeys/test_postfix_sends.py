"""A real Postfix sends to Postern: as one server to another, and as a user's program signed in."""

from collections.abc import Iterator
from email import message_from_bytes

import pytest
from tests.journeys.told import wait_state
from tests.peers.certificates import Authority
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.postfix import PostfixSettings, Smarthost, postfix

pytestmark = pytest.mark.peers("postfix")

MESSAGE = b"From: li@sender.test\nTo: bob@here.test\nSubject: from Postfix\n\nhello\n.\n..\nend\n"


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[PosternServer]:
    settings = PosternSettings(
        listeners=(Listening(), Listening("submission"), Listening("submissions")),
        certificate=authority.issue("mx.postern.test", "127.0.0.1"),
    )
    with postern(settings) as running:
        running.domain_add("here.test")
        running.mailbox_add("alice@here.test", "secret")
        running.mailbox_add("bob@here.test")
        running.mailbox_add("chen@here.test")
        yield running


@pytest.mark.parametrize("level", ["none", "encrypt"], ids=["plain", "STARTTLS"])
def test_postfix_sends_as_a_server(server: PosternServer, level: str) -> None:
    sender = f"{level}@sender.test"
    settings = PostfixSettings(
        hostname="sender.test",
        transports={"here.test": f"smtp:[127.0.0.1]:{server.port()}"},
        main_cf={"smtp_tls_security_level": level},
    )
    with postfix(settings) as peer:
        peer.submit(sender, ["bob@here.test", "chen@here.test"], MESSAGE)
        told = wait_state(server, sender, bob="delivered", chen="delivered")
        sent = peer.wait_for_log(r"to=<bob@here\.test>.*status=sent \((.*)\)")
    assert told.trace in sent[1]
    message = message_from_bytes(
        next(raw for raw in server.messages("bob@here.test") if sender.encode() in raw)
    )
    received = " ".join(message.get_all("Received", [])[0].split())
    assert ("with ESMTPS" in received) == (level == "encrypt")
    assert "from sender.test" in received
    assert str(message.get_payload()).replace("\r\n", "\n") == "hello\n.\n..\nend\n"


def test_postfix_hears_why_a_recipient_is_refused_and_tells_its_sender(
    server: PosternServer,
) -> None:
    settings = PostfixSettings(
        hostname="sender.test",
        domains=("sender.test",),
        transports={"here.test": f"smtp:[127.0.0.1]:{server.port()}"},
    )
    with postfix(settings) as peer:
        peer.submit("li@sender.test", ["gone@here.test"], MESSAGE)
        (bounce,) = peer.wait_for_messages("li@sender.test")
    assert b"there is no mailbox gone@here.test here" in b" ".join(bounce.split())
    assert b"PT-" in bounce


@pytest.mark.parametrize(
    ("kind", "implicit"),
    [("submission", False), ("submissions", True)],
    ids=["STARTTLS", "TLS from the first byte"],
)
def test_postfix_signs_in_as_a_user(
    server: PosternServer, authority: Authority, kind: str, *, implicit: bool
) -> None:
    smarthost = Smarthost(
        "127.0.0.1", server.port(kind), "alice@here.test", "secret", authority.ca, implicit
    )
    with postfix(PostfixSettings(hostname="desk.test", smarthost=smarthost)) as peer:
        message = MESSAGE.replace(b"li@sender.test", b"alice@here.test")
        peer.submit("alice@here.test", ["bob@here.test"], message)
        peer.wait_for_log(r"to=<bob@here\.test>.*status=sent")
    told = wait_state(server, "alice@here.test", bob="delivered")
    assert [step.result for step in told.steps if step.step == "auth"] == ["pass"]
