"""Why a client is suspicious enough to be asked to come again.

At RCPT by what was found of the client and its sender; once the message is there also where neither
SPF nor DKIM speaks for anybody in it.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

from postern.mail.finding import Finding, Result
from postern.policy.rules.match import IP, Facts

SUSPECT = frozenset({
    "ptr.missing",
    "ptr.mismatch",
    "helo.invalid",
    "helo.unresolvable",
    "spf.fail",
    "spf.softfail",
    "standards.early-talk",
})  # fmt: skip
"""Checks whose fail is a reason, where it does not refuse by itself. "Couldn't tell" is none: what
would only be noted if it failed must not hold mail up because nobody knew."""
PROVING = frozenset({"spf", "dkim"})
LISTED = "dnsbl.listed"
DYNAMIC = "a name that is made of its address"
UNPROVEN = "neither SPF nor DKIM"
ALWAYS = "everybody"


def reason_of(findings: Sequence[Finding], facts: Facts) -> str:
    """What is suspicious: a check's id, or a few words; empty for nothing."""
    for finding in findings:
        if _speaks_against(finding):
            return finding.check
    if facts.ptr and facts.ip is not None and is_made_of(facts.ptr, facts.ip):
        return DYNAMIC
    return UNPROVEN if facts.has_header and _is_unproven(findings, facts) else ""


def _is_unproven(findings: Iterable[Finding], facts: Facts) -> bool:
    """Nothing proves it, and nothing that nobody could tell might have."""
    unknown = (one.family for one in findings if one.result is Result.COULDNT_TELL)
    return not facts.proven and PROVING.isdisjoint(unknown)


def _speaks_against(finding: Finding) -> bool:
    match finding.result:
        case Result.FAIL:
            return finding.check in SUSPECT
        case Result.NOTE:  # on a list, and below the threshold
            return finding.check == LISTED
        case _:
            return False


_DIGITS = re.compile(r"\d+")
_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?![0-9a-f])")


def is_made_of(name: str, ip: IP) -> bool:
    """True for names as access providers give them: ``24-100-51-198.dsl.isp.example``.

    That is all four numbers in either order, however they are set apart, or the address in hex. Of
    IPv6 nothing is said: names for whole networks of it are rare.
    """
    digits = _DIGITS.findall(name)
    if not digits or not isinstance(ip, IPv4Address):
        return False
    octets = str(ip).split(".")
    numbers = [number.lstrip("0") or "0" for number in digits]
    for wanted in (octets, octets[::-1]):
        if any(numbers[start : start + 4] == wanted for start in range(len(numbers) - 3)):
            return True
    padded = {"".join(f"{int(o):03d}" for o in order) for order in (octets, octets[::-1])}
    return any(one in name for one in padded) or ip.packed.hex() in _HEX.findall(name)
