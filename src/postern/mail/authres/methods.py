"""The results we report, one function for each method, with the properties it is registered with.

Properties that are empty are left out: what was not looked at is not reported, and neither is what
the method did not authenticate (RFC 8601 §4), so SPF gets a domain and not an address.

Source: RFC 8601 §2.7, §6.3; RFC 6008 (``header.b``); RFC 8617 §10.1-2 (ARC); RFC 9989 §9.1.
"""

from postern.mail.authres.results import MethodResult, Property

SIGNATURE_CHARS = 8
"""How much of a signature tells it from another of the same domain (RFC 6008 §4)."""


def dkim(
    result: str,
    *,
    domain: str = "",
    identity: str = "",
    selector: str = "",
    algorithm: str = "",
    signature: str = "",
    reason: str = "",
    comment: str = "",
) -> MethodResult:
    """One signature, or ``none`` for an unsigned message; ``signature`` is its ``b=``."""
    properties = _given(
        ("header", "d", domain),
        ("header", "i", identity),
        ("header", "s", selector),
        ("header", "a", algorithm),
        ("header", "b", signature[:SIGNATURE_CHARS]),
    )
    return MethodResult("dkim", result, properties, reason, comment)


def spf(
    result: str, *, mail_from: str = "", helo: str = "", reason: str = "", comment: str = ""
) -> MethodResult:
    """SPF, with the one domain that gave the result."""
    properties = _given(("smtp", "mailfrom", mail_from), ("smtp", "helo", helo))
    return MethodResult("spf", result, properties, reason, comment)


def dmarc(
    result: str, *, header_from: str = "", policy: str = "", reason: str = "", comment: str = ""
) -> MethodResult:
    """DMARC: the author domain, and the policy asked for after ``t`` was looked at."""
    properties = _given(("header", "from", header_from), ("policy", "dmarc", policy))
    return MethodResult("dmarc", result, properties, reason, comment)


def arc(
    result: str, *, remote_ip: str = "", oldest_pass: str = "", reason: str = "", comment: str = ""
) -> MethodResult:
    """The ARC chain; ``oldest_pass`` is the lowest instance whose signature still held."""
    properties = _given(("smtp", "remote-ip", remote_ip), ("header", "oldest-pass", oldest_pass))
    return MethodResult("arc", result, properties, reason, comment)


def iprev(result: str, ip: str, *, reason: str = "", comment: str = "") -> MethodResult:
    """Reverse and forward DNS of the client."""
    return MethodResult("iprev", result, _given(("policy", "iprev", ip)), reason, comment)


def auth(
    result: str, *, identity: str = "", mail_from: str = "", reason: str = "", comment: str = ""
) -> MethodResult:
    """SMTP AUTH: who logged in, and who the AUTH parameter of MAIL named."""
    properties = _given(("smtp", "auth", identity), ("smtp", "mailfrom", mail_from))
    return MethodResult("auth", result, properties, reason, comment)


def _given(*properties: tuple[str, str, str]) -> tuple[Property, ...]:
    """Those that have a value."""
    return tuple(Property(type_, name, value) for type_, name, value in properties if value)
