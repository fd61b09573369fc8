"""Invariant: whatever ARC fields, key records and body, validating raises nothing, takes bounded
time and says why in one line of text; nothing passes that was changed; and sealing, whatever the
results and the chain, makes three whole fields or says why not."""

import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.test_dkim import (
    BODIES,
    COMPLETE,
    CONTROL,
    MESSAGES,
    RECORDS,
    SECONDS_AT_MOST,
    TAG_LISTS,
    run_for,
    zone,
)
from tests.mail.arc.stand import chain_of, sealing, validated
from tests.mail.dkim.stand import MESSAGE, ed25519_key, rsa_key, zone_of

from postern.mail.arc.report import ArcReport, ArcResult
from postern.mail.arc.seal import SealFlaw, arc_signer
from postern.mail.dkim.tags import read_base64
from postern.mail.dns import Status

pytestmark = pytest.mark.fuzz

BATCH = settings(
    max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
RSA = arc_signer("tea.example", "jan", rsa_key(1024))
ED = arc_signer("tea.example", "feb", ed25519_key())
CHAIN = chain_of(MESSAGE, RSA, ED, ED)
HEAD = CHAIN.index(b"\r\n\r\n")

ARC_NAMES = st.sampled_from(
    [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results", b"arc-seal "]
)
INSTANCES = st.sampled_from(["i=1; ", "i=1; ", "i=2; ", "i=3; ", "i=50; ", "i=51; ", "i=x; ", ""])
CVS = st.sampled_from(["cv=none; ", "cv=pass; ", "cv=fail; ", "cv=x; ", ""])
ARC_FIELDS = st.tuples(ARC_NAMES, INSTANCES, CVS, st.one_of(COMPLETE, COMPLETE, TAG_LISTS)).map(
    lambda parts: (
        parts[0]
        + b": "
        + "".join(parts[1:]).replace("v=1; ", "").encode("utf-8", "surrogatepass")
        + b"\r\n"
    )
)
HEADERS = st.lists(st.one_of(ARC_FIELDS, ARC_FIELDS, BODIES), max_size=12).map(b"".join)


def hold(report: ArcReport) -> None:
    """What holds of every report."""
    assert report.text
    assert len(report.text) < 1000
    assert CONTROL.search(report.text) is None
    assert (report.oldest_pass is None) or report.result is ArcResult.PASS
    assert len(report.sealers) <= 50
    for instance, sealer in enumerate(report.sealers, 1):
        assert sealer.instance == instance


def test_nothing_raises_whatever_fields_and_records(fuzz_seconds: float) -> None:
    @BATCH
    @given(
        HEADERS, BODIES, st.lists(RECORDS, max_size=3), st.sampled_from(Status), st.integers(0, 5)
    )
    def check(header: bytes, body: bytes, records: list[str], status: Status, step: int) -> None:
        began = time.monotonic()
        hold(validated(header + b"\r\n" + body, zone(records, status), step=step))
        assert time.monotonic() - began < SECONDS_AT_MOST

    run_for(fuzz_seconds / 4, check)


def test_no_changed_chain_passes(fuzz_seconds: float) -> None:
    """All of the message's header but Received is signed, relaxed: blanks may change."""
    news = st.sampled_from([b"x", b"y", b"\r\n", b"\x00", b";", b"i"])

    @BATCH
    @given(st.integers(0, len(CHAIN) - 1), news, st.integers(0, 1))
    def check(at: int, new: bytes, taken: int) -> None:
        changed = CHAIN[:at] + new + CHAIN[at + taken :]
        report = validated(changed, zone_of(RSA, ED))
        hold(report)
        if report.result is ArcResult.PASS:
            assert essence(changed) == essence(CHAIN)

    run_for(fuzz_seconds / 4, check)


SIGNED = re.compile(rb"(?i:arc-[a-z-]+|from|to|subject|date|message-id|mime-version)[ \t]*:")


def essence(message: bytes) -> bytes:
    """What is signed of a message, without what may change: blanks, case, spelling of base64."""
    head, _, body = message.partition(b"\r\n\r\n")
    lines = [line for line in re.split(rb"\r\n(?![ \t])", head) if SIGNED.match(line)]
    text = b"\n".join(re.sub(rb"(?<=\sb=)[^;]*", decoded, line) for line in lines)
    body = re.sub(rb"[ \t]*(?:\r\n|\Z)", b"\n", body).rstrip()
    return re.sub(rb"[ \t\r\n]+", b"", text + b"\0" + body).lower()


def decoded(value: re.Match[bytes]) -> bytes:
    return (read_base64(value[0].replace(b"\r\n", b"")) or b"").hex().encode()


def test_sealing_makes_whole_fields_or_says_why(fuzz_seconds: float) -> None:
    payloads = st.one_of(
        st.lists(
            st.sampled_from([b"mx.example", b"; ", b";", b"spf=pass", b"\r\n ", b"\r\n", b"\n",
                             b"\r", b'"a;b"', b"\xff", b"x" * 80, b" ", b"\t", b"\x00"])
        ).map(b"".join),
        st.binary(max_size=60),
    )  # fmt: skip

    @BATCH
    @given(
        st.one_of(st.just(b""), HEADERS),
        MESSAGES,
        payloads,
        st.sampled_from(["none", "pass", "fail", "temperror", "\r\n"]),
        st.sampled_from([RSA, ED]),
    )
    def check(header: bytes, message: bytes, payload: bytes, cv: str, signer: object) -> None:
        signer = RSA if signer is RSA else ED
        made = sealing(header + message, signer, cv, payload)
        if isinstance(made, SealFlaw):
            assert CONTROL.search(made.text) is None
            return
        assert re.fullmatch(rb"(?:ARC-[ -~\x80-\xff\t]+(?:\r\n\t[ -~\x80-\xff\t]+)*\r\n){3}", made)
        report = validated(made + header + message, zone_of(RSA, ED))
        hold(report)
        # What begins with a blank goes on with whatever is put in front of it.
        if cv == "none" and not (header + message).startswith((b" ", b"\t")):
            assert report.result is ArcResult.PASS

    run_for(fuzz_seconds / 4, check)


def test_every_chain_made_by_sealing_passes(fuzz_seconds: float) -> None:
    @BATCH
    @given(
        MESSAGES, st.lists(st.sampled_from([RSA, ED]), min_size=1, max_size=4), st.integers(0, 4)
    )
    def check(message: bytes, signers: list[object], step: int) -> None:
        chain = chain_of(message, *(RSA if signer is RSA else ED for signer in signers))
        report = validated(chain, zone_of(RSA, ED), step=step)
        assert (report.result, report.oldest_pass) == (ArcResult.PASS, 0)
        assert len(report.sealers) == len(signers)

    run_for(fuzz_seconds / 4, check)
