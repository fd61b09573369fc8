"""What a preview says of mail that came is what becomes of the same mail once the rule is saved."""

import json
import time
from collections.abc import Iterator

import pytest
from tests.journeys.told import WITHIN_S, code_in, traced, wait_state, wait_told
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
            tables=(("greylist", 'mode = "off"'),),
        )
        with postern(settings) as running:
            running.domain_add("here.test")
            yield running


def send(server: PosternServer, to: str, ip: str = GOOD, *options: str) -> Exchange:
    proxy = proxied(ip)
    return swaks(server.port(), sender="chen@tea.test", to=to, options=(*proxy, *options))


def preview(server: PosternServer, decisions: int, *words: str) -> dict[str, object]:
    """The dry run, once ``decisions`` are on file: they are a moment after the answer."""
    give_up = time.monotonic() + WITHIN_S
    while True:
        text = server.cli("rule", *words, "--dry-run", "--json", codes=(0, 3))
        found = dict(json.loads(text))
        if found["decisions"] == decisions:
            return found
        assert time.monotonic() < give_up, f"{found}\n{server.log()}"


def effects(found: dict[str, object]) -> list[tuple[str, str, str, str]]:
    """Recipient, sender, and what becomes of the mail now and then."""
    messages = found["messages"]
    assert isinstance(messages, list)
    return [
        (one["recipient"], one["mail_from"], one["before"]["effect"], one["after"]["effect"])
        for one in messages
    ]


def state_of(server: PosternServer, exchange: Exchange) -> str:
    """What really became of a mail, in the preview's words."""
    if exchange.refused_at == "rcpt":
        reply = (exchange.replies("550") or exchange.replies("45"))[-1]
        (state,) = traced(server, code_in(reply)).states().values()
        return {"refused": "refuse", "refused-for-now": "refuse-for-now"}[state]
    code = code_in(exchange.reply_to("."))
    ended = wait_told(server, code, lambda told: "waiting" not in told.states().values())
    (state,) = ended.states().values()
    return {"delivered": "accept", "junked": "junk", "held": "hold", "refused": "refuse"}[state]


SCENES = [
    ("waive", NAMELESS, ("allow", NAMELESS, "--waive", "ptr"), "refuse", "accept"),
    ("other", NAMELESS, ("allow", NAMELESS, "--waive", "dnsbl"), "refuse", "refuse"),
    ("proven", GOOD, ("block", "@tea.test"), "accept", "refuse"),
    ("bulk", GOOD, ("junk", "list:tea.tea.test"), "accept", "junk"),
    ("kept", GOOD, ("hold", "all"), "accept", "hold"),
    ("name", GOOD, ("block", "ptr:mail.tea.test"), "accept", "refuse"),
    ("sender", NAMELESS, ("allow", "chen@tea.test"), "refuse", "accept"),
    ("below", GOOD, ("block", "@*.shop.tea.test"), "accept", "accept"),
]


@pytest.mark.parametrize(("name", "ip", "words", "before", "after"), SCENES)
def test_what_the_preview_says_is_what_then_happens(
    server: PosternServer, name: str, ip: str, words: tuple[str, ...], before: str, after: str
) -> None:
    to = f"{name}@here.test"
    server.mailbox_add(to)
    listed = ("--header", "List-Id: <tea.tea.test>")
    assert state_of(server, send(server, to, ip, *listed)) == before
    place = ("--mailbox", to)
    found = preview(server, 1, *words, *place)
    expected = [] if before == after else [(to, "chen@tea.test", before, after)]
    assert effects(found) == expected
    server.cli("rule", *words, *place, "--reason", "a journey")
    assert state_of(server, send(server, to, ip, *listed)) == after


def test_mail_that_is_still_held_is_judged_again_too(server: PosternServer) -> None:
    to = "waits@here.test"
    server.mailbox_add(to)
    words = ("rule", "hold", "all", "--mailbox", to, "--reason", "a journey", "--json")
    label = json.loads(server.cli(*words))["rule"]["id"]
    assert state_of(server, send(server, to)) == "hold"
    assert effects(preview(server, 1, "end", label)) == [(to, "chen@tea.test", "hold", "accept")]
    server.cli("rule", "end", label)
    assert state_of(server, send(server, to)) == "accept"


def test_one_of_two_who_is_let_in_has_the_mail_that_the_other_got(server: PosternServer) -> None:
    for name in ("one", "two"):
        server.mailbox_add(f"{name}@here.test")
    server.cli("rule", "block", "@tea.test", "--mailbox", "one@here.test", "--reason", "a journey")
    both = "one@here.test,two@here.test"
    exchange = send(server, both)
    assert exchange.accepted, exchange.transcript
    rule = ("allow", "chen@tea.test", "--mailbox", "one@here.test")
    found = preview(server, 1, *rule)
    assert effects(found) == [("one@here.test", "chen@tea.test", "refuse", "accept")]
    messages = found["messages"]
    assert isinstance(messages, list)
    assert messages[0]["unseen"] is False
    server.cli("rule", *rule, "--reason", "a friend after all")
    code = code_in(send(server, both).reply_to("."))
    told = wait_state(server, code, one="delivered", two="delivered")
    assert len(told.recipients) == 2


def test_a_check_treated_otherwise_is_previewed_for_a_whole_domain(server: PosternServer) -> None:
    server.domain_add("strict.test")
    to = "all@strict.test"
    server.mailbox_add(to)
    assert state_of(server, send(server, to, NAMELESS)) == "refuse"
    setting = ("system", "ptr.missing", "hold", "--domain", "strict.test")
    assert effects(preview(server, 1, *setting)) == [(to, "chen@tea.test", "refuse", "hold")]
    server.cli("rule", *setting)
    assert state_of(server, send(server, to, NAMELESS)) == "hold"
