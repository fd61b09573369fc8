"""What monitoring asks: metrics, health, readiness."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from tests.journeys.clients import lines
from tests.journeys.told import wait_state
from tests.peers.certificates import Authority
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import wait_until


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[PosternServer]:
    settings = PosternSettings(
        workers=2,
        listeners=(Listening(),),
        certificate=authority.issue("mx.postern.test"),
    )
    with postern(settings) as running:
        running.domain_add("here.test")
        running.mailbox_add("bob@here.test")
        yield running


def ask(server: PosternServer, path: str) -> tuple[int, str]:
    """Status and body of a page."""
    port = json.loads((server.data / "run" / "console.json").read_text())["port"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(server: PosternServer, name: str) -> float:
    """The value of a metric, its labels included in ``name``; 0 when it is not there."""
    _, page = ask(server, "/metrics")
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_health_and_readiness_are_told(server: PosternServer) -> None:
    assert ask(server, "/healthz")[0] == 200
    wait_until(lambda: ask(server, "/readyz")[0] == 200, "/readyz")
    assert ask(server, "/nothing")[0] == 404


def test_metrics_count_what_was_accepted_refused_and_delivered(server: PosternServer) -> None:
    with lines(server.port()) as talk:
        talk.say_all("EHLO client.test", "MAIL FROM:<li@far.test>")
        assert talk.say("RCPT TO:<gone@here.test>").startswith("550")
        talk.say_all("RCPT TO:<bob@here.test>", "DATA")
        assert talk.say("Subject: x\r\n\r\nx\r\n.").startswith("250")
    wait_state(server, "li@far.test", bob="delivered")
    for name in (
        "postern_messages_accepted_total",
        'postern_smtp_refusals_total{check="rcpt.unknown"}',
        'postern_delivery_attempts_total{result="delivered"}',
    ):
        wait_until(lambda name=name: metric(server, name) >= 1, name)  # type: ignore[misc]  # mypy takes the default for an argument
    _, page = ask(server, "/metrics")
    assert "postern_certificate_expiry_timestamp_seconds" in page
    assert 'postern_queue_messages{state="waiting"} 0' in page
    assert "here.test" not in page, "no addresses in labels"


def test_a_worker_that_is_gone_makes_it_unready_until_it_is_back(server: PosternServer) -> None:
    old = server.status(1).pid
    server.kill_worker(1)
    wait_until(lambda: server.status(1).pid != old, "another worker")
    wait_until(lambda: ask(server, "/readyz")[0] == 200, "/readyz again")
    assert ask(server, "/healthz")[0] == 200
