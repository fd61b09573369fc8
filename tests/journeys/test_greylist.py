"""Suspicious mail comes twice: two workers and a restart in between, and an operator who helps."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.journeys.judged import LETTER, ZONES
from tests.journeys.told import code_in, traced, wait_state
from tests.peers.dns import NsdServer
from tests.peers.outsider import Letter, Said, hand_in
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import wait_until
from tests.peers.swaks import swaks

pytestmark = pytest.mark.peers("nsd", "swaks")

AT_ONCE = 8
SUSPICIOUS = replace(LETTER, helo="srv-2003.tea.test")
"""All is well with it but the name it gives itself."""
OTHER = replace(SUSPICIOUS, ip="198.51.100.26")


def settings(dns: NsdServer, wait_s: float, workers: int = 1) -> PosternSettings:
    """A server whose clients are all said by the PROXY protocol."""
    return PosternSettings(
        workers=workers,
        listeners=(Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]\ngreeting_wait_s = 0'),),
        resolver=dns.address,
        tables=(("greylist", f"wait_s = {wait_s}"),),
    )


@pytest.fixture(scope="module")
def dns() -> Iterator[NsdServer]:
    with NsdServer(ZONES) as running:
        yield running


def send(server: PosternServer, letter: Letter = SUSPICIOUS, to: str = "wang@here.test") -> Said:
    return hand_in(server.port(), letter, (to,))


def assert_waits(said: Said) -> None:
    assert (said.stage, said.code) == ("rcpt", 450), said.lines
    assert said.text.startswith("4.7.1 Not accepted now: mail like this is new here")
    assert "Your server will try again by itself; there is nothing to do." in said.text


def test_mail_is_taken_when_it_comes_again_after_a_restart_and_from_another_server(
    dns: NsdServer,
) -> None:
    with postern(settings(dns, 1.5)) as server:
        server.domain_add("here.test")
        server.mailbox_add("wang@here.test")
        said = send(server)
        assert_waits(said)
        told = traced(server, said.trace)
        assert told.because is not None
        assert (told.because.check, told.because.whose) == ("greylist.wait", "recipient")
        assert "seen first just now, taken from " in told.because.text
        assert told.recipients[0].state == "refused-for-now"
        server.stop()
        server.start()
        wait_until(lambda: send(server).accepted, "the second try is taken", server=server.server)
        again = send(server, OTHER)  # another server that may send for the same domain
        assert again.accepted, again.lines
        steps = {step.step: step.result for step in traced(server, again.trace).steps}
        assert steps["greylist.wait"] == "pass"
        assert len(server.wait_for_messages("wang@here.test", 2)) == 2
        clean = send(server, LETTER)
        assert "greylist.wait" not in {step.step for step in traced(server, clean.trace).steps}


def test_all_workers_know_who_was_here_and_the_operator_lets_one_in(dns: NsdServer) -> None:
    with postern(settings(dns, 600, workers=2)) as server:
        server.domain_add("here.test")
        for name in ("wang", "li"):
            server.mailbox_add(f"{name}@here.test")
        assert server.cli_json("greylist", "list")["entries"] == []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for said in pool.map(lambda _: send(server), range(2 * AT_ONCE)):
                assert_waits(said)
        sessions = "postern_smtp_sessions_total"
        wait_until(
            lambda: all(server.status(n).counters[sessions] for n in (0, 1)),
            "both workers had some of them",
            server=server.server,
        )
        (entry,) = entries(server)
        assert (entry["mail_from"], entry["recipient"]) == ("@tea.test", "wang@here.test")
        assert (entry["servers"], entry["passed_at"]) == ("spf:tea.test", None)
        assert "waits; taken from " in server.cli("greylist", "list", "TEA.test")

        assert_waits(send(server, to="li@here.test"))
        server.cli("greylist", "pass", str(entry["id"]))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for said in pool.map(lambda _: send(server), range(AT_ONCE)):
                assert said.accepted, said.lines
        assert_waits(send(server, to="li@here.test"))
        assert entries(server, "wang@here.test")[0]["passed_at"]

        server.cli("greylist", "forget", str(entry["id"]))
        assert_waits(send(server))
        server.cli("greylist", "pass", "4711", codes=(4,))


def entries(server: PosternServer, *words: str) -> list[dict[str, object]]:
    """What ``postern greylist list`` shows."""
    found = server.cli_json("greylist", "list", *words)["entries"]
    assert isinstance(found, list)
    return found


def test_a_domain_without_greylisting_and_a_rule_take_mail_at_once(dns: NsdServer) -> None:
    with postern(settings(dns, 600)) as server:
        for domain in ("here.test", "open.test"):
            server.domain_add(domain)
            server.mailbox_add(f"wang@{domain}")
        server.mailbox_add("li@here.test")
        server.cli("rule", "system", "greylist.wait", "off", "--domain", "open.test")
        words = ("--waive", "greylist", "--mailbox", "li@here.test", "--reason", "a journey")
        server.cli("rule", "allow", "@tea.test", *words)
        assert send(server, to="wang@open.test").accepted
        said = send(server, to="li@here.test")
        assert said.accepted, said.lines
        assert_waits(send(server))


def test_swaks_as_a_server_without_spf_is_asked_once_its_message_is_there(
    dns: NsdServer,
) -> None:
    with postern(settings(dns, 1.0)) as server:
        server.domain_add("here.test")
        server.mailbox_add("wang@here.test")
        proxy = (
            "--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-protocol", "STREAM",
            "--proxy-command", "PROXY", "--proxy-source", LETTER.ip, "--proxy-source-port", "4242",
            "--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25", "--helo", LETTER.helo,
        )  # fmt: skip

        def try_it() -> bool:
            exchange = swaks(
                server.port(), sender="ann@deadkey.test", to="wang@here.test", options=proxy
            )
            if exchange.accepted:
                wait_state(server, code_in(exchange.reply_to(".")), wang="delivered")
                return True
            assert exchange.replies("450")[0].startswith(
                "450-4.7.1 Not accepted now: mail like this is new here (neither SPF nor DKIM)"
            )
            return False

        assert not try_it()
        wait_until(try_it, "the second try is taken", server=server.server)
