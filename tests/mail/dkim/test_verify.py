import pytest
from tests.mail.dkim.stand import (
    MESSAGE,
    NOW,
    Zone,
    answered,
    body_of,
    ed25519_key,
    filled,
    hashed,
    only,
    rsa_key,
    signed,
    signed_by_hand,
    verified,
    zone_of,
)
from tests.mail.dkim.test_key import SMALL

from postern.mail.dkim.body import BodyForm
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.record import record_text
from postern.mail.dkim.result import Cause, DkimReport, DkimResult
from postern.mail.dkim.sign import Signer
from postern.mail.dkim.verify import (
    MAX_SIGNATURES,
    SKEW_S,
    Keys,
    ask_for_keys,
    judge_dkim,
    plan_dkim,
)
from postern.mail.dns import Question, Status
from postern.mail.message.header import MAX_HEADER_BYTES

RSA = Signer("tea.example", "jan", rsa_key(1024))
ED = Signer("tea.example", "feb", ed25519_key())
ZONE = zone_of(RSA, ED)
NAME = "jan._domainkey.tea.example"
TAGS = (
    "v=1; a=rsa-sha256; c=relaxed/relaxed; d=tea.example; s=jan; h=from:subject; bh={bh};%s b={b}"
)


def by_hand(extra: str = "", tags: str = TAGS, message: bytes = MESSAGE) -> bytes:
    return signed_by_hand(message, RSA.key, tags % extra)


def test_a_message_without_signatures_asks_nothing_and_hashes_nothing() -> None:
    plan = plan_dkim(HeaderFields(MESSAGE), NOW)
    assert plan.questions == ()
    assert plan.forms == frozenset()
    assert verified(MESSAGE, {}) == DkimReport(())


def test_a_good_signature_passes_and_tells_whose_it_is() -> None:
    result = only(signed(MESSAGE, RSA), ZONE)
    assert (result.result, result.cause) == (DkimResult.PASS, Cause.VERIFIED)
    assert result.text == "the message was signed by tea.example"
    assert (result.domain, result.identity, result.selector) == (
        "tea.example", "@tea.example", "jan",
    )  # fmt: skip
    assert (result.algorithm, result.key_bits) == ("rsa-sha256", 1024)
    assert result.question == Question(NAME, "TXT")
    assert result.covers is None
    assert not result.testing
    assert len(result.begins) == 8


def test_all_keys_are_asked_for_at_once_and_each_once() -> None:
    message = signed(MESSAGE, RSA, RSA, ED, Signer("leaf.example", "jan", RSA.key))
    plan = plan_dkim(HeaderFields(message), NOW)
    assert plan.questions == (
        Question(NAME, "TXT"),
        Question("feb._domainkey.tea.example", "TXT"),
        Question("jan._domainkey.leaf.example", "TXT"),
    )
    assert plan.forms == {BodyForm(Canon.RELAXED)}
    report = verified(message, ZONE)
    assert [r.result for r in report.results] == [
        DkimResult.PASS, DkimResult.PASS, DkimResult.PASS, DkimResult.PERMERROR,
    ]  # fmt: skip
    assert [r.selector for r in report.passed] == ["jan", "jan", "feb"]


def test_keys_can_be_asked_for_while_the_body_comes_in() -> None:
    message = signed(MESSAGE, RSA)
    plan = plan_dkim(HeaderFields(message), NOW)
    keys = answered(ask_for_keys(plan.questions), ZONE)
    report = judge_dkim(plan, keys, hashed(body_of(message), plan.forms))
    assert report.results[0].result is DkimResult.PASS
    nothing = judge_dkim(plan, Keys({}), hashed(body_of(message), plan.forms))
    assert nothing.results[0].result is DkimResult.TEMPERROR


def test_what_is_above_and_unnamed_may_change() -> None:
    message = b"Received: x\r\nX-Spam: no\r\n" + signed(MESSAGE, RSA)
    assert only(message, ZONE).result is DkimResult.PASS


def test_a_changed_body_is_told_from_a_changed_header() -> None:
    message = signed(MESSAGE, RSA)
    result = only(message + b"footer", ZONE)
    assert (result.result, result.cause) == (DkimResult.FAIL, Cause.BODY_CHANGED)
    assert result.text == (
        "the body was changed after it was signed; the signed header fields were not"
    )
    result = only(message.replace(b"Subject:", b"Subject: [list]"), ZONE)
    assert (result.result, result.cause) == (DkimResult.FAIL, Cause.SIGNATURE_WRONG)
    assert "does not match: signed header fields were changed" in result.text
    result = only(message.replace(b"Subject:", b"Subject: [list]") + b"footer", ZONE)
    assert (result.result, result.cause) == (DkimResult.FAIL, Cause.SIGNATURE_WRONG)
    assert "does not match: body and signed header fields were changed" in result.text


def test_another_domains_key_does_not_pass() -> None:
    zone: Zone = {NAME: (record_text(rsa_key(1024, 1)),)}
    result = only(signed(MESSAGE, RSA), zone)
    assert (result.result, result.cause) == (DkimResult.FAIL, Cause.SIGNATURE_WRONG)


def test_a_second_from_above_breaks_what_was_oversigned() -> None:
    message = b"From: bank@bank.example\r\n" + signed(MESSAGE, RSA)
    assert only(message, ZONE).cause is Cause.SIGNATURE_WRONG
    # Signed by one who names From once, the lower one counts, and the upper one is unsigned.
    message = b"From: bank@bank.example\r\n" + by_hand()
    assert only(message, ZONE).result is DkimResult.PASS


def test_a_field_named_and_missing_may_not_be_added() -> None:
    tags = TAGS.replace("from:subject", "from:cc:reply-to")
    assert only(by_hand(tags=tags), ZONE).result is DkimResult.PASS
    added = by_hand(tags=tags).replace(b"\r\nTo:", b"\r\nCc: x@leaf.example\r\nTo:")
    assert only(added, ZONE).cause is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize(
    ("status", "result", "cause"),
    [
        (Status.NO_NAME, DkimResult.PERMERROR, Cause.NO_KEY),
        (Status.NO_DATA, DkimResult.PERMERROR, Cause.NO_KEY),
        (Status.SERVER_FAILURE, DkimResult.TEMPERROR, Cause.KEY_NOT_TOLD),
        (Status.TIMEOUT, DkimResult.TEMPERROR, Cause.KEY_NOT_TOLD),
    ],
)
def test_no_key_is_told_from_no_answer(status: Status, result: DkimResult, cause: Cause) -> None:
    found = only(signed(MESSAGE, RSA), {NAME: status})
    assert (found.result, found.cause) == (result, cause)
    assert NAME in found.text
    assert found.question == Question(NAME, "TXT")
    assert found.domain == "tea.example"


@pytest.mark.parametrize(
    ("record", "result", "cause", "bits"),
    [
        ("v=spf1 -all", DkimResult.PERMERROR, Cause.KEY_MALFORMED, 0),
        ("", DkimResult.PERMERROR, Cause.KEY_MALFORMED, 0),
        ("v=DKIM1; p=", DkimResult.PERMERROR, Cause.KEY_REVOKED, 0),
        (record_text(ED.key), DkimResult.PERMERROR, Cause.KEY_NOT_FOR_THIS, 256),
        (f"v=DKIM1; p={SMALL}", DkimResult.POLICY, Cause.KEY_TOO_SMALL, 512),
    ],
)
def test_a_key_of_no_use(record: str, result: DkimResult, cause: Cause, bits: int) -> None:
    found = only(signed(MESSAGE, RSA), {NAME: (record,)})
    assert (found.result, found.cause, found.key_bits) == (result, cause, bits)


def test_one_good_record_among_others_is_enough() -> None:
    good, other = record_text(RSA.key), record_text(rsa_key(1024, 1))
    message = signed(MESSAGE, RSA)
    assert only(message, {NAME: ("v=spf1 -all", other, good)}).result is DkimResult.PASS
    assert only(message, {NAME: ("v=spf1 -all", other)}).cause is Cause.SIGNATURE_WRONG
    assert only(message, {NAME: (other, "v=spf1 -all")}).cause is Cause.SIGNATURE_WRONG
    assert only(message, {NAME: ("v=spf1 -all",) * 4 + (good,)}).cause is Cause.KEY_MALFORMED
    assert only(message, {NAME: ()}).cause is Cause.KEY_MALFORMED


def test_a_key_under_test_is_told() -> None:
    zone: Zone = {NAME: (record_text(RSA.key, testing=True),)}
    message = signed(MESSAGE, RSA)
    for found in (only(message, zone), only(message + b"x", zone)):
        assert found.testing


def test_subdomains_need_a_key_that_allows_them() -> None:
    message = by_hand(" i=@leaf.tea.example;")
    assert only(message, ZONE).result is DkimResult.PASS
    strict: Zone = {NAME: (record_text(RSA.key).replace("p=", "t=s; p="),)}
    assert only(message, strict).cause is Cause.KEY_NOT_FOR_THIS
    assert only(by_hand(" i=x@TEA.example;"), strict).result is DkimResult.PASS


def test_a_limit_is_honoured_and_told() -> None:
    length = hashed(body_of(MESSAGE), {RSA.form}).of(RSA.form).length
    result = only(by_hand(" l=10;") + b"and more\r\n", ZONE)
    assert result.result is DkimResult.PASS
    assert (result.covers, result.body_length) == (10, length + 8 + len(b"\r\n" * 4))
    assert result.text.endswith(", but only the first 10 of the 69 octets of its body")
    result = only(by_hand(f" l={length};"), ZONE)
    assert (result.result, result.covers) == (DkimResult.PASS, None)
    assert only(by_hand(" l=0;"), ZONE).covers == 0


def test_a_limit_beyond_the_body_is_a_permerror() -> None:
    cut = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\nDear\r\n"
    message = by_hand(" l=20;").replace(body_of(MESSAGE), body_of(cut))
    result = only(message, ZONE)
    assert (result.result, result.cause) == (DkimResult.PERMERROR, Cause.LIMIT_BEYOND_BODY)
    assert result.text == "the signature covers 20 octets, the body has 6"


def test_an_expired_signature_is_not_looked_at() -> None:
    message = by_hand(f" t={int(NOW)}; x={int(NOW) + 10};")
    assert only(message, ZONE, NOW + 10 + SKEW_S).result is DkimResult.PASS
    plan = plan_dkim(HeaderFields(message), NOW + 11 + SKEW_S)
    assert (plan.questions, plan.forms) == ((), frozenset())
    result = only(message, {}, NOW + 11 + SKEW_S)
    assert (result.result, result.cause) == (DkimResult.POLICY, Cause.EXPIRED)
    assert result.question is None
    assert only(message, ZONE, NOW - SKEW_S - 1).cause is Cause.FROM_THE_FUTURE


@pytest.mark.parametrize(
    ("tags", "result", "cause"),
    [
        (TAGS.replace("v=1", "v=2"), DkimResult.PERMERROR, Cause.VERSION),
        (TAGS.replace("sha256", "sha1"), DkimResult.PERMERROR, Cause.ALGORITHM_RETIRED),
        (TAGS.replace("from:subject", "to:subject"), DkimResult.PERMERROR, Cause.FROM_NOT_SIGNED),
        (TAGS.replace("d=tea.example", "d=tea.example;d=x"), DkimResult.PERMERROR, Cause.MALFORMED),
        (TAGS.replace("rsa-", "md5-"), DkimResult.NEUTRAL, Cause.NOT_UNDERSTOOD),
    ],
)
def test_flawed_signatures_are_told_without_asking_dns(
    tags: str, result: DkimResult, cause: Cause
) -> None:
    value = filled(tags % "", bytes(32), b"x")
    message = b"DKIM-Signature: " + value + b"\r\n" + signed(MESSAGE, RSA)
    flawed, good = verified(message, ZONE).results
    assert (flawed.result, flawed.cause, flawed.question) == (result, cause, None)
    assert good.result is DkimResult.PASS
    assert plan_dkim(HeaderFields(message), NOW).questions == (Question(NAME, "TXT"),)


def test_a_signature_may_cover_those_before_it() -> None:
    first = by_hand()
    tags = TAGS.replace("from:subject", "from:dkim-signature:dkim-signature")
    both = by_hand(tags=tags, message=first)
    assert [r.result for r in verified(both, ZONE).results] == [DkimResult.PASS] * 2
    changed = both.replace(b"; h=from:subject", b";\t  h=from:subject")  # a blank is a blank
    assert verified(changed, ZONE).results[0].result is DkimResult.PASS
    changed = both.replace(b"; h=from:subject", b"; H=from:subject")
    assert verified(changed, ZONE).results[0].cause is Cause.SIGNATURE_WRONG


def test_no_more_than_the_first_eight_are_looked_at() -> None:
    one = signed(MESSAGE, RSA).removesuffix(MESSAGE)
    message = one * (MAX_SIGNATURES + 3) + MESSAGE
    report = verified(message, ZONE)
    assert [r.result for r in report.results] == [DkimResult.PASS] * MAX_SIGNATURES
    assert report.not_looked_at == 3


def test_different_forms_of_the_body_are_hashed_together() -> None:
    message = MESSAGE
    for canons in ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed"):
        for extra in ("", " l=7;", " l=9;"):
            message = by_hand(extra, TAGS.replace("relaxed/relaxed", canons), message)
    plan = plan_dkim(HeaderFields(message), NOW)
    assert plan.not_looked_at == 4
    for step in (0, 1, 2, 5):
        report = verified(message, ZONE, step=step)
        assert [r.result for r in report.results] == [DkimResult.PASS] * MAX_SIGNATURES


def test_a_header_too_long_to_be_looked_at_has_no_results() -> None:
    message = b"X: " + b"x" * MAX_HEADER_BYTES + b"\r\n" + signed(MESSAGE, RSA)
    assert verified(message, ZONE) == DkimReport(())


def test_a_message_of_nothing_but_a_signature() -> None:
    assert verified(b"DKIM-Signature:", {}).results[0].cause is Cause.MALFORMED
    assert verified(b"DKIM-Signature: v=1", {}).results[0].cause is Cause.MALFORMED
