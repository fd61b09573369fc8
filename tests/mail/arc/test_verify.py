from dataclasses import replace

import pytest
from tests.mail.arc.stand import PAYLOAD, chain_of, sealed, validated
from tests.mail.dkim.stand import (
    MESSAGE,
    NOW,
    Zone,
    answered,
    body_of,
    ed25519_key,
    hashed,
    rsa_key,
    zone_of,
)

from postern.mail.arc.chain import MAX_SETS
from postern.mail.arc.report import ArcReport, ArcResult
from postern.mail.arc.seal import arc_signer
from postern.mail.arc.verify import judge_arc, plan_arc
from postern.mail.dkim.body import BodyForm
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields, emptied_field
from postern.mail.dkim.result import Cause
from postern.mail.dkim.verify import Keys, ask_for_keys
from postern.mail.dns import Question, Status

RSA = arc_signer("list.example", "jan", rsa_key())
ED = arc_signer("tea.example", "feb", ed25519_key())
GATE = arc_signer("gate.example", "mar", ed25519_key(1))
ZONE = zone_of(RSA, ED, GATE)
CHAIN = chain_of(MESSAGE, RSA, ED, GATE)
AT = {signer.domain: f"{signer.selector}._domainkey.{signer.domain}" for signer in (RSA, ED, GATE)}


def test_a_message_without_a_chain_asks_nothing() -> None:
    plan = plan_arc(HeaderFields(MESSAGE), NOW)
    assert (plan.questions, plan.forms) == ((), frozenset())
    report = validated(MESSAGE, {})
    assert report == ArcReport(ArcResult.NONE, "the message has no ARC chain")
    assert report.cv == "none"


@pytest.mark.parametrize("step", [0, 1, 5])
def test_a_whole_chain_passes_and_tells_who_sealed_what(step: int) -> None:
    report = validated(CHAIN, ZONE, step=step)
    assert report.result is ArcResult.PASS
    assert report.text == "the chain is whole, last sealed by gate.example"
    assert (report.instance, report.oldest_pass, report.cv) == (3, 0, "pass")
    assert [(s.instance, s.domain, s.selector, s.cv) for s in report.sealers] == [
        (1, "list.example", "jan", "none"),
        (2, "tea.example", "feb", "pass"),
        (3, "gate.example", "mar", "pass"),
    ]
    assert {b"".join(s.payload.split()) for s in report.sealers} == {b"".join(PAYLOAD.split())}


def test_all_keys_are_asked_for_at_once_and_each_once() -> None:
    plan = plan_arc(HeaderFields(chain_of(MESSAGE, RSA, RSA, ED)), NOW)
    assert set(plan.questions) == {
        Question(AT["list.example"], "TXT"),
        Question(AT["tea.example"], "TXT"),
    }
    assert plan.forms == {BodyForm(Canon.RELAXED)}


def test_keys_can_be_asked_for_while_the_body_comes_in() -> None:
    plan = plan_arc(HeaderFields(CHAIN), NOW)
    keys = answered(ask_for_keys(plan.questions), ZONE)
    hashes = hashed(body_of(CHAIN), plan.forms)
    assert judge_arc(plan, keys, hashes).result is ArcResult.PASS
    assert judge_arc(plan, Keys({}), hashes).result is ArcResult.TEMPERROR


def test_what_a_sealer_changed_is_known_by_the_oldest_that_still_passes() -> None:
    message = (
        chain_of(MESSAGE, RSA, ED).replace(b"\nSubject:", b"\nSubject: [list]") + b"footer\r\n"
    )
    report = validated(message, ZONE)
    assert (report.result, report.instance) == (ArcResult.FAIL, 2)
    assert report.text.startswith("the message signature of set 2 by tea.example does not pass: ")
    assert report.signature is not None
    assert report.signature.cause is Cause.SIGNATURE_WRONG
    resealed = sealed(message, GATE, "pass")
    report = validated(resealed, ZONE)
    assert (report.result, report.oldest_pass) == (ArcResult.PASS, 3)
    first = chain_of(MESSAGE, RSA) + b"footer\r\n"
    report = validated(sealed(sealed(first, ED, "pass"), GATE, "pass"), ZONE)
    assert (report.result, report.oldest_pass) == (ArcResult.PASS, 2)


def test_a_changed_body_fails_the_newest_message_signature() -> None:
    report = validated(CHAIN + b"footer", ZONE)
    assert (report.result, report.instance) == (ArcResult.FAIL, 3)
    assert report.signature is not None
    assert report.signature.cause is Cause.BODY_CHANGED
    assert [s.domain for s in report.sealers] == ["list.example", "tea.example", "gate.example"]


@pytest.mark.parametrize("instance", [1, 2])
def test_a_changed_older_set_breaks_every_seal_above_it(instance: int) -> None:
    results = b"ARC-Authentication-Results: i=%d; mx" % instance
    assert CHAIN.count(results) == 1
    report = validated(CHAIN.replace(results, results + b"x"), ZONE)
    assert (report.result, report.instance) == (ArcResult.FAIL, 3)
    assert report.text.startswith("the seal of set 3 by gate.example does not pass: ")


def test_seals_cover_their_sets_relaxed_and_in_order_of_their_numbers() -> None:
    first, second = chain_of(MESSAGE, RSA), CHAIN.removesuffix(chain_of(MESSAGE, RSA))
    moved = first.removesuffix(MESSAGE) + second + MESSAGE
    assert validated(moved, ZONE).result is ArcResult.PASS
    spaced = CHAIN.replace(b"; spf=pass", b";\r\n \tspf=pass").replace(b"ARC-Seal:", b"arc-seal  :")
    assert validated(spaced, ZONE).result is ArcResult.PASS


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
@pytest.mark.parametrize("domain", AT)
def test_what_dns_did_not_tell_is_never_a_fail(status: Status, domain: str) -> None:
    report = validated(CHAIN, {**ZONE, AT[domain]: status})
    assert report.result is ArcResult.TEMPERROR
    assert report.text == f"the chain could not be validated: DNS did not tell the key {AT[domain]}"
    assert report.cv is None
    assert report.oldest_pass is None


def test_a_sure_fail_counts_though_something_else_was_not_told() -> None:
    zone: Zone = {**ZONE, AT["gate.example"]: Status.TIMEOUT, AT["list.example"]: Status.NO_NAME}
    report = validated(CHAIN, zone)
    assert (report.result, report.instance) == (ArcResult.FAIL, 1)


def test_an_older_key_not_told_leaves_only_the_oldest_pass_unknown() -> None:
    """Where one set's message signature and seal are by different keys."""
    sealer = replace(RSA, selector="apr")
    hashes = hashed(body_of(MESSAGE), {sealer.form})
    signature = sealer.sign_as(
        b"ARC-Message-Signature", [b" i=1;"], HeaderFields(MESSAGE), hashes, NOW
    )
    results = b"ARC-Authentication-Results: i=1; mx.example; none\r\n"
    own = HeaderFields(results + signature)
    opening = b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=list.example; s=jan; b="
    octets = own.canonical(0, Canon.RELAXED) + own.canonical(1, Canon.RELAXED)
    made = RSA.seal(opening, octets + emptied_field(opening, Canon.RELAXED))
    message = sealed(made + signature + results + MESSAGE, GATE, "pass")
    zone: Zone = {**ZONE, **zone_of(sealer)}
    assert validated(message, zone).oldest_pass == 0
    report = validated(message, {**zone, "apr._domainkey.list.example": Status.TIMEOUT})
    assert (report.result, report.oldest_pass) == (ArcResult.PASS, None)
    report = validated(message, ZONE)
    assert (report.result, report.oldest_pass) == (ArcResult.PASS, 2)


@pytest.mark.parametrize("status", [Status.NO_NAME, Status.NO_DATA])
def test_a_key_that_is_gone_breaks_the_chain(status: Status) -> None:
    report = validated(CHAIN, {**ZONE, AT["list.example"]: status})
    assert (report.result, report.instance, report.cv) == (ArcResult.FAIL, 1, "fail")
    assert report.text.startswith(
        "the seal of set 1 by list.example does not pass: there is no key"
    )


def test_a_chain_that_was_found_broken_stays_broken() -> None:
    message = sealed(chain_of(MESSAGE, RSA) + b"footer\r\n", ED, "fail")
    report = validated(message, ZONE)
    assert (report.result, report.instance) == (ArcResult.FAIL, 2)
    assert report.text == "set 2 by tea.example found the chain broken already"
    assert plan_arc(HeaderFields(message), NOW).questions == ()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            b"cv=none",
            b"cv=pass",
            "the seal of set 1 by list.example says cv=pass where only none fits",
        ),
        (
            b"cv=pass",
            b"cv=none",
            "the seal of set 3 by gate.example says cv=none where only pass fits",
        ),
        (b"cv=none", b"cv=x", "the seal's cv= is neither none, pass nor fail"),
        (b"cv=none; ", b"", "the signature has no cv="),
        (
            b"a=rsa-sha256",
            b"a=rsa-sha1",
            "the signature uses rsa-sha1, which is not accepted any more",
        ),
    ],
)
def test_seals_that_do_not_fit_need_no_dns(old: bytes, new: bytes, text: str) -> None:
    message = CHAIN.replace(old, new)
    report = validated(message, ZONE)
    assert report.result is ArcResult.FAIL
    assert report.text.endswith(text)
    assert plan_arc(HeaderFields(message), NOW).questions == ()


def test_a_message_signature_counts_only_in_its_time() -> None:
    early = validated(CHAIN, ZONE, now=NOW - 10_000)
    assert (early.result, early.instance) == (ArcResult.FAIL, 3)
    assert early.signature is not None
    assert early.signature.cause is Cause.FROM_THE_FUTURE


def test_a_chain_of_fifty_passes() -> None:
    signers = [
        arc_signer(f"hop{nth % 7}.example", "jan", ed25519_key(nth % 7)) for nth in range(MAX_SETS)
    ]
    message = chain_of(MESSAGE, *signers)
    report = validated(message, zone_of(*signers))
    assert (report.result, report.instance, report.oldest_pass) == (ArcResult.PASS, 50, 0)
    assert len(report.sealers) == 50
    assert len(plan_arc(HeaderFields(message), NOW).questions) == 7
