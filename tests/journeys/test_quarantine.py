"""Held mail: its owner is told of it, it is let go into the inbox, and its sender let through."""

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from tests.journeys.told import code_in, traced, wait_state
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.postfix import PostfixSettings, postfix
from tests.peers.process import wait_until
from tests.peers.swaks import Exchange, proxied, swaks

pytestmark = pytest.mark.peers("swaks", "nsd")

PROVEN = "198.51.100.24"
UNPROVEN = "198.51.100.30"
ZONES = {
    "tea.test": '@ MX 10 mail\n@ TXT "v=spf1 ip4:198.51.100.24 -all"\nmail A 198.51.100.24',
    "far.test": "@ MX 10 mail\nmail A 198.51.100.30",
    "test": '@ TXT "no such thing as DMARC here"',
    "100.51.198.in-addr.arpa": "24 PTR mail.tea.test.\n30 PTR mail.far.test.",
}
QUIET = (("quarantine", "digest = false"),)
TELLING = (
    ("quarantine", "digest_hour = 0\nkeep_days = 20"),
    ("notices", 'timezone = "Asia/Shanghai"'),
)


@pytest.fixture(scope="module")
def dns() -> Iterator[NsdServer]:
    with NsdServer(ZONES) as running:
        yield running


NO_WAIT = ("greylist", 'mode = "off"')
"""What is held here is suspicious: greylisting would ask for it twice."""


def settings(dns: NsdServer, tables: tuple[tuple[str, str], ...]) -> PosternSettings:
    extra = 'proxy_protocol = ["127.0.0.0/8"]'
    return PosternSettings(
        listeners=(Listening("mx", extra=extra),),
        resolver=dns.address,
        tables=(*tables, NO_WAIT),
        workers=2,
    )


@pytest.fixture(scope="module")
def server(dns: NsdServer) -> Iterator[PosternServer]:
    with postern(settings(dns, QUIET)) as running:
        running.domain_add("here.test")
        yield running


def send(
    server: PosternServer, to: str, ip: str = PROVEN, sender: str = "chen@tea.test", *options: str
) -> Exchange:
    proxy = (*proxied(ip), "--helo", "nowhere.far.test")
    return swaks(server.port(), sender=sender, to=to, options=(*proxy, *options))


def hold(server: PosternServer, to: str, *arguments: str) -> str:
    """Have one message held; its id."""
    exchange = send(server, to, *arguments)
    assert exchange.accepted, exchange.transcript
    return f"{code_in(exchange.reply_to('.'))}.1"


def held(server: PosternServer, *options: str) -> list[dict[str, object]]:
    found = json.loads(server.cli("quarantine", "list", *options, "--json"))["held"]
    assert isinstance(found, list)
    return found


def letters(server: PosternServer, mailbox: str) -> list[EmailMessage]:
    found = []
    for raw in server.messages(mailbox):
        parsed = message_from_bytes(raw, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        if parsed["Auto-Submitted"] == "auto-generated":
            found.append(parsed)
    return found


def test_released_mail_is_in_the_inbox_and_says_so_and_its_proven_sender_comes_through(
    server: PosternServer,
) -> None:
    server.domain_add("checked.test")
    server.mailbox_add("wang@checked.test")
    server.cli("rule", "system", "helo.unresolvable", "hold", "--domain", "checked.test")
    name = hold(server, "wang@checked.test")
    (mail,) = held(server, "--domain", "checked.test")
    assert mail["id"] == name
    assert mail["owner"] == "wang@checked.test"
    assert str(mail["until"]) > str(mail["at"])
    assert mail["found"] == ["helo.unresolvable"]
    shown = server.cli("quarantine", "show", name)
    for text in ("chen@tea.test (proven", PROVEN, "not yet", "helo.unresolvable", "until"):
        assert text in shown

    words = ("quarantine", "release", name, "--allow", "30d", "--json")
    (label,) = json.loads(server.cli(*words))["rules"]
    (raw,) = server.wait_for_messages("wang@checked.test")
    released = message_from_bytes(raw)["X-Postern-Released"]
    assert "; by=cli:" in released
    assert released.endswith("; was=helo.unresolvable")
    rules = json.loads(server.cli("rule", "list", "--mailbox", "wang@checked.test", "--json"))
    (rule,) = rules["rules"]
    assert (rule["id"], rule["match"], rule["waive"]) == (label, "chen@tea.test", ["helo"])
    assert rule["unproven"] is False
    assert name in rule["reason"]

    again = send(server, "wang@checked.test")
    told = wait_state(server, code_in(again.reply_to(".")), wang="delivered")
    assert told.recipients[0].rule == label
    liar = hold(server, "wang@checked.test", UNPROVEN)  # nothing proves that it is chen
    assert [mail["id"] for mail in held(server, "--mailbox", "wang@checked.test")] == [liar]


def test_an_unproven_sender_is_let_through_by_the_server_he_comes_from(
    server: PosternServer,
) -> None:
    server.mailbox_add("li@here.test")
    server.cli(
        "rule", "hold", "@far.test", "--mailbox", "li@here.test", "--reason", "a journey"
    )  # fmt: skip
    name = hold(server, "li@here.test", UNPROVEN, "ann@far.test")
    done = server.run("quarantine", "release", name, "--allow", "2w")
    assert done.exit_code == 0
    assert "so the rule is about the server" in done.stderr
    rules = json.loads(server.cli("rule", "list", "--mailbox", "li@here.test", "--json"))["rules"]
    assert [rule["match"] for rule in rules] == ["@far.test", UNPROVEN]
    server.wait_for_messages("li@here.test")


def test_held_mail_is_found_by_either_of_its_senders(server: PosternServer) -> None:
    server.mailbox_add("find@here.test")
    server.cli("rule", "hold", "all", "--mailbox", "find@here.test", "--reason", "a journey")
    forged = ("--header", "From: Ann <ann@offers.test>")
    name = hold(server, "find@here.test", PROVEN, "chen@tea.test", *forged)
    for sender in ("chen@tea.test", "@tea.test", "ann@offers.test", "@offers.test"):
        found = held(server, "--mailbox", "find@here.test", "--from", sender)
        assert [mail["id"] for mail in found] == [name], sender
    assert held(server, "--mailbox", "find@here.test", "--from", "@far.test") == []
    server.cli("quarantine", "list", "--from", "nobody", codes=(64,))
    server.cli("quarantine", "delete", name)
    told = traced(server, name.removesuffix(".1"))
    assert told.states() == {"find@here.test": "discarded"}
    assert "by cli:" in server.cli("why", name.removesuffix(".1"), codes=(2,))


def test_released_mail_whose_owner_is_gone_is_held_again(server: PosternServer) -> None:
    server.domain_add("left.test")
    server.mailbox_add("moved@left.test")
    server.cli("rule", "hold", "all", "--domain", "left.test", "--reason", "a journey")
    name = hold(server, "moved@left.test", UNPROVEN, "ann@far.test")
    server.cli("mailbox", "remove", "moved@left.test")
    done = server.run("quarantine", "release", name, "--allow", "30d")
    assert done.exit_code == 0
    assert "there is no mailbox moved@left.test (any more)" in done.stderr
    assert "no rule was made" in done.stderr
    wait_until(
        lambda: [mail["id"] for mail in held(server, "--domain", "left.test")] == [name],
        "the message to be held again",
        server=server.server,
    )
    (mail,) = held(server, "--domain", "left.test")
    because = mail["because"]
    assert isinstance(because, dict)
    assert because["check"] == "delivery.no-mailbox"
    assert mail["owner"] == "moved@left.test"
    server.mailbox_add("moved@left.test")
    assert server.run("quarantine", "release", name).stderr == ""
    server.wait_for_messages("moved@left.test")


def test_of_two_releases_at_the_same_time_one_delivers(server: PosternServer) -> None:
    server.mailbox_add("twice@here.test")
    server.cli("rule", "hold", "all", "--mailbox", "twice@here.test", "--reason", "a journey")
    name = hold(server, "twice@here.test")
    with ThreadPoolExecutor(2) as threads:
        words = ("quarantine", "release", name, "--json")
        runs = [threads.submit(server.run, *words) for _ in range(2)]
        codes = sorted(run.result().exit_code for run in runs)
    assert codes == [0, 4]
    server.wait_for_messages("twice@here.test")
    server.stop()
    server.start()
    assert len(server.messages("twice@here.test")) == 1


@pytest.fixture(scope="module")
def teller(dns: NsdServer) -> Iterator[PosternServer]:
    """A server that holds mail and has told nobody yet."""
    with postern(settings(dns, QUIET)) as running:
        running.domain_add("here.test")
        for name in ("wang", "li", "postmaster", "gone"):
            running.mailbox_add(f"{name}@here.test")
        running.cli("rule", "hold", "@tea.test", "--reason", "a journey")
        yield running


def test_owners_get_one_letter_and_what_it_names_is_told(
    teller: PosternServer, dns: NsdServer
) -> None:
    subject = ("--header", "Subject: =?utf-8?B?5pil6Iy25oql5Lu3?=")
    first = hold(teller, "wang+shop@here.test", PROVEN, "chen@tea.test", *subject)
    second = hold(teller, "wang@here.test")
    other = hold(teller, "li@here.test")
    orphan = hold(teller, "gone@here.test")
    teller.cli("mailbox", "remove", "gone@here.test")
    teller.stop()
    teller.write_config(settings(dns, TELLING))
    teller.start()
    teller.wait_for_messages("wang@here.test")
    teller.wait_for_messages("li@here.test")
    teller.wait_for_messages("postmaster@here.test")
    (letter,) = letters(teller, "wang@here.test")
    assert letter["Return-Path"] == "<>"
    assert letter["Subject"] == "2 messages are held for you / 2 封邮件已隔离"
    words, page = (str(part.get_content()) for part in letter.iter_parts())
    for text in (words, page):
        for wanted in (first, second, "春茶报价", "chen@tea.test", "隔离", "UTC+8", "放行"):
            assert wanted in text
        assert other not in text
    (to_postmaster,) = letters(teller, "postmaster@here.test")
    assert orphan in str(next(iter(to_postmaster.iter_parts())).get_content())

    wait_until(
        lambda: "owner told  20" in teller.cli("quarantine", "show", first),
        "the owner to be told",
        server=teller.server,
        within_s=30,
    )
    teller.stop()
    teller.start()  # the same day: nobody is told twice
    late = hold(teller, "li@here.test")
    assert late in teller.cli("quarantine", "list")
    assert len(letters(teller, "wang@here.test")) == 1
    assert len(letters(teller, "li@here.test")) == 1


def test_a_kill_while_letters_are_written_loses_none(dns: NsdServer) -> None:
    owners = [f"user{n}@here.test" for n in range(8)]
    with postern(settings(dns, QUIET)) as killed:
        killed.domain_add("here.test")
        for owner in owners:
            killed.mailbox_add(owner)
        killed.cli("rule", "hold", "@tea.test", "--reason", "a journey")
        assert send(killed, ",".join(owners)).accepted
        killed.stop()
        killed.write_config(settings(dns, TELLING))
        site = sqlite3.connect(killed.data / "site.db", isolation_level=None)
        killed.launch()
        written = "SELECT count(*) FROM digest"
        wait_until(
            lambda: site.execute(written).fetchone()[0] > 0,
            "letters to be written down",
            server=killed.server,
        )
        killed.kill()
        killed.start()
        for owner in owners:
            killed.wait_for_messages(owner)
        ids = [{letter["Message-ID"] for letter in letters(killed, owner)} for owner in owners]
        assert [len(some) for some in ids] == [1] * len(owners)
        site.close()


@pytest.mark.peers("postfix")
def test_a_mailbox_behind_a_customers_own_server_is_told_there(dns: NsdServer) -> None:
    behind = PostfixSettings(hostname="mail.gate.test", domains=("gate.test",))
    with postfix(behind) as peer, postern(settings(dns, QUIET)) as server:
        server.domain_add("gate.test", to=f"127.0.0.1:{peer.port}")
        server.cli("rule", "hold", "@tea.test", "--domain", "gate.test", "--reason", "a journey")
        name = hold(server, "wang@gate.test")
        server.stop()
        server.write_config(settings(dns, TELLING))
        server.start()
        (raw,) = peer.wait_for_messages("wang@gate.test")
        letter = message_from_bytes(raw, policy=policy.default)
        assert letter["Auto-Submitted"] == "auto-generated"
        words = letter.get_body(("plain",))
        assert words is not None
        assert name in str(words.get_content())
        server.cli("quarantine", "release", name)
        (_, raw) = peer.wait_for_messages("wang@gate.test", 2)
        released = message_from_bytes(raw)
        assert released["X-Postern-Released"].endswith("; was=rule.hold")
        assert released["X-Postern-Junk"] is None
