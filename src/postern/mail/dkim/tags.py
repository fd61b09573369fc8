"""Tag lists: ``v=1; a=rsa-sha256``, which signatures and key records are written in.

A list that breaks the grammar is worth nothing as a whole: whoever guesses what was meant guesses
what was signed.

Source: RFC 6376 §3.2.
"""

import binascii
import re
from dataclasses import dataclass

MAX_TAG_LIST_BYTES = 16_384
"""A longer list is not looked at; the largest honest ones have some 3,000 octets."""

_BLANKS = b" \t"
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TAG = re.compile(rb"[ \t]*+([A-Za-z][A-Za-z0-9_]*+)[ \t]*+=(.*)", re.DOTALL)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]++={0,2}")


@dataclass(frozen=True, slots=True)
class TagFlaw:
    """Why something is not a tag list: one plain clause without a full stop."""

    text: str


def read_tags(raw: bytes) -> dict[bytes, bytes] | TagFlaw:
    """The tags by name, in order, their values without blanks around them.

    Args:
        raw: still folded, as in a header or a TXT record. Blanks within values are kept: whether
            they count is each tag's own business.
    """
    if len(raw) > MAX_TAG_LIST_BYTES:
        return TagFlaw(f"the tag list is longer than {MAX_TAG_LIST_BYTES} octets")
    text = raw.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t") if b"\r\n" in raw else raw
    if _CONTROL.search(text):
        return TagFlaw("the tag list has control characters")
    parts = text.split(b";")
    if not parts[-1].strip(_BLANKS):  # one semicolon may stand at the end
        parts.pop()
    tags: dict[bytes, bytes] = {}
    for part in parts:
        match = _TAG.fullmatch(part)
        if match is None:
            return TagFlaw("the tag list has a part that is not a tag")
        if match[1] in tags:
            return TagFlaw(f"the tag {match[1].decode('ascii')}= stands twice")
        tags[match[1]] = match[2].strip(_BLANKS)
    return tags


def without_blanks(value: bytes) -> bytes:
    """A tag's value with the blanks left out that folding put into it."""
    return value.translate(None, _BLANKS)


def read_base64(value: bytes) -> bytes | None:
    """The octets of a base64 value, in which blanks mean nothing; None when it is not one.

    Padding may be left out (RFC 6376 §2.10, the grammar of base64string).
    """
    text = without_blanks(value)
    if _BASE64.fullmatch(text) is None:
        return None
    digits = text.rstrip(b"=")
    try:
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    except binascii.Error:
        return None
