"""Who is new and suspicious is asked to come again: at RCPT, or once the message is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from tests.reception.rig import LOOPBACK, Client, Make, Rig, listener
from tests.reception.test_hearing import (
    CLEAN,
    IP,
    LI,
    MESSAGE,
    SENDER,
    WANG,
    connect,
    place_of,
    rcpt,
    rule,
)

from postern.mail.address import Address
from postern.policy.greylist.greylist import TRIAL
from postern.policy.greylist.keeper import GreylistKeeper
from postern.policy.greylist.key import Key
from postern.policy.greylist.settings import GreylistSettings, Mode
from postern.policy.greylist.standing import Standing
from postern.policy.panel import Known
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import Action, Treatment
from postern.reception.chamber import Chamber
from postern.runtime.clock import FakeClock

UNPROVEN = "ann@nobody.example"
POSTMASTER = "postmaster@harbour.example"
SUSPICIOUS = "srv-2003.tea.example"
"""A HELO name without an address."""
WAIT_S = 300.0


@asynccontextmanager
async def greylisting(
    make: Make, mode: Mode = Mode.SUSPICIOUS, clock: FakeClock | None = None
) -> AsyncIterator[Rig]:
    """A server that greylists; its clients are all right but for what a test makes wrong."""
    async with make(
        listener(proxy_protocol=LOOPBACK),
        examines=True,
        clock=clock or FakeClock(),
        greylist=GreylistSettings(mode),
    ) as rig:
        for (name, kind), records in CLEAN.items():
            rig.resolver.add(name, kind, *records)
        rig.resolver.add("25.100.51.198.in-addr.arpa", "PTR", "mail2.tea.example")
        rig.resolver.add("mail2.tea.example", "A", "198.51.100.25")
        rig.resolver.add("nobody.example", "MX", "10 mail.tea.example")
        yield rig


def clock_of(rig: Rig) -> FakeClock:
    assert isinstance(rig.clock, FakeClock)
    return rig.clock


async def suspect(rig: Rig, ip: str = IP) -> Client:
    return await connect(rig, ip, SUSPICIOUS)


async def test_recipients_of_one_message_are_asked_about_at_the_same_time(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = (WANG, LI, "sales@harbour.example")
    asked, all_asked = [], asyncio.Event()
    ask = GreylistKeeper.ask

    async def together(keeper: GreylistKeeper, key: Key, of: GreylistSettings) -> Standing | None:
        asked.append(key)
        if len(asked) == len(people):
            all_asked.set()
        await asyncio.wait_for(all_asked.wait(), 10)
        return await ask(keeper, key, of)

    monkeypatch.setattr(GreylistKeeper, "ask", together)
    async with greylisting(make) as rig:
        client = await suspect(rig)
        said = await client.deliver(MESSAGE, "", *people)
        assert said.startswith("450-4.7.1")


async def test_said_twice_of_a_recipient_it_is_found_once(make: Make) -> None:
    async with greylisting(make) as rig:
        policy = rig.services.policy
        assert policy is not None
        chamber = Chamber(policy.memory, rig.directory)
        wang = Address("wang", "harbour.example")
        for _ in range(5):
            chamber.found_of(wang, TRIAL)
        judged = chamber.judge(wang, wang, Known(), Facts(0.0))
        assert len(judged.weighed) == 1


async def test_a_suspicious_client_waits_and_is_taken_afterwards(make: Make) -> None:
    async with greylisting(make) as rig:
        clock = clock_of(rig)
        at = datetime.fromtimestamp(clock.now() + WAIT_S, UTC).strftime("%H:%M:%S")
        client = await suspect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.splitlines() == [
            "450-4.7.1 Not accepted now: mail like this is new here (helo.unresolvable):"
            f" seen first just now, taken from {at} UTC on.",
            said.splitlines()[1],
        ]
        assert said.splitlines()[1].startswith("450 4.7.1 Your server will try again by itself;")
        await client.say("RSET")
        clock.advance(40)
        (said,) = await rcpt(client, WANG)
        assert f"seen first 40 s ago, taken from {at} UTC on." in said
        await client.say("RSET")
        told = rig.told[-1]
        assert told.because is not None
        assert told.because.check == "greylist.wait"
        assert told.recipients[0].state == "refused-for-now"
        assert rig.services.tally.refusals["greylist.wait"] == 2
        clock.advance(WAIT_S - 40)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        (message,) = rig.accepted
        steps = {step.step: (step.result, step.text) for step in message.conversation.steps}
        assert steps["greylist.wait"] == ("pass", "mail like this was here before, 5 min ago")
        assert place_of(message.deliveries[0]) == "inbox"
        clock.advance(20 * 86_400)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")


async def test_a_client_that_nothing_speaks_against_does_not_wait_and_nothing_is_kept(
    make: Make,
) -> None:
    async with greylisting(make) as rig:
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        assert not (rig.folder / "greylist.db").exists()


async def test_always_is_everybody(make: Make) -> None:
    async with greylisting(make, Mode.ALWAYS) as rig:
        client = await connect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("450-4.7.1 Not accepted now: mail like this is new here: seen first")


async def test_another_server_of_the_pool_may_try_again(make: Make) -> None:
    async with greylisting(make) as rig:
        client = await suspect(rig)
        (said,) = await rcpt(client, WANG, sender="ann@nobody.example")
        assert said.startswith("450")
        clock_of(rig).advance(WAIT_S)
        # Its name is of the same domain; SPF says nothing of the sender.
        other = await suspect(rig, "198.51.100.25")
        (said,) = await rcpt(other, WANG, sender="ann@nobody.example")
        assert said.startswith("250")


async def test_mail_that_nobody_proves_waits_once_dkim_had_its_say(make: Make) -> None:
    async with greylisting(make) as rig:
        client = await connect(rig)
        said = await client.deliver(MESSAGE, UNPROVEN)
        assert said.startswith(
            "450-4.7.1 Not accepted now: mail like this is new here (neither SPF nor DKIM):"
        )
        assert rig.accepted == []
        clock_of(rig).advance(WAIT_S)
        assert (await client.deliver(MESSAGE, UNPROVEN)).startswith("250")


async def test_the_null_sender_waits_only_after_its_message(make: Make) -> None:
    async with greylisting(make) as rig:
        client = await suspect(rig)
        (said,) = await rcpt(client, WANG, sender="")
        assert said.startswith("250")  # it may only ask whether there is such an address
        await client.say("RSET")
        said = await client.deliver(MESSAGE, "")
        assert said.startswith("450-4.7.1 Not accepted now: mail like this is new here")
        clock_of(rig).advance(WAIT_S)
        assert (await client.deliver(MESSAGE, "")).startswith("250")


async def test_mail_to_postmaster_never_waits(make: Make) -> None:
    async with greylisting(make, Mode.ALWAYS) as rig:
        client = await suspect(rig)
        assert (await client.deliver(MESSAGE, SENDER, POSTMASTER)).startswith("250")


@pytest.mark.parametrize("place", [WANG, "harbour.example", ""])
@pytest.mark.parametrize("waive", ["greylist", ""])
async def test_a_rule_lets_mail_through_at_once(make: Make, place: str, waive: str) -> None:
    async with greylisting(make) as rig:
        rule(rig, Action.ALLOW, IP, place, waive=waive)
        client = await suspect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")


async def test_what_a_rule_let_through_in_spite_of_a_finding_is_not_held_up(make: Make) -> None:
    async with greylisting(make) as rig:
        rig.rules.treat("helo.unresolvable", Treatment.REFUSE)
        rule(rig, Action.ALLOW, IP, waive="helo")
        client = await suspect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("250")


@pytest.mark.parametrize("domain", ["harbour.example", ""])
@pytest.mark.parametrize(
    ("treatment", "code", "place"),
    [
        (Treatment.OFF, "250", "inbox"),
        (Treatment.NOTE, "250", "inbox"),
        (Treatment.JUNK, "250", "junk"),
        (Treatment.HOLD, "250", "held"),
        (Treatment.REFUSE, "450", ""),
    ],
)
async def test_every_treatment_in_both_scopes(
    make: Make, treatment: Treatment, code: str, place: str, domain: str
) -> None:
    async with greylisting(make) as rig:
        rig.rules.treat("greylist.wait", treatment, domain)
        client = await suspect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith(code)
        if code == "250":
            await client.say("DATA")
            await client.send(MESSAGE + b".\r\n")
            assert (await client.reply()).startswith("250")
            assert place_of(rig.accepted[0].deliveries[0]) == place


async def test_what_is_refused_anyway_is_not_asked_to_come_again(make: Make) -> None:
    async with greylisting(make) as rig:
        rule(rig, Action.BLOCK, "@tea.example")
        client = await suspect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("550")
        assert not (rig.folder / "greylist.db").exists()


async def test_where_a_rule_may_still_let_it_through_the_header_is_waited_for(make: Make) -> None:
    async with greylisting(make) as rig:
        rule(rig, Action.ALLOW, "@offers.example", unproven=True)
        client = await suspect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("250")
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("450")
        from_offers = MESSAGE.replace(b"chen@tea.example", b"ann@offers.example")
        assert (await client.deliver(from_offers, SENDER)).startswith("250")


async def test_each_recipient_waits_for_itself(make: Make) -> None:
    async with greylisting(make) as rig:
        client = await suspect(rig)
        await rcpt(client, WANG)
        await client.say("RSET")
        clock_of(rig).advance(WAIT_S)
        said = await rcpt(client, WANG, LI)
        assert [answer[:3] for answer in said] == ["250", "450"]
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        assert [str(d.recipient.address) for d in rig.accepted[0].deliveries] == [WANG]


async def test_with_an_answer_for_each_only_who_is_new_waits_after_the_message(make: Make) -> None:
    async with greylisting(make) as rig:
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, UNPROVEN)).startswith("450")
        clock_of(rig).advance(WAIT_S)
        await client.say(f"MAIL FROM:<{UNPROVEN}> PRDR")
        for recipient in (WANG, LI):
            assert (await client.say(f"RCPT TO:<{recipient}>")).startswith("250")
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        said = [await client.reply() for _ in range(4)]
        assert [answer[:3] for answer in said] == ["353", "250", "450", "250"]
        assert [str(d.recipient.address) for d in rig.accepted[0].deliveries] == [WANG]


async def test_servers_whose_mail_came_again_often_wait_no_more(make: Make) -> None:
    async with greylisting(make) as rig:
        client = await suspect(rig)
        senders = [f"{name}@nobody.example" for name in ("ann", "bo", "cy", "di", "ed")]
        for wanted in ("450", "250"):
            for sender in senders:
                (said,) = await rcpt(client, WANG, sender=sender)
                assert said.startswith(wanted)
                await client.say("RSET")
            clock_of(rig).advance(WAIT_S)
        (said,) = await rcpt(client, LI, sender="new@nobody.example")
        assert said.startswith("250")


async def test_a_file_that_cannot_be_read_holds_nothing_up_and_is_on_record(make: Make) -> None:
    async with greylisting(make) as rig:
        (rig.folder / "greylist.db").mkdir()
        client = await suspect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        steps = {step.step: step.result for step in rig.accepted[0].conversation.steps}
        assert steps["greylist.couldnt-tell"] == "couldnt-tell"
