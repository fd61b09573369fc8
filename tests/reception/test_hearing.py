"""Mail from outside, looked at by the checks and judged by each recipient's rules."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from tests.peers.process import wait_until
from tests.reception.rig import LOOPBACK, Client, Make, Rig, listener

from postern.directory.model import Refused
from postern.policy.checks.check import Found, Seen
from postern.policy.greylist.settings import GreylistSettings, Mode
from postern.policy.rules.draft import Draft
from postern.policy.rules.match import Match, parse_match
from postern.policy.rules.rule import Action, Scope, Treatment
from postern.policy.untold.store import UntoldStore
from postern.spool.message import Delivery, DeliveryState
from postern.spool.settings import HoldSettings

IP = "198.51.100.24"
WANG = "wang@harbour.example"
LI = "li@harbour.example"
SENDER = "chen@tea.example"
MESSAGE = b"From: Chen <chen@tea.example>\r\nSubject: tea\r\n\r\nHello\r\n"
FORWARDED = b"From: Ann <ann@offers.example>\r\nList-Id: <deals.offers.example>\r\n\r\nBuy\r\n"

CLEAN: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("24.100.51.198.in-addr.arpa", "PTR"): ("mail.tea.example",),
    ("mail.tea.example", "A"): (IP,),
    ("tea.example", "MX"): ("10 mail.tea.example",),
    ("tea.example", "TXT"): ("v=spf1 ip4:198.51.100.24 -all",),
}


@asynccontextmanager
async def examined(make: Make, *, clean: bool = True) -> AsyncIterator[Rig]:
    """A server behind a proxy, and a DNS in which the client and its sender are all right."""
    async with make(listener(proxy_protocol=LOOPBACK), examines=True) as rig:
        for (name, kind), records in (CLEAN if clean else {}).items():
            rig.resolver.add(name, kind, *records)
        yield rig


async def connect(rig: Rig, ip: str = IP, helo: str = "mail.tea.example") -> Client:
    client = await rig.connect()
    await client.send(f"PROXY TCP4 {ip} 192.0.2.1 4711 25\r\n".encode())
    assert (await client.reply()).startswith("220")
    assert (await client.say(f"EHLO {helo}")).startswith("250")
    return client


def rule(
    rig: Rig,
    action: Action,
    about: str,
    place: str = WANG,
    *,
    waive: str = "",
    unproven: bool = False,
) -> str:
    """Make a rule as the command does; its label."""
    match = parse_match(about)
    assert isinstance(match, Match)
    scope = Scope.MAILBOX if "@" in place else Scope.DOMAIN if place else Scope.SYSTEM
    waives = frozenset(waive.split(",")) if waive else frozenset()
    made = rig.rules.add(Draft(action, match, scope, place, "for a test", waives, unproven))
    assert not isinstance(made, Refused), made
    return made.rule.label


async def rcpt(client: Client, *recipients: str, sender: str = SENDER) -> list[str]:
    """The answers to MAIL's recipients."""
    assert (await client.say(f"MAIL FROM:<{sender}>")).startswith("250")
    return [await client.say(f"RCPT TO:<{who}>") for who in recipients]


async def test_mail_nothing_speaks_against_is_accepted_and_every_check_is_on_record(
    make: Make,
) -> None:
    async with examined(make) as rig:
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        (message,) = rig.accepted
        steps = [(step.step, step.result) for step in message.conversation.steps]
        assert ("ptr.missing", "pass") in steps
        assert ("spf.fail", "pass") in steps
        assert message.deliveries[0].state is DeliveryState.FRESH


async def test_a_refusal_names_the_cause_and_the_record_also_what_would_refuse_next(
    make: Make,
) -> None:
    async with examined(make, clean=False) as rig:
        client = await connect(rig)
        (said,) = await rcpt(client, WANG)
        first, second = said.splitlines()
        assert first.startswith("550-5.7.25 Not accepted: ")
        assert "reverse DNS" in first
        assert second.startswith("550 5.7.25 Your mail provider can fix this.")
        await client.say("QUIT")
        await rig.wait_idle()
        (told,) = rig.told
        assert told.because is not None
        assert told.because.check == "ptr.missing"
        assert told.recipients[0].state == "refused"
        assert told.recipients[0].next == ("mailfrom.no-domain",)
        failed = [step.step for step in told.steps if step.result == "fail"]
        assert failed == ["ptr.missing", "helo.unresolvable", "mailfrom.no-domain"]
        assert rig.services.tally.refusals["ptr.missing"] == 1


async def test_what_dns_could_not_tell_is_not_now_and_never_a_refusal(make: Make) -> None:
    async with examined(make) as rig:
        rig.resolver.fail("24.100.51.198.in-addr.arpa", "PTR")
        client = await connect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("451-4.4.3 Not accepted now: ")


async def test_who_was_told_not_now_for_a_day_because_of_dns_is_let_in_and_marked(
    make: Make,
) -> None:
    async with examined(make) as rig:
        rig.resolver.time_out("tea.example", "MX")
        client = await connect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("451-")
        store = UntoldStore(rig.folder / "untold.db")
        await asyncio.to_thread(wait_until, lambda: bool(store.find("tea.example", "sender")), "it")
        day_before = rig.clock.now() - 90_000
        with sqlite3.connect(rig.folder / "untold.db") as connection:
            connection.execute("UPDATE untold SET first = ?", (day_before,))
        await client.say("RSET")
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        (message,) = rig.accepted
        data = message.content.in_memory
        assert data is not None
        assert b"\r\nX-Postern-Couldnt-Tell: mailfrom\r\n" in data
        step = next(s for s in message.conversation.steps if s.step == "mailfrom.dns-timeout")
        assert (step.result, "no longer waited for" in step.text) == ("note", True)
        store.close()


async def test_who_waited_for_dns_long_enough_is_not_suspicious_for_it(make: Make) -> None:
    greylist = GreylistSettings(Mode.SUSPICIOUS)
    async with make(listener(proxy_protocol=LOOPBACK), examines=True, greylist=greylist) as rig:
        for (name, kind), records in CLEAN.items():
            rig.resolver.add(name, kind, *records)
        rig.resolver.time_out("tea.example", "TXT")
        assert rig.patience is not None
        rig.patience.wait_s = 0.0  # everybody has waited long enough once he was noted
        rig.rules.treat("spf.fail", Treatment.REFUSE)
        client = await connect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("451-")
        store = UntoldStore(rig.folder / "untold.db")
        await asyncio.to_thread(wait_until, lambda: bool(store.find("tea.example", "sender")), "it")
        store.close()
        await client.say("RSET")
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        steps = {step.step for step in rig.accepted[0].conversation.steps}
        assert "greylist.wait" not in steps


@pytest.fixture
def hung_list(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    async def hang(*_: object, **__: object) -> Found:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("postern.app.judging.check_dnsbl", hang)
    return monkeypatch


async def test_a_block_list_that_hangs_holds_up_nobody_who_does_not_heed_it(
    make: Make, hung_list: pytest.MonkeyPatch
) -> None:
    hung_list.setattr("postern.app.judging.BLOCKLIST_LIMIT_S", 3600.0)
    async with examined(make) as rig:
        rig.rules.treat("dnsbl.listed", Treatment.NOTE)
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        assert (await client.deliver(MESSAGE, SENDER, "postmaster@harbour.example"))[:3] == "250"


async def test_who_heeds_a_block_list_waits_for_it_and_then_nobody_could_tell(
    make: Make, hung_list: pytest.MonkeyPatch
) -> None:
    hung_list.setattr("postern.app.judging.BLOCKLIST_LIMIT_S", 0.05)
    async with examined(make) as rig:
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        results = {step.step: step.result for step in rig.accepted[0].conversation.steps}
        assert results["dnsbl.couldnt-tell"] == "couldnt-tell"


async def test_each_recipient_has_rules_of_its_own(make: Make) -> None:
    async with examined(make, clean=False) as rig:
        label = rule(rig, Action.ALLOW, IP)
        client = await connect(rig)
        said = await rcpt(client, WANG, LI)
        assert [answer[:3] for answer in said] == ["250", "550"]
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        (message,) = rig.accepted
        records = message.conversation.recipients
        assert [(one.state, one.rule) for one in records] == [("waiting", label), ("refused", "")]
        policy = rig.services.policy
        assert policy is not None
        assert [hits for hits, _ in policy.memory.uses.take().values()] == [1]


@pytest.mark.parametrize("place", [WANG, "harbour.example", ""])
async def test_a_rule_that_blocks_refuses_in_every_scope(make: Make, place: str) -> None:
    async with examined(make) as rig:
        rule(rig, Action.BLOCK, "@tea.example", place)
        client = await connect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("550-5.7.1 Not accepted: rule ")


async def test_a_rule_holds_for_the_next_message_on_the_same_connection(make: Make) -> None:
    async with examined(make) as rig:
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        rule(rig, Action.BLOCK, "@tea.example")
        (said,) = await rcpt(client, WANG)
        assert said.startswith("550")


async def test_a_refusal_waits_for_the_header_that_could_lift_it(make: Make) -> None:
    async with examined(make, clean=False) as rig:
        rule(rig, Action.ALLOW, "@offers.example", unproven=True)
        client = await connect(rig)
        assert (await client.deliver(FORWARDED, SENDER)).startswith("250")
        said = await client.deliver(MESSAGE, SENDER)
        assert said.startswith("550-5.7.25 Not accepted: ")


async def test_what_says_to_be_somebody_let_through_must_prove_it(make: Make) -> None:
    async with examined(make, clean=False) as rig:
        rule(rig, Action.ALLOW, "@offers.example")
        client = await connect(rig)
        said = await client.deliver(FORWARDED, SENDER)
        assert said.startswith("550-5.7.25")


@pytest.mark.parametrize(
    ("action", "state", "held_for"),
    [
        (Action.HOLD, DeliveryState.HELD, "rule.hold"),
        (Action.JUNK, DeliveryState.FRESH, ""),
    ],
)
async def test_rules_that_hold_or_junk_accept_the_mail(
    make: Make, action: Action, state: DeliveryState, held_for: str
) -> None:
    async with examined(make) as rig:
        label = rule(rig, action, "list:deals.offers.example")
        client = await connect(rig)
        assert (await client.deliver(FORWARDED, SENDER, WANG, LI)).startswith("250")
        (message,) = rig.accepted
        wang, li = message.deliveries
        assert (wang.state, wang.is_junk, wang.held_for) == (state, action is Action.JUNK, held_for)
        assert (li.state, li.is_junk, li.held_for) == (DeliveryState.FRESH, False, "")
        record = message.conversation.recipients[0]
        assert record.rule == label
        assert record.because is not None
        assert message.conversation.because is None  # one of them simply gets it


async def test_held_for_all_tells_why_in_one_word(make: Make) -> None:
    async with examined(make) as rig:
        rule(rig, Action.HOLD, "all")
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        because = rig.accepted[0].conversation.because
        assert because is not None
        assert because.check == "rule.hold"


# --- verdicts that differ once the header is there ------------------------------------------------

# What each of two recipients says of the message that is there: an effect, "refuse-for-now", or
# "accept"; then the reply, and where the two deliveries end.
MIXES = [
    ("accept", "accept", "250", ("inbox", "inbox")),
    ("accept", "block", "250", ("inbox", "held")),
    ("block", "accept", "250", ("held", "inbox")),
    ("junk", "block", "250", ("junk", "held")),
    ("hold", "block", "250", ("held", "held")),
    ("accept", "hold", "250", ("inbox", "held")),
    ("accept", "junk", "250", ("inbox", "junk")),
    ("hold", "junk", "250", ("held", "junk")),
    ("block", "block", "550", ()),
]


def place_of(delivery: Delivery) -> str:
    """Where a delivery will end."""
    if delivery.state is DeliveryState.HELD:
        return "held"
    return "junk" if delivery.is_junk else "inbox"


@pytest.mark.parametrize(("first", "second", "code", "places"), MIXES)
async def test_verdicts_that_differ(
    make: Make, first: str, second: str, code: str, places: tuple[str, ...]
) -> None:
    async with examined(make) as rig:
        for place, word in ((WANG, first), (LI, second)):
            if word != "accept":
                rule(rig, Action(word), "@offers.example", place)
        client = await connect(rig)
        said = await client.deliver(FORWARDED, SENDER, WANG, LI)
        assert said[:3] == code
        found = [d for message in rig.accepted for d in message.deliveries]
        assert tuple(map(place_of, found)) == places
        assert [d.is_suspect for d in found] == [place != "inbox" for place in places]


@pytest.mark.parametrize("other", ["accept", "junk", "hold", "block"])
async def test_one_not_now_makes_all_wait(make: Make, other: str) -> None:
    async with examined(make) as rig:
        rig.resolver.fail("24.100.51.198.in-addr.arpa", "PTR")
        # For wang the PTR counts once the header shows that no rule lifts it; for li it is waived.
        rule(rig, Action.ALLOW, "@other.example", WANG, unproven=True)
        rule(rig, Action.ALLOW, "all", LI, waive="ptr")
        if other != "accept":
            rule(rig, Action(other), "@offers.example", LI)
        client = await connect(rig)
        said = await client.deliver(FORWARDED, SENDER, WANG, LI)
        assert said.startswith("451")
        assert rig.accepted == []


# --- who is not examined --------------------------------------------------------------------------


async def test_postmaster_can_always_be_written_to(make: Make) -> None:
    async with examined(make, clean=False) as rig:
        client = await connect(rig)
        said = await client.deliver(MESSAGE, SENDER, "postmaster@harbour.example")
        assert said.startswith("250")


async def test_a_client_on_this_machine_is_not_looked_at(make: Make) -> None:
    async with make(examines=True) as rig:
        client = await rig.connect()
        await client.hello()
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        assert rig.resolver.queries == []


async def test_a_client_that_may_relay_is_not_looked_at(make: Make) -> None:
    async with make(listener(relay_from=LOOPBACK), examines=True) as rig:
        client = await rig.connect()
        await client.hello()
        assert (await client.deliver(MESSAGE, SENDER, "friend@far.example")).startswith("250")
        assert rig.resolver.queries == []


async def test_a_client_that_leaves_while_it_is_looked_at_is_no_trouble(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def endless(seen: Seen, lookup: object) -> Found:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError(seen, lookup)

    monkeypatch.setattr("postern.app.judging.check_spf", endless)
    async with examined(make) as rig:
        client = await connect(rig)
        await client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{WANG}>\r\n".encode())
        await asyncio.wait_for(asked.wait(), 10)
        client.reset()
        await rig.wait_idle()
        assert not rig.services.tally.unknown
        assert rig.told[-1].because is None


async def test_a_check_with_an_error_of_its_own_is_not_now(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(seen: Seen, lookup: object) -> Found:
        raise ZeroDivisionError(seen.ip)

    monkeypatch.setattr("postern.app.judging.check_ptr", broken)
    async with examined(make) as rig:
        client = await connect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("451-4.4.3 Not accepted now: an error of our own")


# --- whose rules count ----------------------------------------------------------------------------


async def test_mail_to_a_tag_meets_its_mailbox_rules(make: Make) -> None:
    async with examined(make) as rig:
        rule(rig, Action.BLOCK, "@tea.example")
        client = await connect(rig)
        said = await rcpt(client, "wang+shop@harbour.example", LI)
        assert [answer[:3] for answer in said] == ["550", "250"]


async def test_an_alias_is_refused_only_where_all_behind_it_refuse(make: Make) -> None:
    async with examined(make) as rig:
        rule(rig, Action.BLOCK, "@tea.example", WANG)
        client = await connect(rig)
        said = await rcpt(client, "info@harbour.example", "sales@harbour.example")
        assert [answer[:3] for answer in said] == ["550", "250"]
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        found = {str(d.recipient.address): place_of(d) for d in rig.accepted[0].deliveries}
        assert found == {WANG: "held", "friend@far.example": "inbox"}


async def test_the_domain_that_was_written_to_decides_wherever_its_catch_all_leads(
    make: Make,
) -> None:
    async with examined(make) as rig:
        rule(rig, Action.BLOCK, "@tea.example", "catch.example")
        own = rule(rig, Action.JUNK, "@tea.example", LI)
        client = await connect(rig)
        said = await rcpt(client, "anyone@catch.example", LI)
        # Li's own rule is nearer than either domain's.
        assert [answer[:3] for answer in said] == ["250", "250"]
        await client.say("RSET")
        rig.rules.end(own)
        said = await rcpt(client, "anyone@catch.example", LI)
        assert [answer[:3] for answer in said] == ["550", "250"]


async def test_postmaster_and_whoever_its_mail_goes_to_are_told_apart(make: Make) -> None:
    async with examined(make, clean=False) as rig:
        rule(rig, Action.BLOCK, "all", "harbour.example")
        rig.site.add_alias("postmaster@harbour.example", [WANG])
        client = await connect(rig)
        said = await rcpt(client, "postmaster@harbour.example", WANG)
        assert [answer[:3] for answer in said] == ["250", "550"]
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")


async def test_the_null_sender_is_looked_at_by_its_server(make: Make) -> None:
    async with examined(make) as rig:
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, "")).startswith("250")
        steps = [step.step for step in rig.accepted[0].conversation.steps]
        assert "mailfrom.no-domain" not in steps


async def test_a_second_hello_begins_anew(make: Make) -> None:
    async with examined(make) as rig:
        client = await connect(rig, helo="mx.harbour.example")  # our own name
        (said,) = await rcpt(client, WANG)
        assert said.startswith("550")
        await client.say("EHLO mail.tea.example")
        (said,) = await rcpt(client, WANG)
        assert said.startswith("250")


async def test_held_mail_has_an_owner_and_an_end(make: Make) -> None:
    async with examined(make) as rig:
        rule(rig, Action.HOLD, SENDER)
        client = await connect(rig)
        said = await client.deliver(MESSAGE, SENDER, "wang+tea@harbour.example")
        assert said.startswith("250")
        (message,) = rig.accepted
        (delivery,) = message.deliveries
        assert (delivery.owner, delivery.held_for) == (WANG, "rule.hold")
        assert delivery.due == pytest.approx(message.accepted_at + 30 * 86_400.0, abs=60)


async def test_a_mailbox_whose_held_mail_is_at_its_bound_makes_all_wait(make: Make) -> None:
    async with examined(make) as rig:
        rig.spool.holdings.resize(HoldSettings(most_messages=1))
        rule(rig, Action.HOLD, "@offers.example")
        client = await connect(rig)
        assert (await client.deliver(FORWARDED, SENDER, WANG, LI)).startswith("250")
        refused = await client.deliver(FORWARDED, SENDER, WANG, LI)
        assert refused.startswith("452 4.2.2 Not accepted now: what is held for a recipient")
        assert (await client.deliver(FORWARDED, SENDER, LI)).startswith("250")  # nothing is held
        assert (await client.deliver(MESSAGE, SENDER, WANG, LI)).startswith("250")
        assert len(rig.accepted) == 3
        (told,) = [one for one in rig.told if one.because is not None]
        assert told.because is not None
        assert told.because.check == "quota.full"
        assert [one.state for one in told.recipients] == ["refused-for-now"] * 2

        rig.spool.holdings.let_go(rig.accepted[0].deliveries[0], 1_000)
        assert (await client.deliver(FORWARDED, SENDER, WANG)).startswith("250")


async def test_marks_that_only_we_make_are_taken_out(make: Make) -> None:
    async with examined(make) as rig:
        client = await connect(rig)
        forged = b"X-Postern-Junk: no\r\nx-postern-released : today;\r\n by=cli:wang\r\n"
        assert (await client.deliver(forged + MESSAGE, SENDER)).startswith("250")
        (message,) = rig.accepted
        content = message.content.in_memory
        assert content is not None
        assert b"postern-" not in content.lower().partition(b"\r\n\r\n")[0]
        assert content.endswith(MESSAGE)
