"""Findings that refuse nobody before the whole message is there.

A server that sends for others fails SPF and may be honest: DKIM, which only the message shows, may
prove its author. So where the sender's domain publishes DMARC, what SPF says waits for what DMARC
says (RFC 9989 §7.1), and where DMARC proves that very domain to be the author's it is only noted.
"""

from dataclasses import replace

from postern.mail.address import Address
from postern.mail.finding import Finding, Result
from postern.policy.panel import Known


def before_message(known: Known) -> tuple[Finding, ...]:
    """What counts at RCPT."""
    if not known.waits:
        return known.findings
    return tuple(one for one in known.findings if one.check not in known.waits)


def after_message(known: Known, sender: Address | None, authors: tuple[Address, ...]) -> Known:
    """What counts once all is known: what waited for DMARC counts less where DMARC passed."""
    if not known.waits or sender is None or not _is_proven(known) or not authors:
        return known
    if not all(_are_one(sender.domain, author.domain) for author in authors):
        return known  # its author is somebody else, and speaks for nobody's envelope
    findings = (
        _noted(one) if one.check in known.waits and one.result is Result.FAIL else one
        for one in known.findings
    )
    return replace(known, findings=tuple(findings))


def _is_proven(known: Known) -> bool:
    return any(one.check == "dmarc.reject" and one.result is Result.PASS for one in known.findings)


def _are_one(domain: str, other: str) -> bool:
    return domain == other or domain.endswith(f".{other}") or other.endswith(f".{domain}")


def _noted(finding: Finding) -> Finding:
    text = f"{finding.text}; but DMARC proves the author all the same"
    return replace(finding, result=Result.NOTE, text=text)
