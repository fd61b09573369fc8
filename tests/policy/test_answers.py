"""What a client is told: for every check there is, the right code, in lines no text breaks."""

import re

import pytest

from postern.mail.finding import Finding, Result, Whose
from postern.policy.answers import answer
from postern.policy.rules.rule import DEFAULTS, family_of

TRACE = "PT-7Q2M-K4XD"
PAGE = "https://mx.host.example/e/"
FAILS = {
    "ptr.missing": "5.7.25",  # RFC 7372 §3.3
    "ptr.mismatch": "5.7.25",
    "helo.invalid": "5.7.1",
    "helo.unresolvable": "5.7.1",
    "helo.own-name": "5.7.1",
    "dnsbl.listed": "5.7.1",
    "mailfrom.no-domain": "5.1.8",  # RFC 3463 §3.2
    "mailfrom.no-mx": "5.7.27",  # RFC 7505 §4.2
    "spf.fail": "5.7.23",  # RFC 7372 §3.2
    "spf.softfail": "5.7.23",
    "dkim.fail": "5.7.20",  # RFC 7372 §3.1
    "dmarc.reject": "5.7.26",  # RFC 7372 §3.4: neither SPF nor DKIM proves the author
    "dmarc.quarantine": "5.7.26",
    "standards.bare-lf": "5.6.0",
    "standards.header": "5.6.0",
    "standards.long-line": "5.6.0",
    "standards.early-talk": "5.5.1",
    "virus.found": "5.7.1",
    "spam.score": "5.7.1",
    "content.attachment": "5.7.1",
    "command.found": "5.7.1",
    "loop.detected": "5.4.6",
    "rcpt.unknown": "5.1.1",
    "rcpt.relay-denied": "5.7.1",
    "size.too-big": "5.3.4",
    "rule.block": "5.7.1",
    "rule.hold": "5.7.1",
    "rule.junk": "5.7.1",
    "auth.failed": "5.7.8",  # RFC 4954 §6
    "auth.sender-mismatch": "5.7.1",
    "ban.active": "5.7.1",
}
FOR_NOW = {
    "greylist.wait": "4.7.1",
    "rate.exceeded": "4.7.1",
    "quota.full": "4.2.2",
    "system.overloaded": "4.3.2",
}
SCANNED = ("command", "spam", "virus")
UNTOLD = {
    "mailfrom.dns-timeout": "4.4.3",
    "spf.couldnt-tell": "4.7.24",  # RFC 7372 §3.2
    **{f"{family}.couldnt-tell": "4.3.0" for family in SCANNED},
    **{
        f"{family}.couldnt-tell": "4.4.3"
        for family in sorted({family_of(check) for check in DEFAULTS} - {*SCANNED, "spf"})
    },
}
HOSTILE = "tea\r\n250 2.0.0 ok\r\nX\x00\x1b[31m\u202e茶" + "x" * 5000
LINE = re.compile(rb"(?P<code>\d{3})(?P<mark>[ -])(?P<enhanced>\d\.\d\.\d{1,2}) [ -~]+")


def lines_of(wire: bytes) -> list[re.Match[bytes]]:
    """The lines of a whole reply, each of them what RFC 5321 §4.2.1 and §4.5.3.1.5 allow."""
    assert wire.endswith(b"\r\n")
    lines = wire.removesuffix(b"\r\n").split(b"\r\n")
    found = []
    for number, line in enumerate(lines):
        assert len(line) + 2 <= 512
        match = LINE.fullmatch(line)
        assert match is not None, line
        assert match["mark"] == (b" " if number == len(lines) - 1 else b"-")
        found.append(match)
    assert len({(match["code"], match["enhanced"]) for match in found}) == 1
    return found


CASES = [
    *((check, Result.FAIL, False, code) for check, code in FAILS.items()),
    *((check, Result.FAIL, True, code) for check, code in FOR_NOW.items()),
    *((check, Result.COULDNT_TELL, True, code) for check, code in UNTOLD.items()),
]


def test_no_check_is_left_out() -> None:
    assert set(DEFAULTS) <= {check for check, *_ in CASES}


@pytest.mark.parametrize("link", ["", PAGE], ids=["no-page", "page"])
@pytest.mark.parametrize(
    ("check", "result", "for_now", "code"), CASES, ids=[check for check, *_ in CASES]
)
def test_every_check_has_its_code_its_cause_and_lines_no_text_can_break(
    check: str, result: Result, for_now: object, code: str, link: str
) -> None:
    for whose in Whose:
        finding = Finding(check, result, HOSTILE, whose)
        told = answer(finding, for_now=bool(for_now), link=link)
        lines = lines_of(told.encode(TRACE))
        assert {match["enhanced"].decode() for match in lines} == {code}
        assert all(match["code"][:1].decode() == code[0] for match in lines)
        first, last = lines[0].group().decode(), lines[-1].group().decode()
        assert first[10:].lstrip("0123456789. ").startswith("Not accepted")
        assert len(lines) == (3 if link else 2)
        assert last.endswith(f"Help (English, Chinese): {PAGE}{TRACE}" if link else f" {TRACE}")


def test_a_page_without_a_code_to_complete_it_is_not_named() -> None:
    told = answer(Finding("ptr.missing", Result.FAIL, "no name"), for_now=False, link=PAGE)
    assert b"Help" not in told.encode()
