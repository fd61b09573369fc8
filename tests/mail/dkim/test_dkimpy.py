"""dkimpy as an oracle: what it signs we verify, what we sign it verifies.

Its messages have CR LF line ends only, as it takes a bare LF for a line end and we do not.
"""

import random
from base64 import b64encode
from dataclasses import replace

import dkim  # type: ignore[import-untyped]  # it has no types
import pytest
from tests.mail.dkim.stand import (
    MESSAGE,
    Zone,
    body_of,
    ed25519_key,
    only,
    pem,
    rsa_key,
    seed,
    signed,
    signed_by_hand,
    verified,
    zone_of,
)

from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.private import PrivateKey
from postern.mail.dkim.result import Cause, DkimResult
from postern.mail.dkim.sign import Signer

NOW = 1_700_000_000.0  # it reads the clock, so that this must be in its past
RSA = Signer("tea.example", "jan", rsa_key())
ED = Signer("tea.example", "feb", ed25519_key())
ZONE = zone_of(RSA, ED)
HEAD = MESSAGE.removesuffix(body_of(MESSAGE))
BODIES = [
    body_of(MESSAGE),
    b"x",
    b"a\r\n\r\nb\r\n \r\n",
    b"\r\n\r\nbegins with nothing\r\n",
    b" \t x \t \t y\t\r\n\t\r\n\r\n",
    "ünïcödé 茶\r\n".encode(),
]
both_signers = pytest.mark.parametrize("signer", [RSA, ED], ids=["rsa", "ed25519"])
all_canons = pytest.mark.parametrize(
    ("header_canon", "body_canon"), [(header, body) for header in Canon for body in Canon]
)


def theirs_says(message: bytes, zone: Zone) -> bool:
    """What dkimpy thinks of the topmost signature."""

    def lookup(name: bytes | str, timeout: float = 5) -> bytes | None:
        del timeout
        text = name.decode() if isinstance(name, bytes) else name
        found = zone.get(text.rstrip("."))
        return found[0].encode() if isinstance(found, tuple) else None

    return bool(dkim.DKIM(message).verify(dnsfunc=lookup))


def signed_by_theirs(
    message: bytes, signer: Signer, headers: list[bytes] | None = None, *, length: bool = False
) -> bytes:
    key: PrivateKey = signer.key
    private = pem(key) if key.kind == "rsa" else b64encode(seed(key))
    signature = dkim.DKIM(message).sign(
        signer.selector.encode(),
        signer.domain.encode(),
        private,
        signature_algorithm=key.algorithm.encode(),
        canonicalize=(signer.header_canon.value.encode(), signer.body_canon.value.encode()),
        include_headers=headers,
        length=length,
    )
    assert isinstance(signature, bytes)
    return signature + message


@both_signers
@all_canons
@pytest.mark.parametrize("body", BODIES)
def test_it_verifies_what_we_sign(
    signer: Signer, header_canon: Canon, body_canon: Canon, body: bytes
) -> None:
    signer = replace(signer, header_canon=header_canon, body_canon=body_canon)
    message = signed(HEAD + body, signer, now=NOW)
    assert theirs_says(message, ZONE)
    assert not theirs_says(message.replace(b"From: Tea", b"From: Bad"), ZONE)


@both_signers
@all_canons
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("length", [False, True])
def test_we_verify_what_it_signs(
    signer: Signer, header_canon: Canon, body_canon: Canon, body: bytes, *, length: bool
) -> None:
    signer = replace(signer, header_canon=header_canon, body_canon=body_canon)
    message = signed_by_theirs(HEAD + body, signer, length=length)
    for step in (0, 1, 2, 7):
        (result,) = verified(message, ZONE, step=step).results
        assert result.result is DkimResult.PASS, step
    longer = only(message + b"\r\nadded\r\n", ZONE)
    if length:
        assert longer.result is DkimResult.PASS
        assert longer.covers is not None
    else:
        assert longer.cause is Cause.BODY_CHANGED


def random_message(chance: random.Random) -> bytes:
    """Fields in odd foldings and a body of odd lines, all ended by CR LF."""
    blanks = [b" ", b"  ", b"\t", b"\r\n ", b"\r\n\t \t", b" \r\n "]
    words = [b"tea", b"a:b", b";", b"=", "茶".encode(), b'"x"']

    def text() -> bytes:
        mixed = chance.choices(words + blanks, k=chance.randrange(12))
        return chance.choice([b"", b" ", b"  "]) + b"x" + b"".join(mixed) + b"y"

    names = [b"From", b"to", b"SUBJECT", b"Subject", b"Date", b"X-Y", b"From"]
    fields = [name + b":" + text() for name in chance.choices(names, k=9)] + [b"From: a@b.example"]
    chance.shuffle(fields)
    pieces = [b"\r\n", b"\r\n", b" ", b"\t", b"  ", b"a", b"b c", b".", b"=\r\n"]
    body = b"".join(chance.choices(pieces, k=chance.randrange(30))) + b"end\r\n"
    return b"\r\n".join(fields) + b"\r\n\r\n" + body + b"\r\n" * chance.randrange(3)


def test_random_messages_are_verified_both_ways() -> None:
    chance = random.Random(8463)
    for _ in range(150):
        message = random_message(chance)
        signer = replace(
            ED, header_canon=chance.choice(list(Canon)), body_canon=chance.choice(list(Canon))
        )
        ours = signed(message, signer, now=NOW)
        assert theirs_says(ours, ZONE), ours
        names = [*chance.choices([b"from", b"to", b"subject", b"x-y", b"date"], k=6), b"from"]
        theirs = signed_by_theirs(message, signer, names)
        result = only(theirs, ZONE)
        assert result.result is DkimResult.PASS, theirs


def test_an_empty_body_is_hashed_as_it_hashes_it() -> None:
    for canon in Canon:
        signer = replace(ED, body_canon=canon)
        assert only(signed_by_theirs(HEAD, signer), ZONE).result is DkimResult.PASS
        assert theirs_says(signed(HEAD, signer, now=NOW), ZONE)


def test_blanks_behind_the_signature_are_taken_out_with_it() -> None:
    """RFC 6376 §3.7: "all surrounding whitespace"; dkimpy leaves what is before a semicolon."""
    tags = "v=1; a=ed25519-sha256; c=%s; d=tea.example; s=feb; h=from; bh={bh}; b%s; t=1"
    for canon in ("simple", "relaxed"):
        for between, agrees in (("={b}", True), (" =\t{b}", True), ("={b} ", False)):
            message = signed_by_hand(MESSAGE, ED.key, tags % (canon, between))
            assert only(message, ZONE).result is DkimResult.PASS
            assert theirs_says(message, ZONE) is agrees
