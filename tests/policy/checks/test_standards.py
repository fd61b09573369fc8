"""Header rules, and what of them is only noted."""

import pytest

from postern.mail.finding import Result
from postern.policy.checks.letter import MAX_LINE_BYTES, Letter, LetterReader
from postern.policy.checks.standards import check_standards

FINE = b"From: a@tea.example\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n"


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
        (b"Date: x\r\n", Result.FAIL),
        (b"From: a@tea.example\r\n", Result.NOTE),
        (FINE + b"Subject: one\r\nsubject: two\r\n", Result.NOTE),
        (FINE + b"Subject: gr\xc3\xbcner Tee\r\n", Result.NOTE),
        (b"From: nobody at all\r\nDate: x\r\n", Result.FAIL),
        (b"From: a@a.b, a@b.b, a@c.b, a@d.b\r\nDate: x\r\n", Result.FAIL),
        (b"From: a@a.b, b@a.b, c@a.b, d@a.b\r\nDate: x\r\n", Result.PASS),
    ],
    ids=[
        "fine", "two-from", "two-from-odd", "no-from", "no-date", "subjects", "8bit", "odd-from",
        "crowd", "family",
    ],
)  # fmt: skip
async def test_only_what_hides_the_author_fails(header: bytes, result: Result) -> None:
    assert await found(letter(header)) == [("standards.header", result)]


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
