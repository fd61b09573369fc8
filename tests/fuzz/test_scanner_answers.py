"""Invariant: whatever a scanner answers, it is an answer and no exception; its words are one safe
line of bounded length; and clean is only what plainly says so."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postern.policy.scanners.clamd import answer_of as of_clamd
from postern.policy.scanners.http import Response
from postern.policy.scanners.marks import marks
from postern.policy.scanners.rspamd import answer_of as of_rspamd
from postern.policy.scanners.scan import Answer, Clean
from postern.policy.scanners.settings import Kind, ScannerSettings
from postern.policy.scanners.spamd import answer_of as of_spamd

pytestmark = pytest.mark.fuzz

FUZZ = settings(max_examples=400, deadline=None)
PIECES = st.sampled_from(
    [
        b"stream: ", b"OK", b" FOUND", b" ERROR", b"INSTREAM size limit exceeded.", b"\0", b"\r\n",
        b"SPAMD/1.1 0 EX_OK\r\n", b"Spam: True ; ", b"1e999", b"5.0 / 5.0", b"nan", b",",
        b"\r\n\r\n", b'{"score":', b'"action":"reject"', b'"symbols":{"A":{"score":1}}', b"}",
        b'"is_skipped":true', b"\xff", b"\x1b[2J", b"\xc3\xa9", b"-", b"9" * 40,
    ]
)  # fmt: skip
SAID = st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=12).map(b"".join)
THRESHOLDS = st.one_of(st.none(), st.floats(-20, 20))


def is_safe(kind: Kind, answer: Answer) -> None:
    assert answer.text.isprintable()
    assert len(answer.text) < 1200
    fields = marks([(ScannerSettings("x", kind), answer)])
    assert fields.isascii()
    for line in fields.splitlines():
        assert len(line) < 120
        assert line.startswith((b"X-Postern-", b"\t"))


@FUZZ
@given(SAID)
def test_clamd(said: bytes) -> None:
    answer = of_clamd(said)
    is_safe(Kind.CLAMD, answer)
    assert not isinstance(answer, Clean) or said.strip().lower().endswith(b": ok")


@FUZZ
@given(SAID, THRESHOLDS)
def test_spamd(said: bytes, threshold: float | None) -> None:
    answer = of_spamd(said, threshold)
    is_safe(Kind.SPAMD, answer)
    assert not isinstance(answer, Clean) or said.startswith(b"SPAMD/")


@FUZZ
@given(st.integers(100, 599), SAID, THRESHOLDS)
def test_rspamd(status: int, said: bytes, threshold: float | None) -> None:
    answer = of_rspamd(Response(status, said), threshold)
    is_safe(Kind.RSPAMD, answer)
    assert not isinstance(answer, Clean) or status == 200
