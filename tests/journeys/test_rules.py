"""Mail from outside meets the checks and the rules: refused, let through, held, put into Junk."""

import json
from collections.abc import Iterator
from email import message_from_bytes

import pytest
from tests.journeys.told import code_in, traced, wait_state
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.swaks import Exchange, proxied, swaks

pytestmark = pytest.mark.peers("swaks", "nsd")

GOOD = "198.51.100.24"
NAMELESS = "198.51.100.99"
ZONES = {
    "tea.test": "@ MX 10 mail\nmail A 198.51.100.24\n"
    '@ TXT "v=spf1 ip4:198.51.100.24 ip4:198.51.100.99 -all"\nsrv A 198.51.100.99',
    "100.51.198.in-addr.arpa": "24 PTR mail.tea.test.",
}


@pytest.fixture(scope="module")
def server() -> Iterator[PosternServer]:
    with NsdServer(ZONES) as dns:
        settings = PosternSettings(
            listeners=(Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]'),),
            resolver=dns.address,
        )
        with postern(settings) as running:
            running.domain_add("here.test")
            running.mailbox_add("wang@here.test")
            running.mailbox_add("li@here.test")
            yield running


def send(server: PosternServer, to: str, ip: str = GOOD, *options: str) -> Exchange:
    proxy = proxied(ip)
    return swaks(server.port(), sender="chen@tea.test", to=to, options=(*proxy, *options))


def rule(server: PosternServer, *words: str) -> str:
    """Make a rule; its id."""
    said = json.loads(server.cli("rule", *words, "--reason", "a journey", "--json"))
    return str(said["rule"]["id"])


def held(server: PosternServer, mailbox: str) -> list[dict[str, object]]:
    """What is held for one mailbox."""
    words = ("quarantine", "list", "--mailbox", mailbox, "--json")
    found = json.loads(server.cli(*words))["held"]
    assert isinstance(found, list)
    return found


def test_a_server_without_a_name_is_refused_and_the_narrowest_rule_lets_it_in(
    server: PosternServer,
) -> None:
    server.mailbox_add("narrow@here.test")
    refused = send(server, "narrow@here.test", NAMELESS)
    assert refused.refused_at == "rcpt"
    reply = refused.replies("550")
    assert reply[0].startswith("550-5.7.25 Not accepted: ")
    assert reply[-1].startswith("550 5.7.25 Your mail provider can fix this.")
    told = traced(server, code_in(reply[-1]))
    assert told.because is not None
    assert (told.because.check, told.because.whose) == ("ptr.missing", "sender")
    steps = {step.step: step.result for step in told.steps}
    assert steps["ptr.missing"] == "fail"
    assert steps["spf.fail"] == "pass"  # the rest was looked at too: nothing would refuse next

    label = rule(server, "allow", NAMELESS, "--waive", "ptr", "--mailbox", "narrow@here.test")
    assert send(server, "narrow@here.test", NAMELESS).accepted
    assert wait_state(server, "narrow@here.test", narrow="delivered").recipients[0].rule == label
    assert send(server, "wang@here.test", NAMELESS).refused_at == "rcpt"
    server.cli("rule", "end", label)
    assert send(server, "narrow@here.test", NAMELESS).refused_at == "rcpt"


def test_dns_that_fails_is_not_now(server: PosternServer) -> None:
    # The name server refuses to speak of this zone: nobody could tell.
    exchange = send(server, "wang@here.test", "203.0.113.5")
    assert exchange.refused_at == "rcpt"
    assert exchange.replies("451")
    told = traced(server, code_in(exchange.replies("451")[-1]))
    assert told.because is not None
    assert (told.because.check, told.because.whose) == ("ptr.couldnt-tell", "between")
    assert told.recipients[0].state == "refused-for-now"


def test_held_mail_is_listed_with_its_reason_and_released_into_the_inbox(
    server: PosternServer,
) -> None:
    server.mailbox_add("hold@here.test")
    label = rule(server, "hold", "chen@tea.test", "--mailbox", "hold@here.test")
    exchange = send(server, "hold@here.test")
    assert exchange.accepted, exchange.transcript
    code = code_in(exchange.reply_to("."))
    assert traced(server, code).states() == {"hold@here.test": "held"}
    (mail,) = held(server, "hold@here.test")
    assert mail["id"] == f"{code}.1"
    assert (mail["mailbox"], mail["mail_from"]) == ("hold@here.test", "chen@tea.test")
    assert mail["because"] == {
        "check": "rule.hold",
        "text": f"rule {label} of this recipient says so",
    }
    assert f"rule {label}" in server.cli("quarantine", "show", f"{code}.1")
    server.cli("queue", "release", codes=(4,))  # what a rule holds is not the queue's to release
    assert len(held(server, "hold@here.test")) == 1
    server.cli("quarantine", "release", f"{code}.1")
    (raw,) = server.wait_for_messages("hold@here.test")
    assert message_from_bytes(raw)["Delivered-To"] == "hold@here.test"
    assert held(server, "hold@here.test") == []
    wait_state(server, code, hold="delivered")


def test_deleted_mail_is_gone_and_nobody_is_told(server: PosternServer) -> None:
    server.mailbox_add("drop@here.test")
    rule(server, "hold", "all", "--mailbox", "drop@here.test")
    code = code_in(send(server, "drop@here.test").reply_to("."))
    server.cli("quarantine", "delete", f"{code}.1")
    assert held(server, "drop@here.test") == []
    wait_state(server, code, drop="discarded")
    server.cli("quarantine", "release", f"{code}.1", codes=(4,))


def test_junk_goes_to_the_junk_folder_and_is_told_so(server: PosternServer) -> None:
    server.mailbox_add("junk@here.test")
    rule(server, "junk", "@tea.test", "--mailbox", "junk@here.test")
    code = code_in(send(server, "junk@here.test").reply_to("."))
    told = wait_state(server, code, junk="junked")
    assert told.because is not None
    assert told.because.check == "rule.junk"
    folder = server.maildir("junk@here.test") / ".Junk" / "new"
    assert len(list(folder.iterdir())) == 1
    assert server.messages("junk@here.test") == []


def test_one_who_blocks_and_one_who_does_not_both_have_their_way(server: PosternServer) -> None:
    server.mailbox_add("open@here.test")
    server.mailbox_add("closed@here.test")
    rule(server, "block", "@offers.test", "--mailbox", "closed@here.test")
    forged = ("--header", "From: Ann <ann@offers.test>")
    exchange = send(server, "open@here.test,closed@here.test", GOOD, *forged)
    assert exchange.accepted, exchange.transcript
    told = wait_state(server, code_in(exchange.reply_to(".")), open="delivered")
    assert told.states() == {"open@here.test": "delivered", "closed@here.test": "held"}
    assert len(held(server, "closed@here.test")) == 1


def test_explain_and_smtp_say_the_same(server: PosternServer) -> None:
    server.mailbox_add("same@here.test")
    label = rule(server, "block", "@tea.test", "--mailbox", "same@here.test")
    said = json.loads(
        server.cli("rule", "explain", "same@here.test", "--from", "chen@tea.test", "--json")
    )
    assert said["decides"] == {"effect": "refuse", "rule": label}
    refused = send(server, "same@here.test")
    assert refused.refused_at == "rcpt"
    told = traced(server, code_in(refused.replies("550")[-1]))
    assert told.because is not None
    assert told.because.check == "rule.block"
    assert told.recipients[0].rule == label
