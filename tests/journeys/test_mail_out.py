"""Mail leaves for a real Postfix that a real DNS server names as MX, and comes back if refused."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from tests.journeys.clients import SUBJECT, submit
from tests.journeys.told import (
    Attempt,
    code_in,
    queue,
    traced,
    wait_state,
    wait_told,
    wait_tried,
    why,
)
from tests.peers.certificates import Authority
from tests.peers.dns import NsdServer
from tests.peers.opendkim import opendkim_results
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.postfix import Postfix, PostfixSettings, postfix
from tests.peers.process import free_port, wait_until
from tests.peers.swaks import swaks

pytestmark = pytest.mark.peers("postfix", "nsd", "swaks")

ALICE = "alice@here.test"
ZONES = {
    "far.test": "@ MX 10 mx\nmx A 127.0.0.1",
    "two.test": "@ MX 10 dead\n@ MX 20 mx\ndead A 127.0.0.77\nmx A 127.0.0.1",
    "bare.test": "@ A 127.0.0.1",
    "null.test": "@ MX 0 .",
}
"""``far`` has one MX, ``two`` a first one that is down, ``bare`` none, ``null`` wants no mail."""


@dataclass(frozen=True)
class World:
    """Postern, the Postfix it delivers to, and nothing else."""

    postern: PosternServer
    peer: Postfix

    def submit(self, *to: str, notify: str = "", returns: str = "") -> str:
        """Alice sends; returns the trace code."""
        options = [f"NOTIFY={notify}"] if notify else []
        mail_options = [f"RET={returns}", "ENVID=QQ-118"] if returns else []
        return submit(
            self.postern.port("submission"),
            ALICE,
            "secret",
            to,
            options=options,
            mail_options=mail_options,
        )

    def notice(self, code: str) -> Message:
        """The one notice in Alice's Maildir that speaks of this message."""
        wait_until(lambda: bool(self.told_alice(code)), f"a notice about {code}")
        (notice,) = self.told_alice(code)
        return message_from_bytes(notice)

    def told_alice(self, code: str) -> list[bytes]:
        """What speaks of this message in Alice's Maildir."""
        return [raw for raw in self.postern.messages(ALICE) if code.encode() in raw]


@pytest.fixture(scope="module")
def world(authority: Authority) -> Iterator[World]:
    peer_settings = PostfixSettings(
        hostname="mx.far.test",
        domains=("far.test", "two.test", "bare.test"),
        refuse={
            "gone@far.test": "550 5.1.1 User unknown",
            "later@far.test": "450 4.2.0 Greylisted, try again in 300 seconds",
        },
        certificate=authority.issue("mx.far.test"),
    )
    with NsdServer(ZONES) as dns, postfix(peer_settings) as peer:
        settings = PosternSettings(
            listeners=(Listening(), Listening("submission")),
            certificate=authority.issue("mx.postern.test"),
            resolver=dns.address,
            tables=(("delivery", f"port = {peer.port}"),),
        )
        with postern(settings) as server:
            server.domain_add("here.test")
            server.mailbox_add(ALICE, "secret")
            server.mailbox_add("bob@here.test")
            yield World(server, peer)


def parts(message: Message) -> list[Message]:
    """The parts of a multipart."""
    payload = message.get_payload()
    assert isinstance(payload, list)
    return [part for part in payload if isinstance(part, Message)]


def fields(notice: Message) -> tuple[Message, Message]:
    """The per-message and the one per-recipient block of a delivery status (RFC 3464 §2.1)."""
    assert notice.get_content_type() == "multipart/report"
    assert notice.get_param("report-type") == "delivery-status"
    status = parts(notice)[1]
    assert status.get_content_type() == "message/delivery-status"
    per_message, per_recipient = parts(status)
    return per_message, per_recipient


def delivered(attempts: list[Attempt]) -> Attempt:
    """The try that succeeded."""
    return next(attempt for attempt in attempts if attempt.outcome == "delivered")


def test_mail_reaches_the_mx_under_tls_and_why_names_host_and_cipher(world: World) -> None:
    code = world.submit("zoe@far.test")
    (raw,) = world.peer.wait_for_messages("zoe@far.test")
    assert code.encode() in raw
    assert b"using TLSv1.3" in raw
    told = wait_state(world.postern, code, zoe="delivered")
    (attempt,) = told.attempts
    assert (attempt.egress, attempt.mx) == ("direct", "mx.far.test")
    assert attempt.address == f"127.0.0.1:{world.peer.port}"
    assert attempt.tls.startswith("TLS1.3"), attempt.tls
    assert attempt.reply.startswith("250 2.0.0")


@pytest.mark.peers("opendkim")
def test_opendkim_verifies_what_our_users_send_by_both_kinds_of_key(
    world: World, tmp_path: Path
) -> None:
    world.postern.cli("dkim", "add", "here.test", "--ed25519", "--selector", "fast")
    keys = json.loads(world.postern.cli("dkim", "list", "here.test", "--json"))["keys"]
    for key in keys:
        world.postern.cli("dkim", "activate", "here.test", key["selector"])
    world.submit("signed@far.test")
    for key in keys:
        world.postern.cli("dkim", "retire", "here.test", key["selector"])
    (raw,) = world.peer.wait_for_messages("signed@far.test")
    records = {key["record"]["name"]: key["record"]["value"] for key in keys}
    assert opendkim_results(raw, records, tmp_path) == [
        f"pass here.test rsa-sha256 {keys[1]['selector']}",
        "pass here.test ed25519-sha256 fast",
    ]
    assert not any(
        one.startswith("pass")
        for one in opendkim_results(raw.replace(b"hello", b"Hello"), records, tmp_path)
    )


def test_recipients_of_one_domain_share_a_transaction(world: World) -> None:
    to = [f"many{n}@far.test" for n in range(5)]
    code = world.submit(*to)
    for one in to:
        (raw,) = world.peer.wait_for_messages(one)
        assert code.encode() in raw
    told = wait_state(world.postern, code, many0="delivered", many4="delivered")
    assert len(told.attempts) == 1
    queue_ids = set(
        re.findall(r"smtpd?\[\d+\]|: ([0-9A-F]{8,}): to=<many\d@far\.test>",
                   world.peer.server.log_text())
    ) - {""}  # fmt: skip
    assert len(queue_ids) == 1, "Postfix made one queue file of them"


def test_an_alias_sends_on_to_an_address_elsewhere(world: World) -> None:
    world.postern.alias_add("sales@here.test", "desk@far.test", "bob@here.test")
    exchange = swaks(world.postern.port(), sender="li@client.test", to="sales@here.test")
    assert exchange.accepted, exchange.transcript
    (raw,) = world.peer.wait_for_messages("desk@far.test")
    assert b"Delivered-To: sales@here.test" in raw
    (back,) = re.findall(rb"Return-Path: <(SRS0=\w{8}=\w\w=client\.test=li@here\.test)>", raw)
    ask = ("--quit-after", "RCPT")
    returned = swaks(world.postern.port(), sender="<>", to=back.decode(), options=ask)
    assert not returned.refused_at
    forged = back.decode().replace("=li@", "=eve@")
    refused = swaks(world.postern.port(), sender="<>", to=forged, options=ask)
    assert any(reply.startswith("550 5.1.1") for reply in refused.replies("550"))
    world.postern.wait_for_messages("bob@here.test")
    told = wait_state(world.postern, code_in(exchange.reply_to(".")), sales="delivered")
    assert sorted(attempt.mx for attempt in told.attempts) == ["local", "mx.far.test"]


def test_the_second_mx_is_used_when_the_first_is_down(world: World) -> None:
    code = world.submit("zoe@two.test")
    world.peer.wait_for_messages("zoe@two.test")
    told = wait_state(world.postern, code, zoe="delivered")
    assert [(a.mx, a.outcome) for a in told.attempts] == [
        ("dead.two.test", "deferred"),
        ("mx.two.test", "delivered"),
    ]


def test_a_domain_without_mx_is_reached_at_its_address(world: World) -> None:
    code = world.submit("zoe@bare.test")
    world.peer.wait_for_messages("zoe@bare.test")
    assert delivered(wait_state(world.postern, code, zoe="delivered").attempts).mx == "bare.test"


def test_what_the_peer_puts_off_waits_and_queue_tells_why(world: World) -> None:
    code = world.submit("later@far.test")
    told = wait_tried(world.postern, code, later="waiting")
    assert "450 4.2.0" in told.attempts[0].reply
    causes = [cause for cause in queue(world.postern).causes if cause.mx_group]
    assert sum(cause.count for cause in causes) >= 1
    assert any("asks us to wait" in cause.cause for cause in causes), causes
    assert causes[0].next_at is not None
    world.postern.cli("queue", "cancel", code, "--yes")
    wait_state(world.postern, code, later="bounced")


def test_a_bounce_comes_back_in_the_form_programs_read_and_people_understand(world: World) -> None:
    code = world.submit("gone@far.test", returns="HDRS")
    told = wait_state(world.postern, code, gone="bounced")
    assert "550 5.1.1" in told.attempts[-1].reply
    notice = world.notice(code)
    assert notice["Return-Path"] == "<>"
    assert notice["Auto-Submitted"] == "auto-replied"
    assert notice["To"] is not None
    assert ALICE in notice["To"]
    per_message, per_recipient = fields(notice)
    assert per_message["Reporting-MTA"] == "dns; mx.postern.test"
    assert per_message["Original-Envelope-Id"] == "QQ-118"
    assert per_recipient["Final-Recipient"].lower() == "rfc822; gone@far.test"
    assert per_recipient["Action"] == "failed"
    assert per_recipient["Status"] == "5.1.1"
    assert "User unknown" in per_recipient["Diagnostic-Code"]
    assert "mx.far.test" in per_recipient["Remote-MTA"]
    assert per_recipient["Final-Log-ID"] == code
    words, _, original = parts(notice)
    text = words.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert "gone@far.test" in text.decode()
    assert code in text.decode()
    assert original.get_content_type() == "text/rfc822-headers"
    assert SUBJECT in str(original.get_payload())
    traced(world.postern, code)


def test_who_asked_for_no_notice_gets_none(world: World) -> None:
    code = world.submit("gone@far.test", notify="NEVER")
    wait_state(world.postern, code, gone="bounced")
    after = world.submit("gone@far.test")
    world.notice(after)
    assert world.told_alice(code) == []


def test_nobody_is_told_of_a_bounce_that_bounces(world: World) -> None:
    exchange = swaks(world.postern.port(), sender="<>", to="sales2@here.test", options=("--tls",))
    assert exchange.refused_at == "rcpt"
    world.postern.alias_add("sales2@here.test", "gone@far.test")
    exchange = swaks(world.postern.port(), sender="<>", to="sales2@here.test")
    assert exchange.accepted, exchange.transcript
    told = wait_told(
        world.postern,
        code_in(exchange.reply_to(".")),
        lambda found: found.states()["sales2@here.test"] in {"bounced", "discarded"},
    )
    assert told.mail_from == ""
    assert [one for one in why(world.postern, told.trace) if one.direction == "out"] == []


def test_a_domain_that_wants_no_mail_bounces_at_once(world: World) -> None:
    code = world.submit("zoe@null.test")
    wait_state(world.postern, code, zoe="bounced")
    _, per_recipient = fields(world.notice(code))
    assert per_recipient["Status"] == "5.1.10"


def test_a_wish_for_success_notices_is_handed_to_a_peer_with_dsn(world: World) -> None:
    code = world.submit("zoe.dsn@far.test", notify="SUCCESS")
    world.peer.wait_for_log("sender delivery status notification")
    wait_state(world.postern, code, **{"zoe.dsn": "delivered"})
    after = world.submit("gone@far.test")
    world.notice(after)
    assert world.told_alice(code) == []


def test_a_peer_without_dsn_makes_us_say_that_it_was_relayed(world: World) -> None:
    port = free_port()
    controller = Controller(Sink(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        world.postern.domain_add("nodsn.test", to=f"127.0.0.1:{port}")
        code = world.submit("zoe@nodsn.test", notify="SUCCESS,FAILURE")
        wait_state(world.postern, code, zoe="delivered")
        _, per_recipient = fields(world.notice(code))
    finally:
        controller.stop()
    assert per_recipient["Action"] == "relayed"
    assert per_recipient["Status"].startswith("2.")
