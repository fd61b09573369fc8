"""The List-Id field: which mailing list a message came through (RFC 2919)."""

import re

MAX_CHARS = 255
_ID = re.compile(rb"<[ \t]*([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+)[ \t]*>[ \t\r\n]*$")


def list_id(value: bytes) -> str:
    """The identifier in a List-Id field's value, lower case; empty where there is none.

    It stands in angle brackets at the end, after a phrase for people (RFC 2919 §3).
    """
    found = _ID.search(value)
    if found is None or len(found[1]) > MAX_CHARS:
        return ""
    return found[1].decode("ascii").lower()
