"""What only the whole message tells: signatures, DMARC, and the results that are written on top."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.mail.arc.stand import chain_of
from tests.mail.dkim.stand import ed25519_key, signed, zone_of
from tests.reception.rig import Make, Rig
from tests.reception.test_hearing import SENDER, WANG, connect, examined, rule

from postern.mail.authres.parse import parse_results
from postern.mail.authres.results import AuthenticationResults, MethodResult
from postern.mail.dkim.sign import Signer
from postern.mail.message.header import HeaderScan
from postern.policy.checks.check import Found
from postern.policy.checks.dmarc import Believed
from postern.policy.rules.rule import Action, Treatment
from postern.policy.settings import PolicySettings
from postern.spool.message import DeliveryState, Origin

TEA = Signer("tea.example", "jan", ed25519_key())
MESSAGE = (
    b"From: Chen <chen@tea.example>\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <1@tea.example>\r\nSubject: tea\r\n\r\nHello\r\n"
)
LARGE = MESSAGE + b"0123456789abcdef" * 4 * 1024 * 2 + b"\r\n"
REJECT = "v=DMARC1; p=reject"
ROBBER = "203.0.113.66"


@asynccontextmanager
async def server(make: Make, *, policy: str = "") -> AsyncIterator[Rig]:
    async with examined(make) as rig:
        for name, records in zone_of(TEA).items():
            assert isinstance(records, tuple)
            rig.resolver.add(name, "TXT", *records)
        if policy:
            rig.resolver.add("_dmarc.tea.example", "TXT", policy)
        rig.resolver.add("66.113.0.203.in-addr.arpa", "PTR", "mail.robber.example")
        rig.resolver.add("mail.robber.example", "A", ROBBER)
        yield rig


def content(rig: Rig, nth: int = 0) -> bytes:
    data = rig.accepted[nth].content.in_memory
    assert data is not None
    return data


def results(data: bytes) -> list[MethodResult]:
    """What stands in the topmost field, which must be ours."""
    value = HeaderScan(data).first(b"authentication-results")
    assert data.startswith(b"Authentication-Results:")
    assert value is not None
    found = parse_results(value)
    assert isinstance(found, AuthenticationResults)
    assert found.authserv_id == "mx.harbour.example"
    return list(found.results)


def by_method(data: bytes) -> dict[str, str]:
    return {result.method: result.result for result in results(data)}


def signed_now(rig: Rig, message: bytes) -> bytes:
    return signed(message, TEA, now=rig.clock.now())


@pytest.mark.parametrize("message", [MESSAGE, LARGE], ids=["small", "large"])
async def test_a_signature_that_holds_is_reported_with_all_other_results(
    make: Make, message: bytes
) -> None:
    async with server(make, policy=REJECT) as rig:
        client = await connect(rig)
        sent = signed_now(rig, message)
        assert (await client.deliver(sent, SENDER)).startswith("250")
        pieces = [piece async for piece in rig.accepted[0].content.chunks()]
        data = b"".join(pieces)
        assert rig.accepted[0].content.size_bytes == len(data)
        assert data.endswith(sent)
        assert by_method(data) == {"iprev": "pass", "spf": "pass", "dkim": "pass", "dmarc": "pass"}
        received = HeaderScan(data).first(b"received")
        assert received is not None
        assert b"mail.tea.example" in received


async def test_a_signature_proves_the_author_to_a_rule(make: Make) -> None:
    async with server(make) as rig:
        rig.resolver.add("24.100.51.198.in-addr.arpa", "PTR")
        rule(rig, Action.ALLOW, "chen@tea.example")
        rig.resolver.add("tea.example", "TXT", "v=spf1 -all")
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("550-5.7.25")
        assert (await client.deliver(signed_now(rig, MESSAGE), SENDER)).startswith("250")


async def test_a_signature_that_broke_on_the_way_proves_nothing_to_a_rule(make: Make) -> None:
    async with server(make) as rig:
        rig.resolver.add("24.100.51.198.in-addr.arpa", "PTR")
        rig.resolver.add("tea.example", "TXT", "v=spf1 -all")
        rule(rig, Action.ALLOW, "chen@tea.example")
        sent = signed_now(rig, MESSAGE)
        client = await connect(rig)
        changed = sent + b"and more\r\n"
        assert (await client.deliver(changed, SENDER)).startswith("550-5.7.25")


async def test_forged_results_of_ours_go_and_those_of_others_stay(make: Make) -> None:
    forged = b"Authentication-Results: mx.harbour.example; dkim=pass header.d=bank.example\r\n"
    others = b"Authentication-Results: mx.tea.example; spf=pass\r\n"
    async with server(make) as rig:
        client = await connect(rig)
        sent = forged + others + forged + MESSAGE
        assert (await client.deliver(sent, SENDER)).startswith("250")
        data = content(rig)
        assert by_method(data)["dkim"] == "none"
        assert forged not in data
        assert others + MESSAGE in data


async def test_p_reject_with_other_evidence_is_refused(make: Make) -> None:
    async with server(make, policy=REJECT) as rig:
        client = await connect(rig, ROBBER, "mail.robber.example")
        said = await client.deliver(MESSAGE, SENDER)
        assert said.startswith("550-5.7.26 Not accepted: tea.example says that mail in its name")
        assert rig.services.tally.refusals == {"dmarc.reject": 1}


@pytest.mark.parametrize(
    ("sender", "extra", "policy"),
    [
        ("bounce@robber.example", b"", REJECT),  # a forwarder with an envelope of its own
        (SENDER, b"", "v=DMARC1; p=quarantine"),
    ],
    ids=["no-evidence", "quarantine"],
)
async def test_what_might_be_no_forgery_goes_to_junk(
    make: Make, sender: str, extra: bytes, policy: str
) -> None:
    async with server(make, policy=policy) as rig:
        rig.resolver.add("robber.example", "MX", "10 mail.robber.example")
        rig.rules.treat("spf.fail", Treatment.NOTE)  # it would put all of these into Junk
        client = await connect(rig, ROBBER, "mail.robber.example")
        assert (await client.deliver(extra + MESSAGE, sender)).startswith("250")
        (delivery,) = rig.accepted[0].deliveries
        assert (delivery.is_junk, delivery.state) == (True, DeliveryState.FRESH)
        because = rig.accepted[0].conversation.because
        assert because is not None
        assert because.check == "dmarc.quarantine"
        assert by_method(content(rig))["dmarc"] == "fail"


LIST = Signer("lists.example", "jan", ed25519_key())


@pytest.mark.parametrize("added", [b"", b"PS\r\n"], ids=["sealed", "changed-after"])
async def test_a_chain_that_a_believed_sealer_closed_makes_junk_of_a_refusal(
    make: Make, monkeypatch: pytest.MonkeyPatch, added: bytes
) -> None:
    believed = Believed(frozenset({"lists.example"}))
    believing = functools.partial(PolicySettings, believed=believed)
    monkeypatch.setattr("tests.reception.rig.PolicySettings", believing)
    async with server(make, policy=REJECT) as rig:
        for name, records in zone_of(LIST).items():
            assert isinstance(records, tuple)
            rig.resolver.add(name, "TXT", *records)
        rig.rules.treat("spf.fail", Treatment.NOTE)
        message = chain_of(MESSAGE, LIST, now=rig.clock.now())
        client = await connect(rig, ROBBER, "mail.robber.example")
        said = await client.deliver(message + added, SENDER)
        if added:
            assert said.startswith("550-5.7.26 ")
            return
        assert said.startswith("250")
        assert rig.accepted[0].deliveries[0].is_junk
        because = rig.accepted[0].conversation.because
        assert because is not None
        assert "lists.example, whom we believe, passed it on" in because.text


async def test_a_key_that_dns_did_not_tell_is_reported_so_and_holds_nothing_up(make: Make) -> None:
    async with server(make, policy=REJECT) as rig:
        rig.resolver.fail("jan._domainkey.tea.example", "TXT")
        client = await connect(rig)
        assert (await client.deliver(signed_now(rig, MESSAGE), SENDER)).startswith("250")
        assert by_method(content(rig))["dkim"] == "temperror"
        assert by_method(content(rig))["dmarc"] == "pass"  # SPF proves it


async def test_what_could_have_proven_the_author_makes_not_now_of_a_refusal(make: Make) -> None:
    async with server(make, policy=REJECT) as rig:
        rig.resolver.fail("jan._domainkey.tea.example", "TXT")
        client = await connect(rig, ROBBER, "mail.robber.example")
        said = await client.deliver(signed_now(rig, MESSAGE), SENDER)
        assert said.startswith("451-4.4.3 Not accepted now: whether tea.example is proven")


async def test_every_recipient_is_judged_by_the_whole_message(make: Make) -> None:
    async with server(make, policy=REJECT) as rig:
        rule(rig, Action.ALLOW, ROBBER)
        client = await connect(rig, ROBBER, "mail.robber.example")
        said = await client.deliver(MESSAGE, SENDER, WANG, "li@harbour.example")
        assert said.startswith("250")
        wang, li = rig.accepted[0].deliveries
        assert (wang.state, wang.is_junk) == (DeliveryState.FRESH, False)
        assert (li.state, li.held_for) == (DeliveryState.HELD, "dmarc.reject")


@pytest.mark.parametrize(("method", "name"), [("spf", "check_spf"), ("dkim", "check_dkim")])
async def test_where_a_method_is_not_known_at_all_dmarc_does_not_fail(
    make: Make, monkeypatch: pytest.MonkeyPatch, method: str, name: str
) -> None:
    async def broken(*_: object) -> Found:
        raise ZeroDivisionError(method)

    monkeypatch.setattr(f"postern.app.judging.{name}", broken)
    async with server(make, policy=REJECT) as rig:
        for check in ("spf.fail", "spf.softfail"):
            rig.rules.treat(check, Treatment.NOTE)
        client = await connect(rig, ROBBER, "mail.robber.example")
        assert (await client.deliver(MESSAGE, SENDER)).startswith(("250", "451"))
        assert not any(d.is_junk for message in rig.accepted for d in message.deliveries)
        assert "dmarc.reject" not in rig.services.tally.refusals


async def test_a_sender_that_is_proven_may_be_told_of_failures(make: Make) -> None:
    async with server(make) as rig:
        rig.resolver.add("elsewhere.example", "MX", "10 mail.tea.example")
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER)).startswith("250")
        assert (await client.deliver(MESSAGE, "ann@elsewhere.example")).startswith("250")
        origins = [message.origin for message in rig.accepted]
        assert origins == [Origin.OUTSIDE_PROVEN, Origin.OUTSIDE]


async def test_a_letter_check_that_is_given_up_still_gets_its_client_an_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def given_up(*_: object) -> Found:
        raise asyncio.CancelledError

    monkeypatch.setattr("postern.app.judging.check_dmarc", given_up)
    async with server(make) as rig:
        client = await connect(rig)
        assert (await client.deliver(MESSAGE, SENDER))[:3] in {"250", "451"}


async def test_a_client_that_leaves_while_its_message_is_read_left_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> Found:
        reading.set()
        await go_on.wait()
        return Found()

    monkeypatch.setattr("postern.app.judging.check_dmarc", slow)
    async with server(make) as rig:
        client = await connect(rig)
        await client.say(f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{WANG}>", "DATA")
        await client.send(MESSAGE + b".\r\n")
        await asyncio.wait_for(reading.wait(), 10)
        client.reset()
        await rig.wait_idle()
        go_on.set()
        await rig.wait_until(lambda: len(rig.told) == 1)
        assert rig.accepted == []
        assert rig.told[0].recipients[0].state == "discarded"


# --- where spf.fail refuses, it waits for DMARC ---------------------------------------------------


def refusing_spf(rig: Rig) -> None:
    rig.rules.treat("spf.fail", Treatment.REFUSE)
    rig.rules.treat("dmarc.reject", Treatment.NOTE)
    rig.rules.treat("dmarc.quarantine", Treatment.NOTE)


async def test_spf_fail_refuses_at_rcpt_where_no_dmarc_is_published(make: Make) -> None:
    async with server(make) as rig:
        refusing_spf(rig)
        client = await connect(rig, ROBBER, "mail.robber.example")
        said = await client.say(f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{WANG}>")
        assert said.startswith("550-5.7.23 Not accepted: tea.example does not let")


async def test_spf_fail_waits_for_the_message_where_dmarc_is_published(make: Make) -> None:
    async with server(make, policy="v=DMARC1; p=none") as rig:
        refusing_spf(rig)
        client = await connect(rig, ROBBER, "mail.robber.example")
        said = await client.deliver(MESSAGE, SENDER)
        assert said.startswith("550-5.7.23 Not accepted: tea.example does not let")


async def test_spf_fail_is_only_noted_where_dmarc_proves_the_author(make: Make) -> None:
    async with server(make, policy=REJECT) as rig:
        refusing_spf(rig)
        client = await connect(rig, ROBBER, "mail.robber.example")
        assert (await client.deliver(signed_now(rig, MESSAGE), SENDER)).startswith("250")
        told = rig.accepted[0].conversation
        noted = [s.text for s in told.steps if (s.step, s.result) == ("spf.fail", "note")]
        assert any("but DMARC proves the author all the same" in text for text in noted)


async def test_an_author_of_another_domain_does_not_excuse_a_forged_envelope(make: Make) -> None:
    async with server(make, policy=REJECT) as rig:
        refusing_spf(rig)
        rig.resolver.add("victim.example", "MX", "10 mail.tea.example")
        rig.resolver.add("victim.example", "TXT", "v=spf1 -all")
        rig.resolver.add("_dmarc.victim.example", "TXT", REJECT)
        client = await connect(rig, ROBBER, "mail.robber.example")
        said = await client.deliver(signed_now(rig, MESSAGE), "ann@victim.example")
        assert said.startswith("550-5.7.23 Not accepted: victim.example does not let")


async def test_spf_fail_waits_where_dns_did_not_tell_of_dmarc(make: Make) -> None:
    async with server(make) as rig:
        refusing_spf(rig)
        rig.resolver.fail("_dmarc.tea.example", "TXT")
        client = await connect(rig, ROBBER, "mail.robber.example")
        said = await client.say(f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{WANG}>")
        assert said.startswith("250")
