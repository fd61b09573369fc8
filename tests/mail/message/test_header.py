from time import perf_counter

import pytest

from postern.mail.message.header import (
    MAX_FIELDS,
    MAX_HEADER_BYTES,
    HeadCollector,
    HeaderScan,
    without,
)
from postern.mail.message.summary import summarise

HEAD = (
    b"Received: from a.example\r\n\tby mx.example; Sat, 22 Nov 2026 20:51:35 +0000\r\n"
    b"received : from b.example\r\n"
    b"Subject: Offer\r\n 2026-118\r\n"
    b"Bcc: secret@a.example,\r\n more@b.example\r\n"
    b"Message-ID: <1@a.example>\r\n"
    b"\r\n"
)


def test_fields_are_found_whatever_their_case_and_folding() -> None:
    scan = HeaderScan(HEAD + b"Subject: in the body\r\n")
    assert scan.first(b"subject") == b" Offer\r\n 2026-118"
    assert scan.first(b"MESSAGE-ID") == b" <1@a.example>"
    assert scan.count(b"received") == 2
    assert scan.all(b"received")[1] == b" from b.example"
    assert scan.first(b"from") is None
    assert not scan.has(b"date")


def test_a_field_of_the_body_is_not_found() -> None:
    assert HeaderScan(b"A: b\r\n\r\nBcc: x\r\n").count(b"bcc") == 0


def test_offsets_tell_where_fields_end_and_the_body_starts() -> None:
    scan = HeaderScan(HEAD + b"body")
    assert scan.is_complete
    assert scan.fields_end == len(HEAD) - 2
    assert scan.body_start == len(HEAD)


def test_an_empty_header_has_no_fields() -> None:
    scan = HeaderScan(b"\r\nBcc: x\r\n\r\n")
    assert (scan.fields_end, scan.body_start, scan.is_complete) == (0, 2, True)
    assert list(scan.fields()) == []


def test_a_header_without_an_end_is_incomplete() -> None:
    scan = HeaderScan(b"Subject: x\r\nBcc: y")
    assert not scan.is_complete
    assert scan.body_start == 18
    assert scan.first(b"bcc") == b" y"


def test_removal_takes_whole_fields_by_their_bytes() -> None:
    ranges = HeaderScan(HEAD).remove((b"bcc",))
    assert [HEAD[a:b] for a, b in ranges] == [b"Bcc: secret@a.example,\r\n more@b.example\r\n"]
    assert without(HEAD, ranges) == HEAD.replace(
        b"Bcc: secret@a.example,\r\n more@b.example\r\n", b""
    )


def test_junk_lines_belong_to_no_field() -> None:
    data = b"From wang Mon\r\nSubject: x\r\nnot a field\r\n folded junk\r\nBcc: y\r\n\r\n"
    scan = HeaderScan(data)
    assert [f.name for f in scan.fields()] == [b"subject", b"bcc"]
    assert scan.first(b"subject") == b" x"
    assert not scan.starts_with_field


def test_a_name_within_a_junk_line_is_not_a_field() -> None:
    assert HeaderScan(b"see the bcc: field\r\n\r\n").count(b"bcc") == 0


def test_a_bare_newline_starts_no_field() -> None:
    assert HeaderScan(b"Subject: x\nBcc: y\r\n\r\n").count(b"bcc") == 0


def test_a_header_beyond_its_bound_is_overlong() -> None:
    data = b"X: " + b"y" * MAX_HEADER_BYTES + b"\r\n\r\n"
    assert HeaderScan(data).is_overlong
    assert not HeaderScan(HEAD).is_overlong


def test_too_many_fields_are_overlong_and_still_all_removed() -> None:
    assert not HeaderScan(b"a: b\r\n" * MAX_FIELDS + b"\r\n").is_overlong
    data = b"a: b\r\n" * (MAX_FIELDS + 1) + b"Bcc: x\r\n\r\n"
    scan = HeaderScan(data)
    assert scan.is_overlong
    assert len(scan.all(b"a")) == MAX_FIELDS
    assert without(data, scan.remove((b"bcc",))) == data.replace(b"Bcc: x\r\n", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n" + b":" * 250_000,
        b"x" * 250_000,
        b"a " * 125_000,
        b"\r\n " * 80_000,
        b"a:\r\n" * 60_000,
        b"From: " + b"(" * 200_000,
        b"From: " + b'"' * 200_000,
        b"Subject: " + b"=?a?q?" * 40_000,
    ],
)
def test_hostile_headers_take_no_longer_than_their_length_allows(data: bytes) -> None:
    started = perf_counter()
    summarise(data)
    HeaderScan(data).remove((b"bcc", b"resent-bcc"))
    # Linear work takes some milliseconds; anything quadratic takes minutes.
    assert perf_counter() - started < 5


def test_pieces_are_gathered_until_the_header_ends() -> None:
    collector = HeadCollector()
    data = HEAD + b"body"
    fed = 0
    for octet in data:
        fed += 1
        if collector.feed(bytes([octet])):
            break
    assert collector.head == HEAD
    assert fed == len(HEAD)
    assert collector.feed(b"more")
    assert collector.head == HEAD


def test_gathering_stops_at_its_bound() -> None:
    collector = HeadCollector(limit_bytes=10)
    assert not collector.feed(b"123456789")
    assert collector.feed(b"0")
    assert collector.head == b"1234567890"
