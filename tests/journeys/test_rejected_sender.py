"""One rejected sender: what an operator once spent hours on is one question and one command.

The sender's server calls itself ``srv-2003``, its domain lists one mail server twice, and the name
servers of that domain do not answer the resolver here. From abroad they do.
"""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.journeys.told import Conversation, Step, code_in, traced
from tests.peers.dns import NsdServer
from tests.peers.dns_proxy import DnsProxy
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import wait_until
from tests.peers.swaks import Exchange, proxied, swaks

pytestmark = pytest.mark.peers("swaks", "nsd")

IP = "198.51.100.24"
SENDER = "li@tea-trading.test"
WANG = "wang@harbour.test"
ZONES = {
    "tea-trading.test": f'@ MX 10 mail\n@ MX 20 mail\nmail A {IP}\n@ TXT "v=spf1 ip4:{IP} -all"',
    "isp.test": f"mail A {IP}",
    "100.51.198.in-addr.arpa": "24 PTR mail.isp.test.",
}


def resolver(name: str, address: str, timeout_s: float) -> tuple[str, str]:
    lines = f'name = "{name}"\nservers = ["{address}"]\ntimeout_s = {timeout_s}'
    return "[resolver]", lines


def settings(*resolvers: tuple[str, str]) -> PosternSettings:
    listener = Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]')
    # His HELO is suspicious: greylisting would ask for each message twice.
    tables = (*resolvers, ("greylist", 'mode = "off"'))
    return PosternSettings(listeners=(listener,), tables=tables)


@pytest.fixture(scope="module")
def abroad() -> Iterator[NsdServer]:
    with NsdServer(ZONES) as server:
        yield server


@pytest.fixture(scope="module")
def home(abroad: NsdServer) -> Iterator[DnsProxy]:
    with DnsProxy(abroad.address, silent={"tea-trading.test"}) as proxy:
        yield proxy


@contextmanager
def harbour(*resolvers: tuple[str, str]) -> Iterator[PosternServer]:
    """A host that lets bad HELO names pass, for a customer who insists on SPF."""
    with postern(settings(*resolvers)) as server:
        server.domain_add("harbour.test")
        server.mailbox_add(WANG)
        server.cli("rule", "system", "helo.invalid", "note")
        server.cli("rule", "system", "spf.fail", "refuse", "--domain", "harbour.test")
        yield server


def send(server: PosternServer) -> Exchange:
    options = (*proxied(IP), "--ehlo", "srv-2003")
    return swaks(server.port(), sender=SENDER, to=WANG, options=options)


def fixes(server: PosternServer) -> list[dict[str, str]]:
    words = ("why", "tea-trading.test", "--to", WANG)
    wait_until(lambda: server.run(*words).exit_code != 4, "it on file", server=server.server)
    found = server.cli_json(*words)["fixes"]
    assert isinstance(found, list)
    return found


def paste(server: PosternServer, command: str) -> None:
    """Do as ``why`` says, as a shell would."""
    program, *words = shlex.split(command)
    assert program == "postern"
    server.cli(*words)


def refused(server: PosternServer, exchange: Exchange) -> Conversation:
    assert exchange.refused_at == "rcpt", exchange.transcript
    lines = exchange.replies("451")
    assert lines[0].startswith("451-4.4.3 Not accepted now: the mail servers of tea-trading.test")
    return traced(server, code_in(lines[-1]))


def steps(told: Conversation) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for step in told.steps:
        found.setdefault(step.step, []).append(step)
    return found


def test_one_question_tells_all_causes_and_the_next_refusal_and_the_narrowest_fix_lets_it_in(
    home: DnsProxy,
) -> None:
    with harbour(resolver("home", home.address, 1.0)) as server:
        told = refused(server, send(server))
        assert told.because is not None
        assert (told.because.check, told.because.whose) == ("mailfrom.dns-timeout", "between")
        assert told.states() == {WANG: "refused-for-now"}
        found = steps(told)
        (helo,) = found["helo.invalid"]
        assert (helo.result, "srv-2003" in helo.text) == ("fail", True)
        (mailfrom,) = found["mailfrom.dns-timeout"]
        assert (mailfrom.result, mailfrom.place) == ("couldnt-tell", "home")
        assert mailfrom.seconds >= 0.9  # the clue that says "DNS" at once
        (spf,) = found["spf.couldnt-tell"]
        assert spf.result == "couldnt-tell"
        assert found["ptr.missing"][0].result == "pass"

        text = server.cli("why", "tea-trading.test", "--to", WANG, codes=(2,))
        assert "If you waive mailfrom only, spf.couldnt-tell refuses it next." in text
        assert "the network between this server and theirs" in text
        resolvers, waiver, letter = fixes(server)
        assert resolvers["command"] == ""
        assert "name a second [[resolver]] in postern.toml" in resolvers["text"]
        assert "srv-2003" in letter["text"]
        draft = server.cli(*shlex.split(letter["command"])[1:], codes=(2,))
        assert draft.startswith("To: postmaster@tea-trading.test\nSubject: Your mail to ")
        assert "See that every name server of tea-trading.test answers" in draft
        assert "(HELO)" in draft

        # The waiver of one check would only have uncovered the next refusal; this one does not.
        paste(server, waiver["command"])
        assert send(server).accepted
        server.wait_for_messages(WANG)


def test_the_same_sender_comes_in_once_a_resolver_abroad_is_named(
    home: DnsProxy, abroad: NsdServer
) -> None:
    with harbour(resolver("home", home.address, 1.0)) as server:
        refused(server, send(server))
        server.write_config(
            settings(resolver("home", home.address, 1.0), resolver("us1", abroad.address, 20.0))
        )
        server.reload()
        wait_until(lambda: "worker.reloaded" in server.log(), "reloaded", server=server.server)
        exchange = send(server)
        assert exchange.accepted, exchange.transcript
        found = steps(traced(server, code_in(exchange.reply_to("."))))
        (servers, twice) = found["mailfrom.no-mx"]
        assert (servers.result, servers.place) == ("pass", "us1")
        assert (twice.result, "mail.tea-trading.test more than once" in twice.text) == (
            "note",
            True,
        )
        assert ("pass", "us1") in {(step.result, step.place) for step in found["spf.fail"]}
        assert found["ptr.missing"][0].place != "us1"  # home knew that


def test_a_zone_that_home_is_too_slow_for_is_looked_up_abroad_by_a_pasted_command(
    home: DnsProxy, abroad: NsdServer
) -> None:
    # Home is given so long that a check is over before anybody else could be asked.
    slow = resolver("home", home.address, 40.0)
    with harbour(slow, resolver("us1", abroad.address, 20.0)) as server:
        exchange = send(server)
        assert exchange.refused_at == "rcpt", exchange.transcript
        best, waiver, _ = fixes(server)
        assert waiver["command"].startswith(f"postern rule allow {IP} --waive mailfrom")
        assert best["command"].startswith(
            "postern resolver add tea-trading.test --via us1 --for 30d --reason PT-"
        )
        paste(server, best["command"])
        dropped = len(home.dropped)
        exchange = send(server)
        assert exchange.accepted, exchange.transcript
        assert len(home.dropped) == dropped  # home was not even asked
        found = steps(traced(server, code_in(exchange.reply_to("."))))
        assert found["mailfrom.no-mx"][0].place == "us1"
        server.wait_for_messages(WANG)

        # The exception is on record with its reason, and once it ends, home is asked again.
        (entry,) = json.loads(server.cli("resolver", "list", "--json"))["resolvers"]
        assert entry["reason"].startswith("PT-")
        server.cli("resolver", "end", entry["id"])
        assert send(server).refused_at == "rcpt"
        assert len(home.dropped) > dropped


def test_dns_that_is_dead_entirely_is_not_now_for_everybody_and_never_a_refusal() -> None:
    with (
        DnsProxy("127.0.0.1:9", silent={"test", "arpa"}) as dead,
        harbour(resolver("home", dead.address, 0.5)) as server,
    ):
        exchange = send(server)
        assert exchange.refused_at == "rcpt", exchange.transcript
        assert exchange.replies("451")
        assert not exchange.replies("5")
        told = traced(server, code_in(exchange.replies("451")[-1]))
        assert told.states() == {WANG: "refused-for-now"}
        text = server.cli("why", "tea-trading.test", codes=(2,))
        assert "If you waive ptr only, mailfrom.dns-timeout refuses it next" in text


def test_who_waited_long_enough_for_dead_dns_is_let_in_and_marked_also_after_a_restart() -> None:
    checks = 'dns_patience_s = 1.0\nhelp_url = "https://mx.postern.test/e/"'
    with (
        DnsProxy("127.0.0.1:9", silent={"test", "arpa"}) as dead,
        harbour(resolver("home", dead.address, 0.5), ("checks", checks)) as server,
    ):
        said = send(server).replies("451")
        assert said[-1].startswith(
            "451 4.4.3 Help (English, Chinese): https://mx.postern.test/e/PT-"
        )
        server.stop()
        server.start()  # takes longer than the sender has to wait here
        exchange = send(server)
        assert exchange.accepted, exchange.transcript
        (message,) = server.wait_for_messages(WANG)
        assert b"X-Postern-Couldnt-Tell: ptr, mailfrom, spf, dmarc" in message
