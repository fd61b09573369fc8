import re
from dataclasses import replace

import pytest
from tests.mail.arc.stand import PAYLOAD, chain_of, sealed, sealing, validated
from tests.mail.dkim.stand import MESSAGE, ed25519_key, rsa_key, signed, verified, zone_of

from postern.mail.arc.chain import MAX_SETS, Chain, read_chain
from postern.mail.arc.report import ArcResult
from postern.mail.arc.seal import MAX_PAYLOAD_OCTETS, SealFlaw, arc_signer
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.result import DkimResult
from postern.mail.dkim.sign import Signer
from postern.mail.message.header import MAX_HEADER_BYTES

RSA = arc_signer("list.example", "jan", rsa_key())
ED = arc_signer("tea.example", "feb", ed25519_key())
ZONE = zone_of(RSA, ED)


@pytest.mark.parametrize("signer", [RSA, ED], ids=["rsa", "ed25519"])
def test_a_set_is_three_whole_folded_fields(signer: Signer) -> None:
    made = sealed(MESSAGE, signer, "none").removesuffix(MESSAGE)
    assert re.fullmatch(rb"(?:ARC-[ -~]+(?:\r\n\t[ -~]+)*\r\n){3}", made)
    assert max(len(line) for line in made.split(b"\r\n")) <= 78
    assert re.findall(rb"(?m)^ARC[^:]+: i=1;", made) == [
        b"ARC-Seal: i=1;",
        b"ARC-Message-Signature: i=1;",
        b"ARC-Authentication-Results: i=1;",
    ]
    assert b" v=" not in made


def test_the_message_signature_covers_dkim_signatures_and_no_trace() -> None:
    message = signed(MESSAGE, Signer("leaf.example", "x", ED.key))
    chain = read_chain(HeaderFields(sealed(message, ED, "none")))
    assert isinstance(chain, Chain)
    names = chain.sets[0].message.names
    assert b"dkim-signature" in names
    assert not {b"received", b"authentication-results", b"arc-seal"}.intersection(names)


def test_sealing_leaves_dkim_alone() -> None:
    author = Signer("leaf.example", "x", ED.key)
    message = chain_of(signed(MESSAGE, author), RSA, ED)
    assert verified(message, zone_of(author)).results[0].result is DkimResult.PASS
    assert validated(message, ZONE).result is ArcResult.PASS


def test_a_broken_chain_is_sealed_without_what_went_before() -> None:
    broken = chain_of(MESSAGE, RSA).replace(b"Subject:", b"Subject: x")
    message = sealed(broken, ED, "fail")
    # Whoever takes the older set away changes nothing for the seal: it covers itself only.
    assert validated(message, ZONE).text == "set 2 by tea.example found the chain broken already"
    assert isinstance(sealing(message, RSA, "fail"), SealFlaw)


def test_fields_that_are_no_chain_can_be_sealed_as_broken_only() -> None:
    message = b"ARC-Seal: i=4\r\n" + MESSAGE
    assert isinstance(sealing(message, ED, "pass"), SealFlaw)
    made = sealing(message, ED, "fail")
    assert isinstance(made, bytes)
    assert made.startswith(b"ARC-Seal: i=5; a=ed25519-sha256; cv=fail;")
    assert validated(made + message, ZONE).result is ArcResult.FAIL


@pytest.mark.parametrize(
    ("message", "cv", "text"),
    [
        (MESSAGE, "pass", "the message's chain is not one of which pass can be said"),
        (MESSAGE, "fail", "the message's chain is not one of which fail can be said"),
        (MESSAGE, "temperror", "it is not known whether the chain so far is whole"),
        (chain_of(MESSAGE, ED), "none", "the message's chain is not one of which none can be said"),
        (
            sealed(chain_of(MESSAGE, ED), RSA, "fail"),
            "fail",
            "the chain was found broken by the last who sealed it, and ends there",
        ),
    ],
)
def test_no_seal_says_what_cannot_be(message: bytes, cv: str, text: str) -> None:
    assert sealing(message, ED, cv) == SealFlaw(text)


def test_a_chain_ends_with_fifty_sets() -> None:
    message = chain_of(MESSAGE, *([ED] * MAX_SETS))
    assert sealing(message, ED, "pass") == SealFlaw("the chain has 50 sets already")


@pytest.mark.parametrize(
    "payload",
    [
        b"mx.tea.example;\r\n\tspf=pass smtp.mailfrom=leaf.example;\r\n  dkim=none\r\n",
        b" mx.tea.example; none",
        b'mx.tea.example; dkim=pass reason="a; b" header.d=x',
        'mx.tea.example; spf=fail reason="ü"'.encode(),
        b"mx.tea.example;;;",
        b"x" * 200 + b"; spf=pass",
    ],
)
def test_results_are_taken_folded_or_not(payload: bytes) -> None:
    message = sealed(MESSAGE, ED, "none", payload)
    report = validated(message, ZONE)
    assert report.result is ArcResult.PASS
    words = b"".join(payload.rstrip(b"; \r\n").split())
    assert b"".join(report.sealers[0].payload.split()).rstrip(b";") == words


@pytest.mark.parametrize(
    "payload",
    [b"", b" \r\n", b"mx.example\r\nBcc: x", b"mx.example\nBcc: x", b"mx\rx", b"\x00", b"a\r\n",
     b"x" * (MAX_PAYLOAD_OCTETS + 1)],
)  # fmt: skip
def test_nothing_can_break_out_of_the_results(payload: bytes) -> None:
    made = sealing(MESSAGE, ED, "none", payload)
    if payload == b"a\r\n":
        assert isinstance(made, bytes)
    else:
        assert isinstance(made, SealFlaw)


def test_a_header_too_long_to_be_looked_at_is_not_sealed() -> None:
    message = b"X: " + b"x" * MAX_HEADER_BYTES + b"\r\n" + MESSAGE
    assert sealing(message, ED, "none") == SealFlaw("the header is too long to be looked at")


def test_a_signer_that_covers_seals_or_trace_is_refused() -> None:
    for name in (b"ARC-Seal", b"Authentication-Results", b"Received"):
        assert isinstance(sealing(MESSAGE, replace(ED, signed=(name,)), "none"), SealFlaw)


def test_the_payload_given_is_the_payload_read() -> None:
    report = validated(sealed(MESSAGE, ED, "none"), ZONE)
    assert b" ".join(report.sealers[0].payload.split()) == PAYLOAD
