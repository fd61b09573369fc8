"""Invariants: a field that is built is one field whatever went into it, and reads back to what was
written; reading raises nothing and takes linear time; and after forged fields were removed no
reader finds our name in the header, while all other bytes are as they were."""

import time
from collections.abc import Callable

import authres  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postern.mail.authres.build import field, payload
from postern.mail.authres.forged import forged_fields
from postern.mail.authres.parse import parse_results
from postern.mail.authres.results import AuthenticationResults, MethodResult, Property
from postern.mail.message.header import HeaderScan, without

pytestmark = pytest.mark.fuzz

BATCH = settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
OURS = "mx.host.example"
PIECES = st.sampled_from(
    [
        *("mx.host.example", "other.example", "MX.HOST.example.", ";", "; ", "=", ".", "/", "@"),
        *("(", ")", '"', "\\", "\\(", '\\"', " ", "\t", "\r\n ", "\r\n\t", "\n", "\r", "\x00"),
        *("dkim", "spf=pass", "dmarc=pass", "none", "reason=", "header.d=", "smtp.mailfrom=", "1"),
        *("2", "a@b.example", '"a b"@b.example', "\xfc", "\u2028", "\ud800", "x" * 90, ":", "<"),
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=10).map("".join), st.text(max_size=40))
KEYWORDS = st.sampled_from(["spf", "dkim", "dmarc", "arc", "auth", "iprev", "x-y", "d"])
RESULTS = st.builds(
    AuthenticationResults,
    TEXTS,
    st.lists(
        st.builds(
            MethodResult,
            KEYWORDS,
            KEYWORDS,
            st.lists(st.builds(Property, KEYWORDS, KEYWORDS, TEXTS), max_size=4).map(tuple),
            TEXTS,
            TEXTS,
            st.integers(1, 3),
        ),
        max_size=4,
    ).map(tuple),
)
RAW = st.one_of(
    st.binary(max_size=200),
    st.lists(PIECES, max_size=25).map(lambda pieces: "".join(pieces).encode("utf-8", "replace")),
)


def run_for(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()


def test_what_is_built_is_one_field_and_reads_back(fuzz_seconds: float) -> None:
    @BATCH
    @given(RESULTS, st.booleans())
    def check(results: AuthenticationResults, utf8: bool) -> None:  # noqa: FBT001 - drawn
        written = field(results, utf8=utf8)
        assert written.isascii() or utf8
        written.decode("utf-8")
        assert all(len(line) <= 998 for line in written.split(b"\r\n"))
        (only,) = HeaderScan(written + b"\r\n").fields()
        assert (only.start, only.end) == (0, len(written))
        assert b"\r" not in written.replace(b"\r\n\t", b"").removesuffix(b"\r\n")
        assert b"\n" not in written.replace(b"\r\n", b"")
        read = parse_results(only.value)
        assert read is not None
        shape = [(r.method, r.result, r.version, len(r.properties)) for r in results.results]
        assert shape == [(r.method, r.result, r.version, len(r.properties)) for r in read.results]
        # What was read is what was written, so it is written again the same.
        assert payload(read, utf8=utf8) == payload(results, utf8=utf8)
        assert parse_results(payload(read, utf8=utf8)) == read

    run_for(fuzz_seconds / 2, check)


def test_reading_never_raises(fuzz_seconds: float) -> None:
    @BATCH
    @given(RAW)
    def check(value: bytes) -> None:
        read = parse_results(value)
        if read is None:
            return
        for result in read.results:
            assert result.method
            assert result.result
            assert result.method == result.method.lower()
            for text in (result.reason, result.comment, *(p.value for p in result.properties)):
                assert not set(text) & set("\r\n\x00\t\u2028")

    run_for(fuzz_seconds / 4, check)


@pytest.mark.parametrize(
    "piece", ['"', "(", ")", "\\", "a.b=c ", ";a=b", '"a\\', "()", " ", "\xff"]
)
def test_reading_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    for head in ("h.example; m=pass ", "", "(", '"'):
        value = (head + piece * (32_000 // len(piece))).encode("latin-1")[:32_000]
        parse_results(value)
        data = b"Authentication-Results:" + value * 7 + b"\r\n\r\n"
        forged_fields(HeaderScan(data), (OURS,))
    assert time.process_time() - start < 2


def test_nothing_forged_is_left_and_nothing_else_is_touched(fuzz_seconds: float) -> None:
    fields = st.tuples(st.sampled_from(["Authentication-Results:", "Subject:", "junk "]), RAW)

    @BATCH
    @given(st.lists(fields, max_size=6))
    def check(parts: list[tuple[str, bytes]]) -> None:
        data = b"".join(name.encode() + value + b"\r\n" for name, value in parts) + b"\r\nbody"
        scan = HeaderScan(data)
        ranges = forged_fields(scan, (OURS,))
        wanted = scan.remove((b"authentication-results",))
        assert [found for found in wanted if found in ranges] == ranges
        kept = without(data, ranges)
        for value in HeaderScan(kept).all(b"authentication-results"):
            read = parse_results(value)
            assert read is None or read.authserv_id.lower().strip(" .") != OURS
            assert read is None or read.version == 1
            assert authres_id(value) != OURS
        assert forged_fields(HeaderScan(kept), (OURS,)) == []

    run_for(fuzz_seconds / 4, check)


def authres_id(value: bytes) -> str:
    """Who the field is from for another reader, or nobody."""
    try:
        text = value.decode("utf-8", "replace").replace("\r\n", "")
        found = authres.AuthenticationResultsHeader.parse_value(text).authserv_id
    except (authres.AuthResError, AttributeError):  # it fails on some values without an id
        return ""
    return str(found).lower()
