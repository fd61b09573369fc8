"""Invariant: whatever the bytes, whole or in pieces, the header scanner never raises, its ranges
lie before the body in order without overlap, and removing nothing reproduces the bytes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postern.mail.message.header import HeadCollector, HeaderScan, fields_pattern, without
from postern.mail.message.mailbox import parse_mailboxes, visible_from
from postern.mail.message.submission import fix_submission
from postern.mail.message.summary import summarise
from postern.mail.message.text import decode_text

pytestmark = pytest.mark.fuzz

NAMES = (b"bcc", b"from", b"received", b"subject", b"resent-bcc")
PIECES = st.sampled_from(
    [
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b":",
        b"Bcc: a@b.example",
        b"BCC :",
        b"Resent-Bcc:",
        b"From: =?gb2312?b?1tDOxA==?= <a@b.example>",
        b"From ",
        b"Subject: =?utf-8?q?hi=0d=0aBcc:_x?=",
        b"Received: from x",
        b"\r\n\r\n",
        b"=?utf-8?b?",
        b"?=",
        b'"',
        b"(",
        b"<",
        b"\x00\xff",
    ]
)
MAIL = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(PIECES, st.binary(max_size=12)), max_size=60).map(b"".join),
)
FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(MAIL)
def test_ranges_are_ordered_apart_and_before_the_body(data: bytes) -> None:
    scan = HeaderScan(data)
    assert 0 <= scan.fields_end <= scan.body_start <= len(data)
    for ranges in (scan.remove(NAMES), [(f.start, f.end) for f in scan.fields()]):
        position = 0
        for start, end in ranges:
            assert position <= start < end <= scan.fields_end
            position = end
    for field in scan.fields():
        whole = data[field.start : field.end]
        assert whole.lower().startswith(field.name)
        assert field.value in whole
        assert scan.first(field.name) is not None
        assert scan.count(field.name) == len(scan.all(field.name)) >= 1


@FUZZ
@given(MAIL)
def test_all_ways_to_ask_give_one_answer(data: bytes) -> None:
    scan = HeaderScan(data)
    walked = [(f.name, f.value) for f in scan.fields() if f.name in NAMES]
    picked = [(name.lower(), value) for name, value in scan.pick(fields_pattern(*NAMES))]
    assert walked == picked
    assert {name: scan.all(name) for name, _ in walked} == {
        name: [value for other, value in walked if other == name] for name, _ in walked
    }


@FUZZ
@given(MAIL)
def test_removing_nothing_reproduces_the_bytes(data: bytes) -> None:
    scan = HeaderScan(data)
    assert without(data, scan.remove(())) == data
    assert without(data, scan.remove((b"x-nobody-has-this",))) == data


@FUZZ
@given(MAIL)
def test_what_was_removed_is_gone_and_the_body_is_untouched(data: bytes) -> None:
    scan = HeaderScan(data)
    left = without(data, scan.remove(NAMES))
    assert left.endswith(data[scan.body_start :])
    # The header is looked at alone: the octets of a body are nobody's field.
    after = HeaderScan(left[: len(left) - (len(data) - scan.fields_end)])
    assert not any(after.has(name) for name in NAMES)


@FUZZ
@given(MAIL, st.integers(1, 7))
def test_pieces_give_what_the_whole_gives(data: bytes, step: int) -> None:
    collector = HeadCollector()
    for at in range(0, len(data), step):
        if collector.feed(data[at : at + step]):
            break
    whole, pieces = HeaderScan(data), HeaderScan(collector.head)
    assert data.startswith(collector.head)
    assert (pieces.fields_end, pieces.body_start) == (whole.fields_end, whole.body_start)
    assert list(pieces.fields()) == list(whole.fields())


@FUZZ
@given(MAIL)
def test_every_reader_of_headers_answers_whatever_it_is_given(data: bytes) -> None:
    summary = summarise(data)
    for text in (summary.subject, summary.message_id, summary.from_header, decode_text(data)):
        assert not any(c in text for c in "\r\n\0\x1b\u2028")
        assert len(text) <= 998
        text.encode()
    parse_mailboxes(data)
    visible_from(HeaderScan(data))
    fixes = fix_submission(data, now=1e9, hostname="mx.example", trace="PT-1", sender=None)
    body = data[HeaderScan(data).body_start :]
    assert fixes.apply(data).endswith(body)
