"""Mail that an alias sends on to an address outside: sealed, never junk, never round and round."""

import ssl
from dataclasses import replace

import dkim  # type: ignore[import-untyped]  # it has no types
import pytest
from tests.mail.arc.stand import sealed, validated
from tests.mail.dkim.stand import pem, rsa_key, signed, zone_of
from tests.reception.rig import Client, Make, Rig, listener
from tests.reception.test_hearing import LI, MESSAGE, SENDER, WANG, connect, examined, rule

from postern.directory.dkim import DkimKey, KeyState
from postern.directory.model import Alias, Mailbox
from postern.directory.return_addresses import ReturnAddresses
from postern.directory.store.dkim import DkimStore
from postern.journal.record import OUTSIDE
from postern.mail.address import Address
from postern.mail.arc.seal import arc_signer
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.record import record_name, record_text
from postern.mail.dkim.sign import Signer
from postern.policy.judge import Gravity
from postern.policy.rules.rule import Action
from postern.reception.settings import Kind
from postern.spool.message import DeliveryState, Message

SALES = "offers@harbour.example"
OUT = "desk@far.example"
THEIRS = Signer("tea.example", "s1", rsa_key(nth=1))
OURS = Signer("harbour.example", "p1", rsa_key())


def prepare(rig: Rig, *, with_key: bool = True) -> None:
    assert isinstance(rig.site.add_alias(SALES, [OUT, LI]), Alias)
    for signer in (THEIRS, OURS):
        name = record_name(signer.selector, signer.domain)
        rig.resolver.add(name, "TXT", record_text(signer.key))
    if with_key:
        store = DkimStore(rig.site.database, rig.clock, "test")
        made = store.add(OURS.domain, pem(OURS.key), OURS.selector, KeyState.ACTIVE)
        assert isinstance(made, DkimKey)


async def send(rig: Rig, data: bytes = MESSAGE, *to: str) -> str:
    client: Client = await connect(rig)
    return await client.deliver(data, SENDER, *(to or (SALES,)))


def content(message: Message) -> bytes:
    octets = message.content.in_memory
    assert octets is not None
    return octets


async def test_forwarded_mail_is_sealed_and_dkimpy_finds_the_seal_good(make: Make) -> None:
    async with examined(make) as rig:
        prepare(rig)
        assert (await send(rig, signed(MESSAGE, THEIRS, now=rig.clock.now()))).startswith("250")
        (message,) = rig.accepted
        octets = content(message)
        assert octets.startswith(b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=harbour.example;")
        assert b"ARC-Authentication-Results: i=1; mx.harbour.example" in octets
        keys = {
            f"{record_name(signer.selector, signer.domain)}.".encode(): record_text(signer.key)
            for signer in (THEIRS, OURS)
        }
        verdict, _, reason = dkim.arc_verify(
            octets, dnsfunc=lambda name, **_: keys.get(name, "").encode() or None
        )
        assert (verdict, reason) == (dkim.CV_Pass, "success")
        forwarders = {d.recipient.address.local: d.forwarder for d in message.deliveries}
        assert forwarders == {"desk": "harbour.example", "li": ""}


def sealed_once(rig: Rig, data: bytes) -> bytes:
    """As a mailing list before us sent it."""
    signer = arc_signer(THEIRS.domain, THEIRS.selector, THEIRS.key)
    return sealed(data, signer, "none", now=rig.clock.now())


def arc_of(rig: Rig) -> tuple[str, list[bytes]]:
    """What others find of the chain that leaves, and how its seals say that it came in."""
    octets = content(rig.accepted[-1])
    report = validated(octets, zone_of(THEIRS, OURS), rig.clock.now())
    seals = HeaderFields(octets)
    return report.result.value, [
        seals.value(place).partition(b"cv=")[2].partition(b";")[0]
        for place in seals.places(b"arc-seal")
    ]


async def test_chain_that_is_whole_goes_on_and_what_claims_to_be_ours_goes(make: Make) -> None:
    async with examined(make) as rig:
        prepare(rig)
        forged = b"Authentication-Results: mx.harbour.example; dmarc=pass\r\nX-Postern-Spam: 0\r\n"
        letter = sealed_once(rig, signed(MESSAGE, THEIRS, now=rig.clock.now()))
        assert (await send(rig, forged + letter)).startswith("250")
        assert arc_of(rig) == ("pass", [b"pass", b"none"])
        assert b"dmarc=pass" not in content(rig.accepted[-1]).partition(b"Received:")[2]


async def test_chain_that_is_broken_is_sealed_as_broken_and_then_no_more(make: Make) -> None:
    async with examined(make) as rig:
        prepare(rig)
        broken = sealed_once(rig, MESSAGE).replace(b"Subject: tea", b"Subject: x")
        assert (await send(rig, broken)).startswith("250")
        assert arc_of(rig) == ("fail", [b"fail", b"none"])
        again = content(rig.accepted[-1])
        assert (await send(rig, again)).startswith("250")
        assert arc_of(rig) == ("fail", [b"fail", b"none"])


async def test_chain_that_dns_does_not_tell_of_is_not_sealed(make: Make) -> None:
    async with examined(make) as rig:
        prepare(rig)
        rig.resolver.fail(record_name(THEIRS.selector, THEIRS.domain), "TXT")
        assert (await send(rig, sealed_once(rig, MESSAGE))).startswith("250")
        assert arc_of(rig)[1] == [b"none"]


@pytest.mark.parametrize(("with_key", "to"), [(False, SALES), (True, LI)], ids=["key", "alias"])
async def test_without_a_key_or_without_forwarding_there_is_no_seal(
    make: Make, *, with_key: bool, to: str
) -> None:
    async with examined(make) as rig:
        prepare(rig, with_key=with_key)
        await send(rig, MESSAGE, to)
        assert b"ARC-" not in content(rig.accepted[0])


async def test_junk_is_held_and_not_sent_on(make: Make) -> None:
    async with examined(make) as rig:
        prepare(rig)
        rule(rig, Action.JUNK, SENDER, "harbour.example", unproven=True)
        assert (await send(rig)).startswith("250")
        (message,) = rig.accepted
        states = {d.recipient.address.local: (d.state, d.is_junk) for d in message.deliveries}
        assert states["desk"] == (DeliveryState.HELD, False)
        assert states["li"] == (DeliveryState.FRESH, True)
        await rig.wait_until(lambda: bool(rig.journal.heard))
        (told,) = rig.journal.heard
        noted = {one.owner: (one.gravity, bool(one.flags & OUTSIDE)) for one in told.decisions}
        assert noted[OUT] == (Gravity.HOLD, True)  # as previews will judge it again
        assert noted[LI] == (Gravity.JUNK, False)


async def test_mail_that_came_back_to_its_alias_is_refused_as_a_loop(make: Make) -> None:
    async with examined(make) as rig:
        prepare(rig)
        back = b"Delivered-To: Offers@Harbour.example\r\n" + MESSAGE
        answer = await send(rig, back)
        assert answer.startswith("554 5.4.6")
        assert (await send(rig, back, LI)).startswith("250")
        assert rig.told[-1].because is not None
        assert rig.told[-1].because.check == "loop.detected"


async def test_bounce_of_forwarded_mail_goes_to_its_sender_and_nobody_else_may(make: Make) -> None:
    async with examined(make) as rig:
        prepare(rig)
        returns = ReturnAddresses(b"k" * 32, rig.clock)
        rig.services.recipients._returns = returns
        back = returns.rewrite(Address("li", "far.example"), "harbour.example")
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, "", str(back))).startswith("250")
        (message,) = rig.accepted
        assert [str(d.recipient.address) for d in message.deliveries] == ["li@far.example"]
        said = await client.say("MAIL FROM:<>", f"RCPT TO:<SRS0=AAAAAAAA{str(back)[13:]}>")
        assert said.startswith("550 5.1.1")
        assert "no return address of ours" in said


@pytest.mark.parametrize("with_dkim", [True, False])
async def test_mail_with_its_authors_own_signature_may_leave_through_any_server(
    make: Make, *, with_dkim: bool
) -> None:
    async with examined(make) as rig:
        prepare(rig)
        rig.resolver.add("_dmarc.tea.example", "TXT", "v=DMARC1; p=reject")
        letter = signed(MESSAGE, THEIRS, now=rig.clock.now()) if with_dkim else MESSAGE
        await send(rig, letter)
        assert rig.accepted[0].aligned is with_dkim


def with_returns(rig: Rig) -> ReturnAddresses:
    returns = ReturnAddresses(b"k" * 32, rig.clock)
    rig.services.recipients._returns = returns
    return returns


def destinations(rig: Rig) -> list[str]:
    return [str(delivery.recipient.address) for delivery in rig.accepted[-1].deliveries]


async def bounce(rig: Rig, to: Address | str) -> str:
    client = await connect(rig)
    return await client.deliver(MESSAGE, "", str(to))


async def refusal(rig: Rig, to: Address | str) -> str:
    client = await connect(rig)
    return await client.say("MAIL FROM:<>", f"RCPT TO:<{to}>")


async def test_bounce_to_a_sender_who_lives_here_goes_where_his_mail_goes(make: Make) -> None:
    async with examined(make) as rig:
        returns = with_returns(rig)
        back = returns.rewrite(Address("info", "harbour.example"), "catch.example")
        assert (await bounce(rig, back)).startswith("250")
        assert destinations(rig) == [WANG]  # through the alias, and not out by MX
        assert rig.accepted[-1].deliveries[0].forwarder == ""
        nobody = returns.rewrite(Address("nobody", "harbour.example"), "catch.example")
        assert (await refusal(rig, nobody)).startswith("550 5.1.1")


async def test_bounce_goes_back_through_all_domains_of_ours_that_sent_the_mail_on(
    make: Make,
) -> None:
    async with examined(make) as rig:
        returns = with_returns(rig)
        once = returns.rewrite(Address("ann", "far.example"), "harbour.example")
        twice = returns.rewrite(once, "catch.example")
        assert twice.local.startswith("SRS1=")
        assert (await bounce(rig, twice)).startswith("250")
        assert destinations(rig) == ["ann@far.example"]


async def test_bounce_of_what_an_alias_beside_a_gateway_sent_on_is_not_asked_of_the_gateway(
    make: Make,
) -> None:
    async with examined(make) as rig:
        returns = with_returns(rig)
        back = returns.rewrite(Address("ann", "far.example"), "gate.example")
        assert (await bounce(rig, back)).startswith("250")
        assert (destinations(rig), rig.gate.asked) == (["ann@far.example"], [])
        rig.gate.known.add("SRS0=x=y=z.example=ann")  # one that the customer's own server made
        assert (await bounce(rig, "SRS0=x=y=z.example=ann@gate.example")).startswith("250")
        assert destinations(rig) == ["SRS0=x=y=z.example=ann@gate.example"]


async def test_mailbox_that_only_looks_like_a_return_address_gets_its_mail(make: Make) -> None:
    async with examined(make) as rig:
        with_returns(rig)
        assert isinstance(rig.site.add_mailbox("srs0-list@harbour.example"), Mailbox)
        assert (await bounce(rig, "srs0-list@harbour.example")).startswith("250")
        assert (await refusal(rig, "srs0-other@harbour.example")).startswith("550")
        assert (await refusal(rig, "srs0-other@catch.example")).startswith("550")


async def test_postmaster_whose_mail_goes_outside_has_bounces_come_back_to_this_host(
    make: Make,
) -> None:
    async with examined(make) as rig:
        rig.directory.answer_for_host(lambda domain: domain == "mx.harbour.example")
        returns = with_returns(rig)
        assert isinstance(rig.site.add_alias("postmaster", [OUT]), Alias)
        assert (await send(rig, MESSAGE, "postmaster")).startswith("250")
        (delivery,) = rig.accepted[-1].deliveries
        assert (delivery.forwarder, delivery.forwarded_for) == (
            "mx.harbour.example",
            "postmaster@mx.harbour.example",
        )
        back = returns.rewrite(Address("ann", "far.example"), delivery.forwarder)
        assert (await bounce(rig, back)).startswith("250")
        assert destinations(rig) == ["ann@far.example"]
        mark = b"Delivered-To: postmaster@mx.harbour.example\r\n"
        assert (await send(rig, mark + MESSAGE, "postmaster")).startswith("554 5.4.6")


@pytest.mark.parametrize(("relays", "answered"), [((), "250"), ((WANG,), "554 5.4.6")])
async def test_whoever_sends_once_more_what_he_got_through_an_alias_is_no_loop(
    make: Make, trusting: ssl.SSLContext, relays: tuple[str, ...], answered: str
) -> None:
    async with make(listener(Kind.SUBMISSION)) as rig:
        # With it he is another server, which may be part of one.
        settings = replace(rig.services.settings, relay_accounts=frozenset(relays))
        rig.reception.reload(replace(rig.services, settings=settings), rig.certificates)
        client = await rig.connect()
        await client.log_in(trusting)
        again = b"Delivered-To: sales@harbour.example\r\nFrom: <wang@harbour.example>\r\n\r\n"
        answer = await client.deliver(again, WANG, "sales@harbour.example")
        assert answer.startswith(answered)
