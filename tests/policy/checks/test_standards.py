"""Header rules, and what of them is only noted."""

import asyncio

import pytest

from postern.mail.finding import Result
from postern.policy.checks.letter import MAX_LINE_BYTES, Letter, LetterReader
from postern.policy.checks.standards import check_standards

DATE = b"Date: Thu, 26 Nov 2026 12:00:00 +0000\r\n"
FINE = b"From: a@tea.example\r\n" + DATE


def letter(header: bytes, body: bytes = b"Hello\r\n", step: int = 0) -> Letter:
    """A message as it streams in: its header whole, its body in pieces of ``step``."""
    head = header + b"\r\n"
    reader = LetterReader(head, len(head), 0.0)
    step = step or max(1, len(body))
    for start in range(0, len(body), step):
        reader.feed(body[start : start + step])
    return reader.finish()


async def found(made: Letter) -> list[tuple[str, Result]]:
    return [(one.check, one.result) for one in (await check_standards(made)).findings]


@pytest.mark.parametrize(
    ("header", "result"),
    [
        (FINE, Result.PASS),
        (FINE + b"From: b@tea.example\r\n", Result.FAIL),
        (FINE + b"FROM : b@tea.example\r\n", Result.FAIL),
        (DATE, Result.FAIL),
        (b"From: a@tea.example\r\n", Result.NOTE),
        (b"From: a@tea.example\r\nDate: yesterday\r\n", Result.NOTE),
        (b"From: a@tea.example\r\nDate: 26 Nov 26 12:00:00 GMT\r\n", Result.PASS),
        (FINE + b"In-Reply-To: <1@a>\r\nIn-Reply-To: <2@a>\r\n", Result.NOTE),
        (FINE + b"Bcc: a@b.example\r\nBcc: c@b.example\r\n", Result.NOTE),
        (FINE + b"Subject: one\r\nsubject: two\r\n", Result.NOTE),
        (FINE + b"Subject: gr\xc3\xbcner Tee\r\n", Result.NOTE),
        (b"From: nobody at all\r\n" + DATE, Result.FAIL),
        (b"From: a@a.b, a@b.b, a@c.b, a@d.b\r\n" + DATE, Result.FAIL),
        (b"From: a@a.b, b@a.b, c@a.b, d@a.b\r\n" + DATE, Result.PASS),
    ],
    ids=[
        "fine", "two-from", "two-from-odd", "no-from", "no-date", "odd-date", "old-date", "replies",
        "hidden", "subjects", "8bit", "odd-from",
        "crowd", "family",
    ],
)  # fmt: skip
async def test_only_what_hides_the_author_fails(header: bytes, result: Result) -> None:
    assert await found(letter(header)) == [("standards.header", result)]


def test_octets_beyond_ascii_are_in_order_where_smtputf8_was_said() -> None:
    head = FINE + b"Subject: gr\xc3\xbcner Tee\r\n\r\n"
    made = LetterReader(head, len(head), 0.0, is_utf8=True).finish()
    assert asyncio.run(found(made)) == [("standards.header", Result.PASS)]


MIXED = FINE + b"Content-Type: multipart/mixed; boundary=b"


@pytest.mark.parametrize(
    ("header", "body", "result", "word"),
    [
        (MIXED + b"; boundary=c\r\n", b"--b--\r\n", Result.FAIL, "two boundaries"),
        (MIXED + b"\r\n", b"--b\r\n\r\nx", Result.NOTE, "last boundary is missing"),
        (MIXED + b"\r\n", b"--b--\r\n--b\r\n\r\nx\r\n--b--", Result.NOTE, "behind the last"),
        (MIXED + b"\r\n", b"--b\r\nX: " + b"x" * 300_000 + b"\r\n--b--",
         Result.FAIL, "longer than is read"),
        (MIXED + b"\r\n", b"--b\r\n\r\n" * 2100 + b"--b--", Result.FAIL, "more parts"),
        (FINE + b"Content-Type: message/rfc822\r\n", b"Content-Type: message/rfc822\r\n\r\n" * 60,
         Result.FAIL, "deeper"),
    ],
    ids=["two-boundaries", "not-closed", "after-close", "long-header", "many-parts", "deep"],
)  # fmt: skip
async def test_only_what_hides_parts_of_a_message_fails(
    header: bytes, body: bytes, result: Result, word: str
) -> None:
    (finding,) = [
        one
        for one in (await check_standards(letter(header, body))).findings
        if one.check == "standards.header"
    ]
    assert finding.result is result
    assert word in finding.text


@pytest.mark.parametrize("step", [0, 1, 7, 997, 998, 999, 1000])
@pytest.mark.parametrize("length", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1])
async def test_a_line_may_have_998_octets_however_it_comes_in_pieces(
    length: int, step: int
) -> None:
    body = b"short\r\n" + b"x" * length + b"\r\nshort\r\n"
    is_long = length > MAX_LINE_BYTES
    assert letter(FINE, body, step).has_long_line is is_long
    checks = [check for check, _ in await found(letter(FINE, body, step))]
    assert ("standards.long-line" in checks) is is_long
