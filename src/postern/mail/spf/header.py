"""The Received-SPF field: a result written down for whoever reads the message later.

Source: RFC 7208 §9.1, RFC 5322 §2.1.1 (line lengths), §3.2.2 (comments), §3.2.4 (quoted strings).
"""

import re

from postern.mail.address import ATEXT
from postern.mail.message.text import without_controls
from postern.mail.received import folded
from postern.mail.spf.identity import Claim, Identity
from postern.mail.spf.result import SpfCode, SpfResult

_MAX_VALUE_CHARS = 320
_DOT_ATOM = re.compile(rf"[{ATEXT}]+(?:\.[{ATEXT}]+)*")
_SPECIAL_IN_QUOTES = re.compile(r'(["\\])')
_SPECIAL_IN_COMMENT = re.compile(r"([()\\])")


def received_spf(result: SpfResult, claim: Claim, *, ip: str, helo: str, receiver: str) -> bytes:
    """One Received-SPF field with its CR LF, to be put above our own Received.

    Args:
        result: of checking ``claim``.
        claim: whose right to send was checked.
        ip: the client's address.
        helo: the client's word at HELO or EHLO.
        receiver: our own name.
    """
    comment = _SPECIAL_IN_COMMENT.sub(r"\\\1", f"{_plain(receiver)}: {_words(result, claim, ip)}")
    pairs = [("identity", claim.identity.value), ("client-ip", ip), ("helo", helo)]
    if claim.identity is Identity.MAIL_FROM:
        pairs.append(("envelope-from", claim.sender))
    if result.code not in {SpfCode.NONE, SpfCode.TEMPERROR, SpfCode.PERMERROR}:
        pairs.append(("mechanism", result.mechanism or "default"))
    elif result.problem:
        pairs.append(("problem", result.problem))
    pairs.append(("receiver", receiver))
    words = ["Received-SPF:", result.code.value, *f"({comment})".split()]
    words += [f"{key}={_value(value)};" for key, value in pairs]
    return folded(words)


def _words(result: SpfResult, claim: Claim, ip: str) -> str:
    """The comment: the result in a clause, after the examples of RFC 7208 §9.1."""
    sender, address = _plain(claim.sender), _plain(ip)
    match result.code:
        case SpfCode.PASS:
            return f"domain of {sender} designates {address} as permitted sender"
        case SpfCode.FAIL:
            return f"domain of {sender} does not designate {address} as permitted sender"
        case SpfCode.SOFTFAIL:
            return f"domain of {sender} discourages mail from {address}"
        case SpfCode.NEUTRAL:
            return f"domain of {sender} neither permits nor denies {address}"
        case SpfCode.NONE:
            return f"no policy found for the domain of {sender}"
        case SpfCode.TEMPERROR:
            return f"could not tell whether {address} may send for the domain of {sender}"
        case SpfCode.PERMERROR:
            return f"the policy for the domain of {sender} cannot be understood"


def _plain(text: str) -> str:
    """``text`` as ASCII without controls, of bounded length."""
    return without_controls(text[:_MAX_VALUE_CHARS]).encode("ascii", "replace").decode("ascii")


def _value(text: str) -> str:
    """A dot-atom where ``text`` is one, else a quoted string."""
    plain = _plain(text)
    if _DOT_ATOM.fullmatch(plain):
        return plain
    escaped = _SPECIAL_IN_QUOTES.sub(r"\\\1", plain)
    return f'"{escaped}"'
