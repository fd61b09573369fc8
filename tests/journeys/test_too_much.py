"""Who sends too much, and who talks too early: counted and found by a server of two workers."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.journeys.judged import LETTER, ZONES
from tests.journeys.told import traced
from tests.peers.dns import NsdServer
from tests.peers.outsider import hand_in
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern

pytestmark = pytest.mark.peers("nsd")

AT_ONCE = 8
MOST = 5
PATIENCE_S = 30.0
HASTY = "198.51.100.26"
"""A client of its own: who has waited once is not tried again."""


@pytest.fixture(scope="module")
def server() -> Iterator[PosternServer]:
    with NsdServer(ZONES) as dns:
        settings = PosternSettings(
            workers=2,
            listeners=(
                Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]\ngreeting_wait_s = 0.2'),
                Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]\ngreeting_wait_s = 60'),
            ),
            resolver=dns.address,
            tables=(("rate", f"messages_per_recipient = {MOST}"),),
        )
        with postern(settings) as running:
            running.domain_add("here.test")
            for name in ("wang", "li", "chen"):
                running.mailbox_add(f"{name}@here.test")
            yield running


def test_what_all_workers_take_together_is_limited(server: PosternServer) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = list(
            pool.map(
                lambda _: hand_in(server.port(), LETTER, ["wang@here.test"]), range(3 * AT_ONCE)
            )
        )
    taken = [one for one in said if one.accepted]
    # Two workers that count at the same instant may count one for two.
    assert MOST <= len(taken) <= MOST + 1
    refused = [one for one in said if not one.accepted]
    words = f"this recipient gets no more than {MOST} messages an hour"
    for one in refused:
        assert (one.stage, one.code) == ("rcpt", 450)
        assert one.text.startswith(f"4.7.1 Not accepted now: {words}")
    told = traced(server, refused[0].trace)
    assert told.because is not None
    assert (told.because.check, told.because.whose) == ("rate.exceeded", "recipient")
    assert hand_in(server.port(), LETTER, ["li@here.test"]).accepted
    server.cli("rule", "allow", LETTER.ip, "--mailbox", "wang@here.test", "--reason", "a journey")
    assert hand_in(server.port(), LETTER, ["wang@here.test"]).accepted


def talk_early(server: PosternServer, recipient: str) -> bytes:
    """Say everything at once, on a listener that greets nobody new within the minute."""
    with socket.create_connection(("127.0.0.1", server.port(nth=1)), PATIENCE_S) as line:
        line.sendall(
            f"PROXY TCP4 {HASTY} 192.0.2.1 4242 25\r\nEHLO {LETTER.helo}\r\n"
            f"MAIL FROM:<{LETTER.sender}>\r\nRCPT TO:<{recipient}>\r\nQUIT\r\n".encode()
        )
        said = b""
        while piece := line.recv(4096):
            said += piece
        return said


def test_who_talks_before_the_greeting_is_refused_unless_a_mailbox_waives_it(
    server: PosternServer,
) -> None:
    said = talk_early(server, "chen@here.test")
    assert b"550-5.5.1 Not accepted: your mail server did not wait to be greeted.\r\n" in said
    words = ("--waive", "standards", "--mailbox", "chen@here.test", "--reason", "a journey")
    server.cli("rule", "allow", HASTY, *words)
    said = talk_early(server, "chen@here.test")
    assert b"250 2.1.5 " in said
    assert b"550-5.5.1" in talk_early(server, "li@here.test")
