"""What our own users send is signed on its way in; what comes from outside is not."""

import ssl

import dkim  # type: ignore[import-untyped]  # it has no types
import pytest
from tests.mail.dkim.stand import ed25519_key, pem, rsa_key, verified, zone_of
from tests.reception.rig import LOOPBACK, Make, Rig, listener

from postern.directory.dkim import DkimKey, KeyState
from postern.directory.store.dkim import DkimStore
from postern.mail.dkim.record import record_name, record_text
from postern.mail.dkim.result import DkimResult
from postern.mail.dkim.sign import Signer
from postern.reception.settings import Kind
from postern.spool.message import Message

SUBMISSION = listener(Kind.SUBMISSION)
H = "harbour.example"
SIGNERS = (Signer(H, "a", rsa_key()), Signer(H, "b", ed25519_key()))
LETTER = b"From: <wang@harbour.example>\r\nTo: <friend@far.example>\r\nSubject: x\r\n\r\n"


def with_keys(rig: Rig) -> None:
    store = DkimStore(rig.site.database, rig.clock, "test")
    for signer in SIGNERS:
        made = store.add(H, pem(signer.key), signer.selector, KeyState.ACTIVE)
        assert isinstance(made, DkimKey)


async def whole(message: Message) -> bytes:
    return b"".join([chunk async for chunk in message.content.chunks()])


@pytest.mark.parametrize("lines", [1, 4000], ids=["in a row", "in a file"])
async def test_submitted_mail_bears_signatures_of_all_keys_that_verify(
    make: Make, trusting: ssl.SSLContext, lines: int
) -> None:
    async with make(SUBMISSION) as rig:
        with_keys(rig)
        client = await rig.connect()
        await client.log_in(trusting)
        sent = LETTER + b"two\t blanks  and a line \r\n" * lines
        answer = await client.deliver(sent, "wang@harbour.example", "friend@far.example")
        assert answer.startswith("250")
        (message,) = rig.accepted
        octets = await whole(message)
        assert message.aligned
        assert message.content.size_bytes == len(octets)
        report = verified(octets, zone_of(*SIGNERS), now=rig.clock.now())
        assert [one.result for one in report.results] == [DkimResult.PASS] * 2
        assert b"Date: " in octets  # what we mend is signed as it leaves


@pytest.mark.parametrize(
    "letter",
    [
        pytest.param(LETTER, id="no-body"),
        pytest.param(LETTER.removesuffix(b"\r\n"), id="no-blank-line"),
        pytest.param(LETTER + b"\r\n\r\n \t\r\n", id="blank"),
        pytest.param(LETTER + "grüße\r\n".encode("latin-1"), id="8-bit"),
        pytest.param(LETTER + b"..dots\r\n..\r\n...\r\n", id="dots"),
        pytest.param(LETTER + b"x" * 3_000 + b"\r\n", id="long-line"),
        pytest.param(b"Bcc: <li@harbour.example>\r\n" + LETTER + b"x\r\n", id="bcc"),
        pytest.param(LETTER.replace(b"Subject: x", b"Subject: x\n y") + b"a\nb\rc\r\n", id="bare"),
        pytest.param(b"Subject : odd\r\nX-A:\r\n" + LETTER + b"x\r\n", id="odd-names"),
        pytest.param(LETTER.replace(b"Subject: x", b"this is no field") + b"x\r\n", id="no-field"),
        pytest.param(LETTER.replace(b"<friend", b"\r\n <friend") + b"x\r\n", id="folded"),
    ],
)
async def test_whatever_our_users_programs_write_is_signed_as_it_leaves(
    make: Make, trusting: ssl.SSLContext, letter: bytes
) -> None:
    async with make(SUBMISSION, settings={"accept_bare_newlines": True}) as rig:
        with_keys(rig)
        client = await rig.connect()
        await client.log_in(trusting)
        answer = await client.deliver(letter, "wang@harbour.example", "friend@far.example")
        assert answer.startswith("250"), answer
        octets = await whole(rig.accepted[0])
        report = verified(octets, zone_of(*SIGNERS), now=rig.clock.now())
        assert [one.result for one in report.results] == [DkimResult.PASS] * 2
        keys = {
            f"{record_name(signer.selector, signer.domain)}.".encode(): record_text(signer.key)
            for signer in SIGNERS
        }
        if b"odd" not in octets and b"no field" not in octets:  # which dkimpy would not read
            assert dkim.DKIM(octets).verify(1, lambda name, **_: keys[name].encode())
        assert b"Bcc" not in octets


async def test_mail_with_utf8_in_its_header_is_signed(make: Make, trusting: ssl.SSLContext) -> None:
    async with make(SUBMISSION) as rig:
        with_keys(rig)
        client = await rig.connect()
        await client.log_in(trusting)
        letter = LETTER.replace(b"Subject: x", "Subject: grüße".encode()) + b"x\r\n"
        go = await client.say(
            "MAIL FROM:<wang@harbour.example> SMTPUTF8", "RCPT TO:<friend@far.example>", "DATA"
        )
        assert go.startswith("354")
        await client.send(letter + b".\r\n")
        assert (await client.reply()).startswith("250")
        octets = await whole(rig.accepted[0])
        report = verified(octets, zone_of(*SIGNERS), now=rig.clock.now())
        assert [one.result for one in report.results] == [DkimResult.PASS] * 2


async def test_mail_from_outside_is_not_signed_even_when_it_names_a_domain_of_ours(
    make: Make,
) -> None:
    async with make(listener()) as rig:
        with_keys(rig)
        client = await rig.connect()
        await client.hello()
        answer = await client.deliver(LETTER, "wang@harbour.example", "wang@harbour.example")
        assert answer.startswith("250")
        (message,) = rig.accepted
        assert not message.aligned
        assert b"DKIM-Signature" not in await whole(message)


async def test_mail_of_a_relay_client_is_signed_for_its_author(make: Make) -> None:
    inside = listener(relay_from=LOOPBACK)
    async with make(inside) as rig:
        with_keys(rig)
        client = await rig.connect()
        await client.hello()
        await client.deliver(LETTER, "news@far.example", "friend@far.example")
        await client.deliver(LETTER.replace(b"wang@harbour", b"li@lake"), "", "a@far.example")
        signed, stranger = rig.accepted
        assert signed.aligned
        assert not stranger.aligned


async def test_a_site_without_keys_sends_as_before(make: Make, trusting: ssl.SSLContext) -> None:
    async with make(SUBMISSION) as rig:
        client = await rig.connect()
        await client.log_in(trusting)
        await client.deliver(LETTER, "wang@harbour.example", "friend@far.example")
        (message,) = rig.accepted
        assert not message.aligned
        assert (await whole(message)).startswith(b"Received: ")
