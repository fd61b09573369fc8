"""Too much mail from outside is "not now", by each recipient's rules."""

import pytest
from tests.reception.rig import LOOPBACK, Make, listener
from tests.reception.test_hearing import (
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

from postern.policy.rates import RateSettings
from postern.policy.rules.rule import Action, Treatment
from postern.runtime.clock import FakeClock

POSTMASTER = "postmaster@harbour.example"
GUARDED = listener(proxy_protocol=LOOPBACK)


async def test_a_client_over_its_limit_is_told_to_come_again_and_is_taken_later(
    make: Make,
) -> None:
    clock = FakeClock()
    rates = RateSettings(messages_per_address=2)
    async with make(GUARDED, examines=True, clock=clock, rates=rates) as rig:
        rig.rules.treat("ptr.missing", Treatment.NOTE)
        rig.rules.treat("mailfrom.no-domain", Treatment.NOTE)
        client = await connect(rig)
        for _ in range(2):
            assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        (said,) = await rcpt(client, WANG)
        first, second = said.splitlines()
        assert first == (
            f"450-4.7.1 Not accepted now: no more than 2 messages an hour are taken from {IP}."
        )
        assert second.startswith("450 4.7.1 Your server will try again by itself")
        await client.say("RSET")
        clock.advance(1800)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        assert rig.services.tally.refusals["rate.exceeded"] == 1
        assert rig.told[-1].recipients[0].state == "refused-for-now"


async def test_the_postmaster_is_not_exempt_and_a_rule_is(make: Make) -> None:
    rates = RateSettings(messages_per_address=1)
    async with make(GUARDED, examines=True, rates=rates) as rig:
        rule(rig, Action.ALLOW, IP, LI)
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER, LI)).startswith("250")
        said = await rcpt(client, POSTMASTER, LI)
        assert [answer[:3] for answer in said] == ["450", "250"]


async def test_one_mailbox_may_be_full_of_mail_while_another_gets_its_own(make: Make) -> None:
    rates = RateSettings(messages_per_recipient=1)
    async with make(GUARDED, examines=True, rates=rates) as rig:
        rule(rig, Action.ALLOW, IP, "", waive="ptr,mailfrom,helo,spf")
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER, WANG)).startswith("250")
        said = await rcpt(client, WANG, LI)
        assert [answer[:3] for answer in said] == ["450", "250"]
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        # What was said of one recipient holds up none of the others.
        assert (await client.reply()).startswith("250")
        assert [str(d.recipient.address) for d in rig.accepted[-1].deliveries] == [LI]


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
    rates = RateSettings(messages_per_address=1)
    async with make(GUARDED, examines=True, rates=rates) as rig:
        rule(rig, Action.ALLOW, IP, "", waive="ptr,mailfrom,helo,spf")
        rig.rules.treat("rate.exceeded", treatment, domain)
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        (said,) = await rcpt(client, WANG)
        assert said.startswith(code)
        if code == "250":
            await client.say("DATA")
            await client.send(MESSAGE + b".\r\n")
            assert (await client.reply()).startswith("250")
            first, second = (message.deliveries[0] for message in rig.accepted)
            assert (place_of(first), place_of(second)) == ("inbox", place)


@pytest.mark.parametrize("place", [WANG, "harbour.example", ""])
async def test_a_rule_of_any_scope_waives_it(make: Make, place: str) -> None:
    rates = RateSettings(messages_per_address=1)
    async with make(GUARDED, examines=True, rates=rates) as rig:
        rule(rig, Action.ALLOW, IP, "", waive="ptr,mailfrom,helo,spf")
        rule(rig, Action.ALLOW, IP, place, waive="rate")
        client = await connect(rig)
        for _ in range(3):
            assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
