"""Mail that comes back from a relay is known by its mark; other servers of ours may relay."""

import ssl
from dataclasses import replace

import pytest
from tests.reception.rig import HOP_KEY, LOOPBACK, Make, Rig, listener

from postern.mail.hops import hop_field
from postern.reception.settings import Kind

SUBMISSION = listener(Kind.SUBMISSION)
LETTER = b"From: <li@tea.example>\r\nSubject: x\r\n\r\nhello\r\n"


async def send(rig: Rig, data: bytes) -> None:
    client = await rig.connect()
    await client.hello()
    answer = await client.deliver(data, "li@tea.example", "wang@harbour.example")
    assert answer.startswith("250"), answer


@pytest.mark.parametrize("lines", [1, 4000], ids=["in-a-row", "in-a-file"])
async def test_mail_that_comes_back_names_the_relays_it_has_been_through(
    make: Make, lines: int
) -> None:
    ours = hop_field(HOP_KEY, "us1", "PT-7Q2M-K4XD")
    anothers = hop_field(b"o" * 32, "de1", "PT-7Q2M-K4XD")
    async with make(listener(relay_from=LOOPBACK)) as rig:
        await send(rig, ours + anothers + LETTER + b"a line of text\r\n" * lines)
        (message,) = rig.accepted
        assert message.hops == ("us1",)


async def test_other_mail_has_been_through_none(make: Make) -> None:
    async with make(listener()) as rig:
        await send(rig, LETTER)
        (message,) = rig.accepted
        assert message.hops == ()


async def test_another_server_of_ours_may_send_as_anybody_and_others_may_not(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.log_in(trusting)
        assert (await client.say("MAIL FROM:<li@tea.example>")).startswith("553")
        settings = replace(
            rig.services.settings, relay_accounts=frozenset({"wang@harbour.example"})
        )
        services = replace(rig.services, settings=settings)
        rig.reception.reload(services, rig.certificates)
        client = await rig.connect()
        await client.log_in(trusting)
        answer = await client.deliver(LETTER, "li@tea.example", "friend@far.example")
        assert answer.startswith("250"), answer


@pytest.mark.parametrize(
    "letter",
    [
        LETTER,
        b"Bcc: <ann@tea.example>\r\n" + LETTER,
        b"From: <chen@tea.example>\r\n" + LETTER,
        b"From: no address at all\r\n\r\nhello\r\n",
    ],
    ids=["no-date", "bcc", "two-authors", "no-author"],
)
async def test_what_another_server_of_ours_hands_on_leaves_as_it_came(
    make: Make, trusting: ssl.SSLContext, letter: bytes
) -> None:
    async with make(SUBMISSION) as rig:
        settings = replace(
            rig.services.settings, relay_accounts=frozenset({"wang@harbour.example"})
        )
        rig.reception.reload(replace(rig.services, settings=settings), rig.certificates)
        client = await rig.connect()
        await client.log_in(trusting)
        answer = await client.deliver(letter, "li@tea.example", "friend@far.example")
        assert answer.startswith("250"), answer
        octets = rig.accepted[0].content.in_memory
        assert octets is not None
        assert octets.startswith(b"Received: ")
        assert octets.endswith(b"\r\n" + letter)
        assert b"Message-ID" not in octets
