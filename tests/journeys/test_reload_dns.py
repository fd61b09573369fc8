"""A reload while DNS is asked: whoever waits for the answer gets it, mail and client alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.clients import lines
from tests.peers.dns import NsdServer
from tests.peers.dns_proxy import DnsProxy
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import wait_until
from tests.peers.sink import Sink, smtp_sink

pytestmark = pytest.mark.peers("smtp-sink", "nsd")

RELAY = Listening("mx", "127.0.0.1:0", 'relay_from = ["127.0.0.0/8"]\nchecks = false')
ZONES = {
    "slow.test": "@ MX 10 mail\nmail A 127.0.0.1",
    "quick.test": "@ MX 10 mail\nmail A 127.0.0.1",
}
TRY_S = 6.0
"""Until a question is asked again: the reload comes in between."""


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    with smtp_sink(log=tmp_path / "sink.log") as running:
        yield running


@pytest.fixture
def home() -> Iterator[DnsProxy]:
    with NsdServer(ZONES) as nsd, DnsProxy(nsd.address, silent={"slow.test"}) as proxy:
        yield proxy


@pytest.fixture
def server(sink: Sink, home: DnsProxy) -> Iterator[PosternServer]:
    resolver = f'name = "home"\nservers = ["{home.address}"]\ntimeout_s = {2 * TRY_S}'
    tables = (("[resolver]", resolver), ("delivery", f"port = {sink.port}"))
    with postern(PosternSettings(listeners=(RELAY,), tables=tables)) as running:
        yield running


def reload_then_answer(server: PosternServer, home: DnsProxy, times: int = 1) -> None:
    """Reload while the first try of a look-up is silent; its next is answered."""
    wait_until(lambda: bool(home.dropped), "the look-up to be under way")
    server.reload()
    wait_until(lambda: server.log().count("worker.reloaded") == times, "the reload")
    home.silent.clear()


def test_mail_whose_way_is_looked_up_during_a_reload_leaves_all_the_same(
    server: PosternServer, home: DnsProxy, sink: Sink
) -> None:
    with lines(server.port()) as talk:
        talk.say_all("EHLO client.test", "MAIL FROM:<li@far.test>")
        talk.say_all("RCPT TO:<a@slow.test>", "RCPT TO:<b@quick.test>", "DATA")
        assert talk.say("Subject: x\r\n\r\nx\r\n.").startswith("250")
    reload_then_answer(server, home)
    sink.wait_for(2, within_s=30)
    wait_until(lambda: server.waiting() == 0, "nothing to be left")


def test_a_client_whose_recipients_server_is_looked_up_during_a_reload_is_answered(
    server: PosternServer, home: DnsProxy, sink: Sink
) -> None:
    server.domain_add("gate.test", to=f"mail.slow.test:{sink.port}")
    with lines(server.port()) as talk:
        talk.say_all("EHLO client.test", "MAIL FROM:<li@far.test>")
        talk.sock.settimeout(30)
        talk.sock.sendall(b"RCPT TO:<wang@gate.test>\r\n")
        reload_then_answer(server, home)
        assert talk.sock.recv(100).startswith(b"250 2.1.5")
