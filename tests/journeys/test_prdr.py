"""Exim asks for an answer for each recipient, and does with each what it was told."""

from collections.abc import Iterator

import pytest
from tests.journeys.told import code_in, traced, wait_state
from tests.peers.dns import NsdServer
from tests.peers.exim import Sent, exim
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.proxy import proxy

pytestmark = pytest.mark.peers("exim4", "nsd")

GOOD = "198.51.100.24"
ZONES = {
    "tea.test": '@ MX 10 mail\nmail A 198.51.100.24\n@ TXT "v=spf1 ip4:198.51.100.24 -all"',
    "100.51.198.in-addr.arpa": "24 PTR mail.tea.test.",
}
MESSAGE = (
    b"From: Ann <ann@offers.test>\nDate: Thu, 01 Jan 2026 00:00:00 +0000\nSubject: offer\n\nBuy\n"
)
OPEN, CLOSED, JUNK = ("open@here.test", "closed@here.test", "junk@here.test")


@pytest.fixture(scope="module")
def server() -> Iterator[PosternServer]:
    with NsdServer(ZONES) as dns:
        settings = PosternSettings(
            listeners=(Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]'),),
            resolver=dns.address,
        )
        with postern(settings) as running:
            running.domain_add("here.test")
            for who in (OPEN, CLOSED, JUNK):
                running.mailbox_add(who)
            for action, who in (("block", CLOSED), ("junk", JUNK)):
                running.cli(
                    "rule", action, "@offers.test", "--mailbox", who, "--reason", "a journey"
                )
            yield running


def send(server: PosternServer, *to: str, chunking: bool = False) -> Sent:
    with proxy(server.port(), GOOD) as port:
        return exim(port, sender="chen@tea.test", to=to, message=MESSAGE, chunking=chunking)


@pytest.mark.parametrize("way", ["data", "bdat"])
def test_exim_hears_for_each_recipient_what_became_of_the_message(
    server: PosternServer, way: str
) -> None:
    before = len(server.messages(OPEN))
    sent = send(server, OPEN, CLOSED, JUNK, chunking=way == "bdat")
    assert set(sent.delivered) == {OPEN, JUNK}, sent.transcript
    assert sent.failed == (CLOSED,)
    assert sent.replies("353")
    assert sent.replies("550-5.7.1 Not accepted: rule ")
    assert any(side == "C" and text.endswith(" PRDR") for side, text in sent.lines)
    assert any(text.startswith("BDAT") for _, text in sent.lines) == (way == "bdat")
    told = wait_state(
        server, code_in(sent.replies("250 2.0.0 Accepted PT-")[0]), open="delivered", junk="junked"
    )
    assert told.states()[CLOSED] == "refused"
    assert len(server.messages(OPEN)) == before + 1
    assert server.messages(CLOSED) == []
    assert server.cli_json("quarantine", "list")["held"] == []


def test_exim_hears_one_answer_where_all_refuse_or_take_it(server: PosternServer) -> None:
    sent = send(server, CLOSED)
    assert sent.failed == (CLOSED,)
    assert sent.replies("353") == []
    told = traced(server, code_in(sent.replies("550 5.7.1")[-1]))
    assert told.states() == {CLOSED: "refused"}
    sent = send(server, OPEN, JUNK)
    assert set(sent.delivered) == {OPEN, JUNK}
    assert sent.replies("353") == []
