"""Writing an Authentication-Results field.

What is reported comes from strangers (a HELO, an address, a selector), so nothing is trusted to be
what the grammar wants: what is not a token or an address is quoted, controls become ``?``, and what
is too long is cut. No value can end the field, the result or the line it stands in.

Source: RFC 8601 §2.2; RFC 2045 §5.1 (token); RFC 5322 §2.1.1 (line lengths), §3.2.4; RFC 6532.
"""

import re
from collections.abc import Iterable

from postern.mail.address import ATEXT, CONTROLS, LABEL, to_a_labels
from postern.mail.authres.results import VERSION, AuthenticationResults, MethodResult

MAX_VALUE_BYTES = 400
"""Longer texts are cut; even if every octet is escaped such a line stays below 998."""

_LINE_CHARS = 78
_MAX_KEYWORD_CHARS = 64
_FOLD = "\r\n\t"

_NOT_KEYWORD = re.compile(r"[^A-Za-z0-9-]")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+")
_U_LABEL = r"[A-Za-z0-9\x80-\U0010ffff-]+"
_ADDRESS = re.compile(
    rf"(?:[{ATEXT}]+(?:\.[{ATEXT}]+)*|\"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*\")?"
    rf"@{LABEL}(?:\.{LABEL})*"
)
_ADDRESS_UTF8 = re.compile(
    rf"(?:[{ATEXT}\x80-\U0010ffff]+(?:\.[{ATEXT}\x80-\U0010ffff]+)*"
    r"|\"(?:[\x20-\x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[\x20-\x7e])*\")?"
    rf"@{_U_LABEL}(?:\.{_U_LABEL})*"
)
_QUOTED = re.compile(r'(["\\])')
_COMMENTED = re.compile(r"([()\\])")


def field(results: AuthenticationResults, *, utf8: bool = False) -> bytes:
    """The whole field with its last CR LF, ready to be put in front of a message.

    ``utf8``: the message is internationalised (RFC 6532), so values may be. Otherwise domains are
    written as A-labels and other characters outside of ASCII as ``?``.
    """
    return b"Authentication-Results: " + payload(results, utf8=utf8) + b"\r\n"


def payload(results: AuthenticationResults, *, utf8: bool = False) -> bytes:
    """The field's value, folded, without its last CR LF.

    Each result begins a line, so anything short may stand before it on the first: ARC puts its
    instance there (RFC 8617 §4.1.1).
    """
    name = results.authserv_id
    if not utf8 and not name.isascii():
        name = to_a_labels(name) or name
    head = _word(name, utf8=utf8)
    if results.version != VERSION:
        head += f" {results.version}"
    if not results.results:
        return f"{head}; none".encode()
    lines = [_fold(_words(result, utf8=utf8)) for result in results.results]
    return f";{_FOLD}".join([head, *lines]).encode()


def _words(result: MethodResult, *, utf8: bool) -> Iterable[str]:
    """The pieces of one result, between which it may be folded."""
    version = "" if result.version == VERSION else f"/{result.version}"
    yield f"{_keyword(result.method)}{version}={_keyword(result.result)}"
    if result.comment:
        comment = _COMMENTED.sub(r"\\\1", _printable(result.comment, utf8=utf8))
        yield f"({comment})"
    if result.reason:
        yield f"reason={_word(result.reason, utf8=utf8)}"
    for item in result.properties:
        value = _value(item.value, utf8=utf8)
        yield f"{_keyword(item.type)}.{_keyword(item.name)}={value}"


def _fold(words: Iterable[str]) -> str:
    """Words on lines of at most 78 characters where that can be (RFC 5322 §2.1.1)."""
    lines: list[str] = []
    line = ""
    for word in words:
        if line and len(line) + len(word) + 2 > _LINE_CHARS:  # with the blanks around it
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return _FOLD.join(lines)


def _keyword(text: str) -> str:
    """A keyword (RFC 5321 §4.1.2); they come from code, so this only holds mistakes in check."""
    return _NOT_KEYWORD.sub("-", text[:_MAX_KEYWORD_CHARS]).strip("-") or "x"


def _value(text: str, *, utf8: bool) -> str:
    """A property's value: a token, an address, or else a quoted string."""
    if not utf8 and not text.isascii():
        text = _with_a_labels(text)
    text = _printable(text, utf8=utf8)
    if (_ADDRESS_UTF8 if utf8 else _ADDRESS).fullmatch(text):
        return text
    return _quoted(text)


def _with_a_labels(text: str) -> str:
    """A domain, or an address's, in ASCII where it can be converted."""
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{to_a_labels(domain) or domain}"


def _word(text: str, *, utf8: bool) -> str:
    """A token or a quoted string."""
    return _quoted(_printable(text, utf8=utf8))


def _quoted(text: str) -> str:
    """A printable text as it is when it is a token, else in quotes."""
    if _TOKEN.fullmatch(text):
        return text
    escaped = _QUOTED.sub(r"\\\1", text)
    return f'"{escaped}"'


def _printable(text: str, *, utf8: bool) -> str:
    """One safe line: no controls, not too long, and in ASCII unless ``utf8``."""
    text = CONTROLS.sub("?", text[:MAX_VALUE_BYTES])
    if text.isascii():
        return text
    if not utf8:
        return text.encode("ascii", "replace").decode("ascii")
    # Lone surrogates have no UTF-8; a cut must not leave half a character.
    return text.encode("utf-8", "replace")[:MAX_VALUE_BYTES].decode("utf-8", "ignore")
