import re
from dataclasses import replace

import pytest
from tests.mail.dkim.stand import (
    MESSAGE,
    NOW,
    body_of,
    ed25519_key,
    hashed,
    only,
    rsa_key,
    signed,
    verified,
    zone_of,
)

from postern.mail.dkim.body import BodyForm, BodyHasher
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.result import Cause, DkimResult
from postern.mail.dkim.sign import OVERSIGNED, SIGNED, Signer, sign_all
from postern.mail.dkim.signature import read_signature
from postern.mail.message.header import MAX_HEADER_BYTES

RSA = Signer("tea.example", "jan", rsa_key())
ED = Signer("tea.example", "feb", ed25519_key())
ZONE = zone_of(RSA, ED)


def field(signer: Signer, message: bytes = MESSAGE) -> bytes:
    return signed(message, signer).removesuffix(message)


def test_the_field_is_one_whole_folded_field() -> None:
    for signer in (RSA, ED, replace(RSA, selector="a" * 60, domain="b" * 60 + ".example")):
        made = field(signer)
        assert made.startswith(b"DKIM-Signature: v=1; a=")
        assert re.fullmatch(rb"[ -~]+(?:\r\n\t[ -~]+)*\r\n", made)
        assert max(len(line) for line in made.split(b"\r\n")) <= 78
        fields = HeaderFields(made + MESSAGE)
        assert fields.count(b"dkim-signature") == 1
        assert read_signature(fields.value(0)).flaw is None


def test_it_says_what_the_signer_is_set_to() -> None:
    signature = read_signature(HeaderFields(field(RSA)).value(0))
    assert (signature.algorithm, signature.domain, signature.selector) == (
        "rsa-sha256", "tea.example", "jan",
    )  # fmt: skip
    assert (signature.header_canon, signature.form) == (Canon.RELAXED, BodyForm(Canon.RELAXED))
    assert (signature.signed_at, signature.expires_at) == (int(NOW), None)
    assert signature.identity == "@tea.example"
    made = field(replace(RSA, lifetime_s=86_400, identity="leaf@green.tea.example"))
    signature = read_signature(HeaderFields(made).value(0))
    assert signature.expires_at == int(NOW) + 86_400
    assert signature.identity == "leaf@green.tea.example"


def test_what_readers_act_on_is_signed_once_more_than_it_stands() -> None:
    message = (
        b"Reply-To: a@b.example\r\nReply-To: c@d.example\r\nList-Id: <l.example>\r\n" + MESSAGE
    )
    names = read_signature(HeaderFields(field(RSA, message)).value(0)).names
    assert names.count(b"from") == 2
    assert names.count(b"reply-to") == 3
    assert names.count(b"cc") == 1
    assert names.count(b"list-id") == 1
    assert names.count(b"list-unsubscribe") == 0
    assert names.count(b"received") == 0
    assert {name.lower() for name in OVERSIGNED} <= set(names)


def test_a_field_that_stands_absurdly_often_does_not_make_the_list_endless() -> None:
    message = b"To: a@b.example\r\n" * 400 + MESSAGE
    assert len(field(RSA, message)) < 2000
    assert only(signed(message, RSA), ZONE).result is DkimResult.PASS


@pytest.mark.parametrize("header_canon", list(Canon))
@pytest.mark.parametrize("body_canon", list(Canon))
@pytest.mark.parametrize("signer", [RSA, ED], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("body", [b"", b"\r\n", b"x", body_of(MESSAGE)])
def test_what_we_sign_verifies(
    signer: Signer, header_canon: Canon, body_canon: Canon, body: bytes
) -> None:
    signer = replace(signer, header_canon=header_canon, body_canon=body_canon)
    message = MESSAGE.removesuffix(body_of(MESSAGE)) + body
    assert only(signed(message, signer), ZONE).result is DkimResult.PASS


def test_several_signers_share_one_hash_and_leave_each_other_alone() -> None:
    message = signed(MESSAGE, RSA, ED)
    assert [r.result for r in verified(message, ZONE).results] == [DkimResult.PASS] * 2
    without_first = message[message.index(b"DKIM-Signature:", 1) :]
    assert only(without_first, ZONE).algorithm == "ed25519-sha256"
    hasher = BodyHasher({RSA.form, ED.form})
    hasher.feed(body_of(MESSAGE))
    hashes, fields = hasher.finish(), HeaderFields(MESSAGE)
    one_by_one = RSA.sign(fields, hashes, NOW) + ED.sign(fields, hashes, NOW)
    assert sign_all([RSA, ED], fields, hashes, NOW) == one_by_one
    assert sign_all([], fields, hashes, NOW) == b""


def test_a_signed_message_may_gain_trace_fields_and_lose_none_it_named() -> None:
    message = signed(b"List-Id: <l.example>\r\n" + MESSAGE, RSA)
    assert only(b"Received: x\r\n" + message, ZONE).result is DkimResult.PASS
    for added in (b"From: x@y.example\r\n", b"Subject: x\r\n", b"Content-Type: text/html\r\n"):
        assert only(added + message, ZONE).cause is Cause.SIGNATURE_WRONG
    for name in (b"List-Id:", b"Date:", b"MIME-Version:"):
        lost = message.replace(name, b"X-" + name)
        assert only(lost, ZONE).cause is Cause.SIGNATURE_WRONG


def test_a_header_too_long_to_be_looked_at_is_not_signed() -> None:
    message = b"X: " + b"x" * MAX_HEADER_BYTES + b"\r\n" + MESSAGE
    assert signed(message, RSA) == message


def test_the_list_of_fields_can_be_set() -> None:
    signer = replace(RSA, oversigned=(), signed=(b"FROM", b"X-Own"))
    message = b"X-Own: 1\r\nX-Own: 2\r\n" + MESSAGE
    names = read_signature(HeaderFields(field(signer, message)).value(0)).names
    assert names == (b"from", b"x-own", b"x-own")
    changed = signed(message, signer).replace(b"Subject:", b"Subject: x")
    assert only(changed, ZONE).result is DkimResult.PASS


@pytest.mark.parametrize(
    ("domain", "selector", "identity"),
    [
        ("tea.example\r\nBcc: x", "jan", ""),
        ("", "jan", ""),
        ("tea.example", "a;b", ""),
        ("tea.example", "ü", ""),
        ("tea.example", "jan", "x@other.example"),
        ("tea.example", "jan", "x@steatea.example"),
        ("tea.example", "jan", "tea.example"),
        ("tea.example", "jan", "a b@tea.example"),
        ("tea.example", "jan", "a=b@tea.example"),
    ],
)
def test_no_name_can_break_out_of_the_field(domain: str, selector: str, identity: str) -> None:
    with pytest.raises(ValueError, match=r"name|identity"):
        Signer(domain, selector, ED.key, identity=identity)


@pytest.mark.parametrize(
    ("oversigned", "signed_too"),
    [((b"From:",), ()), ((b"From",), (b"",)), ((b"To",), (b"Subject",)), ((), ())],
)
def test_a_list_of_fields_without_from_or_of_no_names_is_refused(
    oversigned: tuple[bytes, ...], signed_too: tuple[bytes, ...]
) -> None:
    with pytest.raises(ValueError, match="fields to sign"):
        replace(RSA, oversigned=oversigned, signed=signed_too)


def test_the_lists_of_fields_have_no_name_twice() -> None:
    names = [name.lower() for name in OVERSIGNED + SIGNED]
    assert len(set(names)) == len(names)


def test_a_key_is_parsed_once_and_signing_is_its_own_hash_only() -> None:
    hashes = hashed(body_of(MESSAGE), {RSA.form})
    fields = HeaderFields(MESSAGE)
    assert RSA.sign(fields, hashes, NOW) == RSA.sign(fields, hashes, NOW)
    assert RSA.sign(fields, hashes, NOW) != RSA.sign(fields, hashes, NOW + 1)
