"""What reception decides is handed to the journal as the judge was shown it."""

import asyncio

from tests.reception.rig import Make
from tests.reception.test_hearing import (
    IP,
    LI,
    MESSAGE,
    SENDER,
    WANG,
    connect,
    examined,
    rcpt,
    rule,
)

from postern.journal.record import HeardRecord
from postern.policy.judge import Gravity
from postern.policy.rules.rule import Action


async def test_who_is_refused_at_rcpt_leaves_a_decision_in_the_conversation(make: Make) -> None:
    async with examined(make) as rig:
        client = await connect(rig, "198.51.100.99")  # it has no name
        (answer,) = await rcpt(client, WANG)
        assert answer.startswith("550")
        await client.say("QUIT")
        await rig.wait_idle()
        (talk,) = rig.told
        heard = talk.heard
        assert isinstance(heard, HeardRecord)
        assert (heard.id, heard.client_ip, heard.mail_from) == (talk.id, "198.51.100.99", SENDER)
        assert (heard.authors, heard.subject, heard.proven) == (None, "", "")
        (decision,) = heard.decisions
        assert (decision.owner, decision.domain, decision.named) == (WANG, "harbour.example", "")
        assert decision.early.split() == ["ptr.missing", "spf.fail"]
        assert decision.found is None
        assert decision.gravity == Gravity.REFUSE


async def test_mail_that_was_taken_leaves_its_decisions_at_once(make: Make) -> None:
    async with examined(make) as rig:
        label = rule(rig, Action.HOLD, "all", LI)
        client = await connect(rig)
        await rcpt(client, "info@harbour.example", LI)
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        async with asyncio.timeout(10):
            await rig.wait_until(lambda: bool(rig.journal.heard))
        (message,) = rig.accepted
        assert message.conversation.heard is None  # the spool does not carry it
        (heard,) = rig.journal.heard
        assert (heard.id, heard.subject, heard.ptr) == (message.id, "tea", "mail.tea.example")
        assert (heard.authors, heard.proven) == ("chen@tea.example\n", heard.proven_early)
        assert "tea.example" in heard.proven.split()
        first, second = heard.decisions
        assert (first.owner, first.named) == (WANG, "info@harbour.example")
        assert (first.gravity, first.rule, first.early, first.found) == (0, "", "", "")
        assert (second.owner, second.gravity, second.rule) == (LI, Gravity.HOLD, label)


async def test_whom_nobody_decided_about_leaves_nothing(make: Make) -> None:
    async with examined(make) as rig:
        client = await connect(rig)
        await rcpt(client, WANG)
        await client.say("RSET")
        await rcpt(client, "nobody@harbour.example")
        await client.say("QUIT")
        await rig.wait_idle()
        assert [talk.heard for talk in rig.told] == [None, None]
        assert IP in {talk.client_ip for talk in rig.told}


async def test_each_transaction_has_decisions_of_its_own(make: Make) -> None:
    async with examined(make) as rig:
        rule(rig, Action.BLOCK, "all", LI)
        client = await connect(rig)
        await rcpt(client, LI)
        await client.say("RSET")
        await rcpt(client, LI, WANG)
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        async with asyncio.timeout(10):
            await rig.wait_until(lambda: bool(rig.journal.heard))
        (alone,) = [talk.heard for talk in rig.told if talk.heard is not None]
        assert [one.owner for one in alone.decisions] == [LI]
        (both,) = rig.journal.heard
        assert [(one.owner, one.gravity, one.found) for one in both.decisions] == [
            (LI, Gravity.REFUSE, ""),  # refused at RCPT; let in, it would have had this message
            (WANG, Gravity.ACCEPT, ""),
        ]
