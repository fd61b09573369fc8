"""What checks found against a message, as decisions keep it: as text, and as bits for SQL.

The text is what the judge needs and no more: ids of checks that failed, and of those that couldn't
tell with what they might have been. The bits say which decisions a rule could change at all, so
that a preview looks at no others.
"""

from collections.abc import Iterable
from functools import lru_cache

from postern.mail.finding import Finding, Result

CHECKS = (
    "ptr.missing",
    "ptr.mismatch",
    "helo.invalid",
    "helo.unresolvable",
    "helo.own-name",
    "dnsbl.listed",
    "mailfrom.no-domain",
    "mailfrom.no-mx",
    "spf.fail",
    "spf.softfail",
    "greylist.wait",
    "standards.bare-lf",
    "standards.header",
    "standards.long-line",
    "standards.early-talk",
    "dkim.fail",
    "dmarc.reject",
    "dmarc.quarantine",
    "virus.found",
    "spam.score",
    "content.attachment",
    "command.found",
    "rcpt.unknown",
    "rcpt.relay-denied",
    "quota.full",
    "size.too-big",
    "loop.detected",
    "rate.exceeded",
)
"""The bit of each check is its place here. Day files hold these bits: only ever add at the end."""

OTHER = 1 << 62
"""The bit of every check without a place: SQLite's integers have 63 bits to give."""

_BITS = {check: 1 << place for place, check in enumerate(CHECKS)}
_UNKNOWN = "?"


def bit_of(check: str) -> int:
    """The bit of a check that can fail."""
    return _BITS.get(check, OTHER)


@lru_cache(maxsize=256)
def bits_of_family(family: str) -> int:
    """The bits of all checks of a family."""
    bits = 0
    for check, bit in _BITS.items():
        if check.partition(".")[0] == family:
            bits |= bit
    return bits or OTHER


def findings_text(findings: Iterable[Finding]) -> str:
    """``ptr.missing ?spf.couldnt-tell=spf.fail``: what was found against a message, in order.

    What passed or was only noted never weighs, so it is left out.
    """
    words = []
    for finding in findings:
        if finding.result is Result.FAIL:
            words.append(finding.check)
        elif finding.result is Result.COULDNT_TELL:
            words.append(f"{_UNKNOWN}{finding.check}={','.join(finding.could_be)}")
    return " ".join(words)


@lru_cache(maxsize=8_192)
def findings_of(text: str) -> tuple[Finding, ...]:
    """The findings of such a text, without their words and their seconds."""
    return tuple(map(_finding, text.split()))


def _finding(word: str) -> Finding:
    if not word.startswith(_UNKNOWN):
        return Finding(word, Result.FAIL, "")
    check, _, could_be = word[1:].partition("=")
    might = tuple(could_be.split(",")) if could_be else ()
    return Finding(check, Result.COULDNT_TELL, "", could_be=might)


@lru_cache(maxsize=8_192)
def bits_of(text: str) -> tuple[int, int]:
    """The bits of what failed; and of what nobody could tell, with what might have failed there."""
    failed = unknown = 0
    for finding in findings_of(text):
        if finding.result is Result.FAIL:
            failed |= bit_of(finding.check)
            continue
        unknown |= bit_of(finding.check)
        if not finding.could_be:
            unknown |= bits_of_family(finding.family)
        for check in finding.could_be:
            unknown |= bit_of(check)
    return failed, unknown
