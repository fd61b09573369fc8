"""Real scanners look at mail: what they find, and what becomes of mail that they could not see."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from itertools import count

import pytest
from tests.journeys.told import Conversation, code_in, traced, wait_state
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder, wait_until
from tests.peers.scanners import EICAR, SIGNATURE, SPAM_WORD, WORST_WORD, ScannerPeer
from tests.peers.scanners import clamd as clamd_peer
from tests.peers.scanners import rspamd as rspamd_peer
from tests.peers.swaks import Exchange, proxied, swaks

pytestmark = pytest.mark.peers("swaks", "nsd", "clamd", "rspamd")

ZONES = {
    "tea.test": '@ MX 10 mail\nmail A 198.51.100.24\n@ TXT "v=spf1 ip4:198.51.100.24 -all"',
    "100.51.198.in-addr.arpa": "24 PTR mail.tea.test.",
}
COMMAND = """#!/bin/sh
message=$(cat)
case "$message" in
  *lab-forbidden*) echo "it says lab-forbidden"; exit 1 ;;
  *lab-broken*) echo "the licence has run out"; exit 7 ;;
esac
"""
LIMIT_S = 1.5


@dataclass(frozen=True)
class Site:
    """A Postern and its scanners."""

    server: PosternServer
    clamd: ScannerPeer
    rspamd: ScannerPeer

    def send(self, to: str, words: bytes = b"", header: bytes = b"") -> Exchange:
        """A message from outside."""
        message = b"From: chen@tea.test\nTo: x\nSubject: tea\n" + header + b"\nHello\n" + words
        proxy = proxied("198.51.100.24")
        return swaks(
            self.server.port(), sender="chen@tea.test", to=to, options=proxy, message=message
        )

    def send_from_here(self, to: str, words: bytes, nth: int = 1) -> Exchange:
        """A message from a program on this machine."""
        message = b"From: cron@here.test\nSubject: report\n\nHello\n" + words
        port = self.server.port(nth=nth)
        return swaks(port, sender="cron@here.test", to=to, message=message)

    def told(self, exchange: Exchange) -> Conversation:
        """What is on file of it."""
        return traced(self.server, code_in(exchange.reply_to(".")))

    def only_message(self, address: str, folder: str = "new") -> bytes:
        """The one message in a mailbox."""
        new = self.server.maildir(address) / folder
        wait_until(lambda: new.exists() and any(new.iterdir()), f"mail to {address}")
        (path,) = new.iterdir()
        return path.read_bytes()

    def mailbox(self, name: str, domain: str = "here.test") -> str:
        """A fresh mailbox."""
        self.server.mailbox_add(f"{name}@{domain}")
        return f"{name}@{domain}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with (
        NsdServer(ZONES) as dns,
        clamd_peer() as clamd,
        rspamd_peer() as rspamd,
        short_folder() as folder,
    ):
        program = folder / "scan"
        program.write_text(COMMAND)
        program.chmod(0o755)
        own = f"timeout_s = {LIMIT_S}\nfailures = 3\nretry_s = 0.2"
        settings = PosternSettings(
            listeners=(
                Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]'),
                Listening("mx"),
                Listening("mx", extra="checks = false"),
            ),
            resolver=dns.address,
            tables=(
                ("scanner.clamd", f'socket = "{clamd.socket}"\n{own}'),
                ("scanner.rspamd", f'socket = "{rspamd.socket}"\n{own}'),
                ("scanner.ours", f'kind = "command"\ncommand = ["{program}"]\n{own}'),
            ),
        )
        with postern(settings) as server:
            server.domain_add("here.test")
            yield Site(server, clamd, rspamd)


_numbers = count(1)


@pytest.fixture
def domain(site: Site) -> str:
    """A domain of the test's own, whose settings are nobody else's."""
    name = f"domain{next(_numbers)}.test"
    site.server.domain_add(name)
    return name


def is_up(site: Site) -> bool:
    """Whether every scanner is asked."""
    return all(scanner.state == "up" for scanner in site.server.status().scanners)


def recover(site: Site) -> None:
    """Have all scanners answer again, as far as the server knows."""
    address = site.mailbox(f"probe{next(_numbers)}")

    def is_taken() -> bool:
        return site.send(address).accepted and is_up(site)

    wait_until(is_taken, "mail to be taken again")


def test_virus_is_refused_by_its_name_whoever_sends_it(site: Site) -> None:
    address = site.mailbox("virus")
    refused = site.send(address, EICAR)
    assert refused.refused_at == "message"
    assert SIGNATURE in refused.transcript
    assert refused.reply_to(".").startswith("550 5.7.1 ")
    told = site.told(refused)
    assert told.because is not None
    assert (told.because.check, told.because.whose) == ("virus.found", "sender")
    (step,) = [step for step in told.steps if step.step == "virus.found"]
    assert (step.place, step.result) == ("clamd", "fail")
    for nth in (1, 2):  # from this machine, and where checks are off
        from_here = site.send_from_here(address, EICAR, nth)
        assert from_here.refused_at == "message"
        assert site.told(from_here).because == told.because
    assert site.server.messages(address) == []


def test_clean_mail_is_delivered_with_its_score_and_a_forged_one_is_taken_out(site: Site) -> None:
    address = site.mailbox("clean")
    forged = b"X-Postern-Spam: no, score=-99\nX-Postern-Unscanned: virus\n (forged)\n"
    taken = site.send(address, b"", forged)
    assert taken.accepted, taken.transcript
    told = site.told(taken)
    results = {step.step: step.result for step in told.steps}
    assert results["virus.found"] == results["spam.score"] == results["command.found"] == "pass"
    (raw,) = site.server.wait_for_messages(address)
    message = message_from_bytes(raw)
    (marked,) = message.get_all("X-Postern-Spam", [])
    assert marked.startswith("no, score=0.1 required=15 by=rspamd")
    assert "LAB_ENVELOPE" in marked  # its rule saw address, HELO, sender and recipients
    assert message["X-Postern-Unscanned"] is None
    assert b"forged" not in raw


def test_spam_goes_to_junk_or_is_refused_or_only_noted_as_the_domain_says(
    site: Site, domain: str
) -> None:
    address = site.mailbox("spam", domain)
    junked = site.send(address, SPAM_WORD)
    assert junked.accepted
    told = wait_state(site.server, code_in(junked.reply_to(".")), spam="junked")
    assert told.because is not None
    assert told.because.check == "spam.score"
    raw = site.only_message(address, ".Junk/new")
    assert b"X-Postern-Spam: yes, score=7.6 required=15 by=rspamd" in raw

    site.server.cli("rule", "system", "spam.score", "refuse", "--domain", domain)
    refused = site.send(address, WORST_WORD)
    assert refused.refused_at == "message"
    assert "LAB_WORST" in refused.transcript

    site.server.cli("rule", "system", "spam.score", "note", "--domain", domain)
    assert site.send(address, SPAM_WORD).accepted
    assert b"X-Postern-Spam: yes" in site.only_message(address)


def test_own_scanner_refuses_and_its_first_line_says_why(site: Site) -> None:
    address = site.mailbox("own")
    for refused in (
        site.send(address, b"lab-forbidden\n"),
        site.send_from_here(address, b"lab-forbidden\n"),
    ):
        assert refused.refused_at == "message"
        assert "it says lab-forbidden" in refused.transcript
        told = site.told(refused)
        assert told.because is not None
        assert told.because.check == "command.found"


def test_own_scanner_that_cannot_say_is_not_now_until_somebody_says_otherwise(
    site: Site, domain: str
) -> None:
    address = site.mailbox("broken", domain)
    refused = site.send(address, b"lab-broken\n")
    assert refused.reply_to(".").startswith("451 4.3.0 ")
    assert "licence" not in refused.transcript  # that is for us
    told = site.told(refused)
    assert told.because is not None
    assert (told.because.check, told.because.whose) == ("command.couldnt-tell", "us")
    assert "exit status 7, saying 'the licence has run out'" in told.because.text
    site.server.cli("rule", "system", "command.couldnt-tell", "note", "--domain", domain)
    assert site.send(address, b"lab-broken\n").accepted
    marked = message_from_bytes(site.only_message(address))
    assert "command" in marked["X-Postern-Unscanned"]


def test_virus_scanner_that_is_gone_refuses_for_now_holds_or_marks_and_never_is_silent(
    site: Site, domain: str
) -> None:
    address = site.mailbox("gone", domain)
    site.clamd.kill()
    try:
        for refused in (site.send(address), site.send_from_here(address, b"")):
            assert refused.refused_at == "message"
            assert refused.reply_to(".").startswith("451 4.3.0 ")
            assert str(site.clamd.path) not in refused.transcript
            told = site.told(refused)
            assert told.because is not None
            assert (told.because.check, told.because.whose) == ("virus.couldnt-tell", "us")
            assert "ECONNREFUSED" in told.because.text
            assert told.states() == {address: "refused-for-now"}

        site.server.cli("rule", "system", "virus.couldnt-tell", "hold", "--domain", domain)
        held = site.send(address)
        assert held.accepted
        assert site.told(held).states() == {address: "held"}
        found = json.loads(site.server.cli("quarantine", "list", "--mailbox", address, "--json"))
        assert found["held"][0]["because"]["check"] == "virus.couldnt-tell"

        site.server.cli("rule", "system", "virus.couldnt-tell", "note", "--domain", domain)
        assert site.send(address).accepted
        message = message_from_bytes(site.only_message(address))
        assert message["X-Postern-Unscanned"].startswith("virus")
        said = json.loads(site.server.cli("rule", "explain", address, "--json"))
        (line,) = [line for line in said["checks"] if line["check"] == "virus.couldnt-tell"]
        assert (line["treatment"], line["effect"], line["set_by"]) == ("note", "accept", "domain")
        # Who said nothing of the sort still gets nothing unscanned, and so all wait.
        both = f"{address},{site.mailbox('careful')}"
        assert site.send(both).reply_to(".").startswith("451 4.3.0 ")
        assert "scanner.down" in site.server.log()
    finally:
        site.clamd.start()
    recover(site)
    assert site.send(site.mailbox("after")).accepted


def test_virus_scanner_that_hangs_is_given_its_time_and_then_left_alone(site: Site) -> None:
    address = site.mailbox("hung")
    site.clamd.hang()
    try:
        refused = site.send(address)
        assert refused.reply_to(".").startswith("451 4.3.0 ")
        told = site.told(refused)
        assert told.because is not None
        assert "it did not answer in time: nothing in 1.5 s" in told.because.text
        for _ in range(3):
            site.send(address)
        wait_until(lambda: not is_up(site), "the breaker to open")
        assert metric_line(site, 'postern_scanner_up{scanner="clamd"}') == 0
        assert site.send(address).reply_to(".").startswith("451 4.3.0 ")
    finally:
        site.clamd.wake()
    recover(site)
    assert metric_line(site, 'postern_scanner_up{scanner="clamd"}') == 1


def test_spam_scanner_that_hangs_delays_nobody_who_does_not_want_it(
    site: Site, domain: str
) -> None:
    address = site.mailbox("nospam", domain)
    wanted = site.mailbox("wanted")
    site.server.cli("rule", "system", "spam.score", "off", "--domain", domain)
    site.rspamd.hang()
    try:
        taken = site.send(address)
        assert taken.accepted
        told = site.told(taken)
        assert not [step for step in told.steps if step.step.startswith("spam")]
        taken = site.send(wanted)
        assert taken.accepted  # a score is one hint of many: noted, and marked
        (step,) = [s for s in site.told(taken).steps if s.step == "spam.couldnt-tell"]
        assert 1.4 < step.seconds < 10
        (raw,) = site.server.wait_for_messages(wanted)
        assert message_from_bytes(raw)["X-Postern-Unscanned"].startswith("spam")
    finally:
        site.rspamd.wake()
    recover(site)


def metric_line(site: Site, name: str) -> float:
    """A gauge of the worker's own report, once it has written it."""
    status = site.server.status()
    return status.gauges[name]
