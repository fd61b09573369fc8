"""xtext and its international kin: how DSN parameters carry any address in plain ASCII.

Source: RFC 3461 §4 (xtext), RFC 6533 §3 (utf-8-addr-xtext, utf-8-addr-unitext).
"""

import re

from postern.mail.address import CONTROLS

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(rb"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(rb"[^!-*,-<>-~]")
_UNITEXT = re.compile(r"(?:[!-*,-<>-\[\]-~\x80-\U0010ffff]|\\x\{[0-9A-F]{1,6}\})*")
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{1,6})\}")


def decode_xtext(text: str) -> str | None:
    """What an xtext stands for, or None when it is not xtext or hides controls (CR LF, NUL …)."""
    if _XTEXT.fullmatch(text) is None:
        return None
    octets = _HEXCHAR.sub(lambda hexchar: bytes([int(hexchar[1], 16)]), text.encode("ascii"))
    try:
        plain = octets.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if CONTROLS.search(plain) else plain


def encode_xtext(text: str) -> str:
    """``text`` (as UTF-8) in xtext: ASCII without blanks, ``+``, ``=`` or controls."""
    octets = _NOT_XCHAR.sub(lambda octet: b"+%02X" % ord(octet[0]), text.encode("utf-8"))
    return octets.decode("ascii")


def decode_unitext(text: str) -> str | None:
    r"""What a utf-8-addr-xtext or -unitext stands for: ``\x{E9}`` is é; None when it is neither."""
    if _UNITEXT.fullmatch(text) is None:
        return None
    points = [int(match[1], 16) for match in _EMBEDDED.finditer(text)]
    if any(point > 0x10FFFF or 0xD800 <= point <= 0xDFFF for point in points):
        return None
    plain = _EMBEDDED.sub(lambda match: chr(int(match[1], 16)), text)
    return None if CONTROLS.search(plain) else plain
