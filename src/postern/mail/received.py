"""The line Postern puts in front of a message it takes: Received.

Source: RFC 5321 §4.4 (trace), RFC 3848 and RFC 6531 §4.3 (``with`` keywords), RFC 5322 §3.3 (date).
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

from postern.mail.address import Address

LINE_CHARS = 78
"""Lines are folded to stay below this where their words allow it (RFC 5322 §2.1.1)."""

_MAX_WORD_CHARS = 255
_SAFE_WORD = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_UNSAFE_IN_PATH = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=16)
def _second_as_date(second: int) -> str:
    # strftime speaks the locale's language; headers speak English.
    at = datetime.fromtimestamp(second, UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year:04} "
        f"{at.hour:02}:{at.minute:02}:{at.second:02} +0000"
    )


def header_date(instant: float) -> str:
    """``Sat, 22 Nov 2026 20:51:35 +0000``: a moment for a header, in UTC."""
    return _second_as_date(int(instant))


def with_keyword(*, extended: bool, tls: bool, authenticated: bool, smtputf8: bool = False) -> str:
    """The protocol word of a Received header: ``SMTP``, ``ESMTPSA`` or ``UTF8SMTPS``.

    Args:
        extended: the client said EHLO (or LHLO), not HELO.
        tls: the connection is encrypted.
        authenticated: AUTH succeeded.
        smtputf8: this transaction's MAIL had SMTPUTF8.
    """
    marks = ("S" if tls else "") + ("A" if authenticated else "")
    if smtputf8:
        return f"UTF8SMTP{marks}"
    # RFC 3848 has no words for HELO under TLS or AUTH: such a client has used EHLO before.
    return f"ESMTP{marks}" if extended or marks else "SMTP"


def received_header(
    *,
    helo: str,
    ip: str,
    rdns: str,
    hostname: str,
    protocol: str,
    trace: str,
    instant: float,
    tls: str = "",
    recipient: Address | None = None,
) -> bytes:
    """One Received field with its CR LF, to be put in front of a message.

    Args:
        helo: the client's own word as sent; anything unusual in it becomes ``?``.
        ip: the client's address without brackets; empty for a client of this machine.
        rdns: name the address has in DNS, or empty when unknown.
        hostname: ours.
        protocol: see ``with_keyword``.
        trace: trace code of the transaction.
        instant: seconds since 1970.
        tls: version and cipher as in the journal, ``"TLS1.3 TLS_AES_256_GCM_SHA384"``, or empty.
        recipient: only when the transaction has exactly one; several would betray a Bcc.
    """
    client = f"({_word(rdns) if rdns else 'unknown'} {_literal(ip)})" if ip else "(local)"
    way = f"with {protocol}"
    if tls:
        version, _, cipher = tls.partition(" ")
        way += f" ({_word(version)} cipher {_word(cipher)})" if cipher else f" ({_word(tls)})"
    words = [
        f"Received: from {_word(helo) if helo else 'unknown'}",
        client,
        f"by {hostname} (Postern)",
        way,
        f"id {trace}",
    ]
    if recipient is not None:
        words.append(f"for <{_UNSAFE_IN_PATH.sub('?', str(recipient))}>")
    words[-1] += ";"
    words.append(header_date(instant))
    return folded(words)


def folded(words: list[str]) -> bytes:
    """Words joined by blanks, a new line begun before a word that would pass the limit."""
    lines = []
    line = words[0]
    for word in words[1:]:
        # 77 and a tab counted as one; a tab keeps the field's lines together in what people read.
        if len(line) + len(word) + 1 < LINE_CHARS:
            line = f"{line} {word}"
        else:
            lines.append(line)
            line = f"\t{word}"
    lines.append(f"{line}\r\n")
    return "\r\n".join(lines).encode()


def _word(text: str) -> str:
    """``text`` without anything that could end a word, comment or line."""
    if _SAFE_WORD.fullmatch(text):
        return text
    return _UNSAFE.sub("?", text[:_MAX_WORD_CHARS])


def _literal(ip: str) -> str:
    """An address as RFC 5321 §4.1.3 writes it: ``[192.0.2.1]``, ``[IPv6:2001:db8::1]``."""
    return f"[IPv6:{_word(ip)}]" if ":" in ip else f"[{_word(ip)}]"
