"""Invariant: whatever header, key records and body, in whatever pieces, verifying DKIM raises
nothing, answers for each signature in one line of text, hashes as if the body were whole, takes
bounded time, and passes nothing that was changed after it was signed."""

import re
import time
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.mail.dkim.stand import NOW, Zone, ed25519_key, rsa_key, signed, verified, zone_of

from postern.mail.dkim.body import BodyForm, BodyHash, BodyHasher
from postern.mail.dkim.canonical import Canon, without_signature
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.key import KeyFlaw, KeyRecord, read_key_record, usability_flaw
from postern.mail.dkim.private import read_private_key
from postern.mail.dkim.record import record_text
from postern.mail.dkim.result import Cause, DkimReport, DkimResult
from postern.mail.dkim.sign import OVERSIGNED, SIGNED, Signer
from postern.mail.dkim.signature import read_signature
from postern.mail.dkim.tags import TagFlaw, read_base64, read_tags
from postern.mail.dkim.verify import MAX_SIGNATURES
from postern.mail.dns import Status

pytestmark = pytest.mark.fuzz

BATCH = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
SECONDS_AT_MOST = 2.0  # for the worst of them, on a busy machine
RSA = Signer("tea.example", "jan", rsa_key(1024))
ED = Signer("tea.example", "feb", ed25519_key())
EXACT = Signer(
    "tea.example",
    "feb",
    ed25519_key(),
    Canon.SIMPLE,
    Canon.SIMPLE,
    (*OVERSIGNED, b"X-Any"),
    SIGNED,
)
NAMES = ["jan._domainkey.tea.example", "feb._domainkey.tea.example"]
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")

TAG_NAMES = st.sampled_from([*"vabdhilcqstxzkpng", "bh", "B", "x_1", "1x", ""])
TAG_VALUES = st.one_of(
    st.sampled_from(
        ["1", "DKIM1", "rsa-sha256", "ed25519-sha256", "rsa-sha1", "rsa", "ed25519", "relaxed",
         "relaxed/simple", "simple", "tea.example", "jan", "feb", "from:to:from", "From", "AAAA",
         "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=", "@tea.example", "a@x.tea.example", "0",
         "99999999999999999999", "1e9", "sha256", "y:s", "email", "*", "dns/txt", "",
         "grün.example", "xn--a", "\r\n ", "a;b"]
    ),
    st.text("ab=:;, \t\r\n/+-_@.9Ü\x00", max_size=20),
    st.text(max_size=10),
)  # fmt: skip
TAG_LISTS = st.lists(st.tuples(TAG_NAMES, st.sampled_from(["=", " = ", ""]), TAG_VALUES)).map(
    lambda tags: "; ".join("".join(tag) for tag in tags)
)
COMPLETE = st.fixed_dictionaries(
    {"v": st.just("1"), "a": st.sampled_from(["rsa-sha256", "ed25519-sha256"]),
     "d": st.just("tea.example"), "s": st.sampled_from(["jan", "feb"]),
     "h": st.sampled_from(["from", "from:to:dkim-signature:x:from"]),
     "bh": st.just("A" * 43), "b": st.one_of(st.just("AAAA"), st.just("A" * 171))},
    optional=dict.fromkeys("lctxiq", TAG_VALUES),
).map(lambda tags: "; ".join(f"{name}={value}" for name, value in tags.items()))  # fmt: skip
RECORDS = st.one_of(
    TAG_LISTS,
    COMPLETE,
    st.sampled_from([record_text(RSA.key), record_text(ED.key), "p=", "v=DKIM1; k=rsa; p=AAAA"]),
    st.binary(max_size=400).map(lambda octets: octets.decode("latin-1")),
)
PIECES = st.sampled_from(
    [b"\r\n", b"\r\n", b"\r\n ", b" ", b"\t", b"  ", b"\r", b"\n", b"a", b"bc", b"a:", b"\x00\xff"]
)
BODIES = st.lists(PIECES, max_size=60).map(b"".join)
FIELDS = st.one_of(
    st.tuples(st.just(b"DKIM-Signature:"), st.one_of(TAG_LISTS, COMPLETE)).map(
        lambda pair: pair[0] + pair[1].encode("utf-8", "surrogatepass") + b"\r\n"
    ),
    st.sampled_from(
        [b"From: a@b.example\r\n", b"To:\r\n x\r\n", b"dkim-signature :\r\n", b"junk\r\n"]
    ),
    BODIES,
)
HEADERS = st.lists(FIELDS, max_size=14).map(b"".join)
CUTS = st.lists(st.integers(0, 9), max_size=40)


def run_for(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()


def zone(records: list[str], status: Status) -> Zone:
    found = tuple(records) if status is Status.OK else status
    return {NAMES[0]: found, NAMES[1]: tuple(records[:1])}


def hold(report: DkimReport, message: bytes) -> None:
    """What holds of every report."""
    count = HeaderFields(message).count(b"dkim-signature")
    assert len(report.results) == min(count, MAX_SIGNATURES)
    assert report.not_looked_at == count - len(report.results)
    for result in report.results:
        assert result.text
        for text in (result.text, result.identity, result.begins, result.domain, result.selector):
            assert CONTROL.search(text) is None, text
            assert len(text) < 1000
        passed = result.result is DkimResult.PASS
        assert passed == (result.cause is Cause.VERIFIED)
        assert not passed or (result.domain and result.key_bits and result.question)


def test_nothing_raises_whatever_header_and_records(fuzz_seconds: float) -> None:
    @BATCH
    @given(
        HEADERS, BODIES, st.lists(RECORDS, max_size=4), st.sampled_from(Status), st.integers(0, 5)
    )
    def check(header: bytes, body: bytes, records: list[str], status: Status, step: int) -> None:
        message = header + b"\r\n" + body
        began = time.monotonic()
        hold(verified(message, zone(records, status), step=step), message)
        assert time.monotonic() - began < SECONDS_AT_MOST

    run_for(fuzz_seconds / 5, check)


def test_every_reader_answers_whatever_it_is_given(fuzz_seconds: float) -> None:
    @BATCH
    @given(st.one_of(TAG_LISTS, RECORDS, st.text(max_size=300)), st.binary(max_size=300))
    def check(text: str, octets: bytes) -> None:
        record = read_key_record(text)
        if isinstance(record, KeyRecord):
            usability_flaw(record, "rsa", domain="tea.example", identity="@tea.example")
        else:
            assert isinstance(record, KeyFlaw)
        for raw in (octets, text.encode("utf-8", "surrogatepass")):
            tags = read_tags(raw)
            if not isinstance(tags, TagFlaw):
                assert all(
                    value == value.strip() or value.strip(b"\x0b\x0c") for value in tags.values()
                )
                if b"b" in tags:
                    assert read_tags(without_signature(b"x:" + raw)[2:]) == {**tags, b"b": b""}
            read_base64(raw)
            read_signature(raw)
            read_private_key(raw)

    run_for(fuzz_seconds / 5, check)


def canonical(body: bytes, canon: Canon) -> bytes:
    """RFC 6376 §3.4.3 and §3.4.4, line by line."""
    lines = body.split(b"\r\n")
    if canon is Canon.RELAXED:
        lines = [re.sub(rb"[ \t]+", b" ", line).removesuffix(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines) or (b"\r\n" if canon is Canon.SIMPLE else b"")


def test_any_pieces_give_the_hash_of_the_whole(fuzz_seconds: float) -> None:
    @BATCH
    @given(BODIES, CUTS, st.lists(st.integers(0, 70), max_size=4))
    def check(body: bytes, cuts: list[int], limits: list[int]) -> None:
        forms = [BodyForm(canon, limit) for canon in Canon for limit in [None, *limits]]
        hasher, rest = BodyHasher(forms), body
        for cut in cuts:
            hasher.feed(rest[:cut])
            rest = rest[cut:]
        hasher.feed(rest)
        found = hasher.finish()
        for form in forms:
            whole = canonical(body, form.canon)
            once = BodyHasher([form])
            once.feed(whole)
            assert found.of(form) == once.finish().of(form)
            fits = form.limit is None or form.limit <= len(whole)
            digest = sha256(whole[: form.limit]).digest() if fits else None
            assert found.of(form) == BodyHash(digest, len(whole))

    run_for(fuzz_seconds / 5, check)


MESSAGES = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from([b"From", b"To", b"X-Any", b"Subject"]),
            st.lists(st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b"a", b":", b"\xff"]))
            .map(b"".join),
        ),
        max_size=6,
    ),
    BODIES,
).map(
    lambda parts: b"".join(name + b":x" + value + b"y\r\n" for name, value in parts[0])
    + b"\r\n"
    + parts[1]
)  # fmt: skip


def test_what_we_sign_passes_and_never_breaks_a_line(fuzz_seconds: float) -> None:
    @BATCH
    @given(MESSAGES, st.sampled_from([RSA, ED, EXACT]), st.integers(0, 5))
    def check(message: bytes, signer: Signer, step: int) -> None:
        whole = signed(message, signer)
        field = whole.removesuffix(message)
        assert re.fullmatch(rb"[ -~]+(?:\r\n\t[ -~]+)*\r\n", field)
        report = verified(whole, zone_of(signer), step=step)
        assert [r.result for r in report.results] == [DkimResult.PASS]

    run_for(fuzz_seconds / 5, check)


def essence(message: bytes) -> tuple[list[bytes], bytes]:
    """What no change may touch: all fields but their b=, and the body but its last empty lines."""
    head, _, body = message.partition(b"\r\n\r\n")
    lines = re.split(rb"\r\n(?![ \t])", head)
    own, *others = [line for line in lines if re.match(rb"[!-9;-~]+[ \t]*:", line)]
    return [re.split(rb"[ \t]b=", own)[0], *others], canonical(body, Canon.SIMPLE)


def test_nothing_passes_that_was_changed_since(fuzz_seconds: float) -> None:
    """All fields are signed here, and nothing is forgiven."""
    news = st.sampled_from([b"", b"x", b"\r\n", b" ", b"\x00", b";", b"="])

    @BATCH
    @given(MESSAGES, st.integers(0, 2000), news)
    def check(message: bytes, at: int, new: bytes) -> None:
        whole = signed(message, EXACT)
        at %= len(whole)
        changed = whole[:at] + new + whole[at + 1 :]
        for result in verified(changed, zone_of(EXACT), NOW).results:
            if result.result is DkimResult.PASS:
                assert essence(changed) == essence(whole)

    run_for(fuzz_seconds / 5, check)
