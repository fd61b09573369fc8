"""Mail from those whom its recipient has written to, with the real file that says so."""

import pytest
from tests.reception.rig import Make, Rig
from tests.reception.test_hearing import LI, MESSAGE, SENDER, WANG, connect, examined, rcpt, rule
from tests.reception.test_letters import server, signed_now

from postern.directory.correspondents import Notebook
from postern.directory.model import Mailbox
from postern.mail.address import parse_address
from postern.policy.rules.rule import Action
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.spool.message import DeliveryState

SPF_ONLY = "v=spf1 ip4:198.51.100.24 -all"


def wrote(rig: Rig, owner: str = WANG, to: str = SENDER) -> None:
    """As if the owner had sent mail there."""
    mailbox, address = rig.site.mailbox(owner), parse_address(to)
    assert isinstance(mailbox, Mailbox)
    assert address is not None
    notebook = Notebook()
    notebook.wrote(mailbox.id, address, rig.clock.now())
    rig.correspondents.write(notebook.take())


async def test_whom_the_recipient_wrote_to_is_held_and_others_are_refused(make: Make) -> None:
    async with examined(make, clean=False) as rig:
        rig.resolver.add("tea.example", "TXT", SPF_ONLY)
        client = await connect(rig)
        said = await rcpt(client, WANG, LI)
        assert [answer[:3] for answer in said] == ["550", "550"]
        wrote(rig)
        await client.say("RSET")
        said = await rcpt(client, WANG, LI)
        assert [answer[:3] for answer in said] == ["250", "550"]
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        (delivery,) = rig.accepted[0].deliveries
        assert (delivery.state, delivery.held_for) == (DeliveryState.HELD, "ptr.missing")


@pytest.mark.parametrize("to", ["wang+shop@harbour.example", "info@harbour.example"])
async def test_it_is_the_mailbox_that_knows_whatever_it_is_called(make: Make, to: str) -> None:
    async with examined(make, clean=False) as rig:
        rig.resolver.add("tea.example", "TXT", SPF_ONLY)
        wrote(rig)
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER, to)).startswith("250")
        assert rig.accepted[0].deliveries[0].state is DeliveryState.HELD


async def test_a_refusal_waits_for_a_signature_and_a_forger_is_refused_then(make: Make) -> None:
    async with server(make) as rig:
        rig.resolver.add("24.100.51.198.in-addr.arpa", "PTR")
        rig.resolver.add("tea.example", "TXT", "v=spf1 -all")
        wrote(rig)
        client = await connect(rig)
        said = await client.deliver(MESSAGE, SENDER)  # it was let come as far as its last octet
        assert said.startswith("550-5.7.25")
        said = await client.deliver(signed_now(rig, MESSAGE), SENDER)
        assert said.startswith("250")
        assert rig.accepted[0].deliveries[0].state is DeliveryState.HELD
        (said,) = await rcpt(client, WANG, sender="stranger@tea.example")
        assert said.startswith("550")  # nobody waits for strangers


async def test_a_rule_lets_the_known_through(make: Make) -> None:
    async with examined(make, clean=False) as rig:
        rig.resolver.add("tea.example", "TXT", SPF_ONLY)
        label = rule(rig, Action.ALLOW, "known")
        wrote(rig)
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        assert rig.accepted[0].deliveries[0].state is DeliveryState.FRESH
        assert rig.accepted[0].conversation.recipients[0].rule == label


async def test_a_file_that_does_not_answer_is_not_now_and_only_where_it_matters(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with examined(make) as rig:

        def trouble(*_: object) -> bool:
            raise DatabaseTroubleError("the disk fails")

        monkeypatch.setattr(
            "postern.directory.store.correspondents.CorrespondentStore.find", trouble
        )
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        rig.resolver.add("24.100.51.198.in-addr.arpa", "PTR")
        await client.say("QUIT")
        client = await connect(rig)
        (said,) = await rcpt(client, WANG)
        assert said.startswith("451")
