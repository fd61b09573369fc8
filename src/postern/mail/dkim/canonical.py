"""Header fields as signatures see them: simple or relaxed (RFC 6376 §3.4.1, §3.4.2)."""

import re
from enum import Enum

_BLANKS = re.compile(rb"[ \t]+")


class Canon(Enum):
    """How much change a signature forgives: none, or what relays do to blanks and folding."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """One field relaxed, without a line end.

    Args:
        name: in lower case, without blanks behind it.
        value: what follows the colon, still folded, without its last CR LF.
    """
    # In a field every CR LF is followed by a blank; a CR or LF alone is an ordinary octet.
    text = value.replace(b"\r\n", b"")
    if b"\t" in text or b"  " in text:
        text = _BLANKS.sub(b" ", text)
    return name + b":" + text.strip(b" ")


def without_signature(field: bytes) -> bytes:
    """A signature's own field with the value of its ``b=`` taken out, blanks around it included.

    Args:
        field: name, colon and value as they stand; the value must have been read as a tag list, so
            that there is exactly one ``b``.

    Source: RFC 6376 §3.7.
    """
    name, colon, value = field.partition(b":")
    parts = value.split(b";")
    for place, part in enumerate(parts):
        tag, equals, _ = part.partition(b"=")
        if equals and tag.strip(b" \t\r\n") == b"b":
            parts[place] = tag + equals
            break
    return name + colon + b";".join(parts)
