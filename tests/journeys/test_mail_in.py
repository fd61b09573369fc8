"""Mail comes in from swaks, by every door, lies in a Maildir, and can be explained."""

import time
from collections.abc import Iterator
from email import message_from_bytes

import pytest
from tests.journeys.clients import lines
from tests.journeys.told import code_in, queue, traced, wait_state, why
from tests.peers.certificates import Authority
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.swaks import swaks

pytestmark = pytest.mark.peers("swaks")

LOGIN = ("--auth-user", "alice@here.test", "--auth-password", "secret")
PROXIED, RELAYING = 1, 2  # which of the mx listeners


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[PosternServer]:
    settings = PosternSettings(
        listeners=(
            Listening(),
            Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]\nchecks = false'),
            Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),
            Listening("submission"),
            Listening("submissions"),
        ),
        certificate=authority.issue("mx.postern.test"),
    )
    with postern(settings) as running:
        running.domain_add("here.test")
        running.mailbox_add("alice@here.test", "secret")
        running.mailbox_add("bob@here.test")
        yield running


def test_plain_mail_lies_in_the_maildir_and_why_and_trace_tell_its_way(
    server: PosternServer,
) -> None:
    server.mailbox_add("plain@here.test")
    exchange = swaks(server.port(), sender="li@far.test", to="plain@here.test")
    assert exchange.accepted, exchange.transcript
    code = code_in(exchange.reply_to("."))
    (raw,) = server.wait_for_messages("plain@here.test")
    message = message_from_bytes(raw)
    assert message["Return-Path"] == "<li@far.test>"
    assert message["Delivered-To"] == "plain@here.test"
    assert "with ESMTP id " + code in " ".join(message["Received"].split())

    told = wait_state(server, "li@far.test", plain="delivered")
    assert told.trace == code
    assert (told.direction, told.client_ip, told.helo) == ("in", "127.0.0.1", "client.test")
    assert told.message_id == message["Message-Id"]
    assert told.subject == message["Subject"]
    assert [step.step for step in told.steps] == ["connect", "helo", "mail", "rcpt", "data"]
    assert {step.result for step in told.steps} == {"pass"}
    (attempt,) = told.attempts
    assert (attempt.egress, attempt.outcome) == ("maildir", "delivered")
    assert traced(server, code).states() == {"plain@here.test": "delivered"}
    for query in (code, "plain@here.test", "127.0.0.1", told.message_id, "li@far.test"):
        assert code in [one.trace for one in why(server, query)], query


def test_starttls_is_told_in_received_and_in_why(server: PosternServer) -> None:
    server.mailbox_add("tls@here.test")
    exchange = swaks(server.port(), sender="li@secure.test", to="tls@here.test", options=("--tls",))
    assert exchange.accepted, exchange.transcript
    (raw,) = server.wait_for_messages("tls@here.test")
    received = " ".join(message_from_bytes(raw)["Received"].split())
    assert "with ESMTPS (TLS1.3 cipher TLS_AES_256_GCM_SHA384)" in received
    told = wait_state(server, "li@secure.test", tls="delivered")
    assert "starttls" in [step.step for step in told.steps]


@pytest.mark.parametrize(
    ("kind", "tls"),
    [("submission", "--tls"), ("submissions", "--tls-on-connect")],
    ids=["STARTTLS", "TLS from the first byte"],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_user_signs_in_and_sends(
    server: PosternServer, kind: str, tls: str, mechanism: str
) -> None:
    to = f"{kind}-{mechanism}@here.test".lower()
    server.mailbox_add(to)
    exchange = swaks(
        server.port(kind),
        sender="alice@here.test",
        to=to,
        options=(tls, "--auth", mechanism, *LOGIN),
    )
    assert exchange.accepted, exchange.transcript
    (raw,) = server.wait_for_messages(to)
    assert "with ESMTPSA" in " ".join(message_from_bytes(raw)["Received"].split())
    told = wait_state(server, to, **{to.split("@")[0]: "delivered"})
    assert [step.result for step in told.steps if step.step == "auth"] == ["pass"]


def test_a_user_is_refused_without_tls_with_a_wrong_password_and_in_another_name(
    server: PosternServer,
) -> None:
    port = server.port("submission")
    to = "bob@here.test"
    plain = swaks(port, sender="alice@here.test", to=to, options=("--auth", "PLAIN", *LOGIN))
    assert not plain.accepted
    assert not plain.replies("235")
    wrong = ("--tls", "--auth", "PLAIN", *LOGIN[:3], "guessed")
    guessed = swaks(port, sender="alice@here.test", to=to, options=wrong)
    assert guessed.replies("535")
    assert "PT-" in guessed.replies("535")[0]
    right = ("--tls", "--auth", "PLAIN", *LOGIN)
    forged = swaks(port, sender="bob@here.test", to=to, options=right)
    assert not forged.accepted
    refused = next(reply for reply in forged.replies("5"))
    told = traced(server, code_in(refused))
    assert told.because is not None
    assert told.because.check == "auth.sender-mismatch"


def test_strangers_and_unknown_mailboxes_are_refused_with_a_code_that_why_knows(
    server: PosternServer,
) -> None:
    unknown = swaks(server.port(), sender="li@far.test", to="nobody@here.test")
    assert unknown.refused_at == "rcpt"
    told = traced(server, code_in(unknown.replies("550")[0]))
    assert told.because is not None
    assert (told.because.check, told.because.whose) == ("rcpt.unknown", "sender")
    assert told.states() == {"nobody@here.test": "refused"}
    relayed = swaks(server.port(), sender="li@far.test", to="zoe@elsewhere.test")
    assert relayed.refused_at == "rcpt"
    told = traced(server, code_in(relayed.replies("55")[0]))
    assert told.because is not None
    assert told.because.check == "rcpt.relay-denied"


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_proxy_tells_who_the_client_is(server: PosternServer, version: str) -> None:
    sender = f"proxied{version}@far.test"
    proxy = (
        "--proxy-version", version, "--proxy-source", "203.0.113.9", "--proxy-source-port", "4242",
        "--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25",
        *(("--proxy-family", "TCP4") if version == "1" else
          ("--proxy-family", "AF_INET", "--proxy-protocol", "STREAM", "--proxy-command", "PROXY")),
    )  # fmt: skip
    exchange = swaks(server.port("mx", PROXIED), sender=sender, to="bob@here.test", options=proxy)
    assert exchange.accepted, exchange.transcript
    told = wait_state(server, sender, bob="delivered")
    assert told.client_ip == "203.0.113.9"
    assert told.trace in [one.trace for one in why(server, "203.0.113.0/24")]


def test_without_its_header_a_proxied_door_is_closed(server: PosternServer) -> None:
    begin = time.monotonic()
    with lines(server.port("mx", PROXIED), greeting=False) as talk:
        assert talk.hear().startswith("421")
        assert talk.hear() == ""
    assert time.monotonic() - begin < 10


def test_named_networks_may_send_to_anyone(server: PosternServer) -> None:
    denied = swaks(server.port(), sender="alice@here.test", to="zoe@[127.0.0.9]")
    assert denied.refused_at == "rcpt"
    exchange = swaks(server.port("mx", RELAYING), sender="alice@here.test", to="zoe@[127.0.0.9]")
    assert exchange.accepted, exchange.transcript
    told = traced(server, code_in(exchange.reply_to(".")))
    assert "auth" not in [step.step for step in told.steps]


def test_a_change_holds_for_the_next_recipient(server: PosternServer) -> None:
    with lines(server.port()) as talk:
        talk.say_all("EHLO client.test", "MAIL FROM:<li@far.test>")
        assert talk.say("RCPT TO:<new@here.test>").startswith("550")
        server.mailbox_add("new@here.test")
        talk.say_all("RSET", "MAIL FROM:<li@far.test>", "RCPT TO:<new@here.test>")
        server.cli("mailbox", "remove", "new@here.test")
        talk.say_all("RSET", "MAIL FROM:<li@far.test>")
        assert talk.say("RCPT TO:<new@here.test>").startswith("550")
        server.alias_add("new@here.test", "bob@here.test")
        talk.say_all("RSET", "MAIL FROM:<li@far.test>", "RCPT TO:<new@here.test>")


def test_one_message_reaches_everybody_behind_an_alias_once(server: PosternServer) -> None:
    for name in ("ann", "ben"):
        server.mailbox_add(f"{name}@here.test")
    server.alias_add("team@here.test", "ann@here.test", "ben@here.test")
    exchange = swaks(
        server.port(), sender="li@far.test", to=["team@here.test", "ann+tag@here.test"]
    )
    assert exchange.accepted, exchange.transcript
    server.wait_for_messages("ben@here.test")
    server.wait_for_messages("ann@here.test")
    told = traced(server, code_in(exchange.reply_to(".")))
    assert "delivered" in told.states().values()
    assert len(server.messages("ben@here.test")) == 1


def test_the_queue_is_empty_when_all_is_delivered(server: PosternServer) -> None:
    exchange = swaks(server.port(), sender="li@far.test", to="bob@here.test")
    wait_state(server, code_in(exchange.reply_to(".")), bob="delivered")
    found = queue(server)
    assert found.slots.all > 0
    assert [cause for cause in found.causes if "here.test" in cause.mx_group] == []
