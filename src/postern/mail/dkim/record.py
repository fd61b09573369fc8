"""The TXT record to publish for a key, as text and as zone files want it.

Source: RFC 6376 §3.6.1, §3.6.2.2; RFC 1035 §3.3.14 (strings of at most 255 octets).
"""

from base64 import b64encode

from postern.mail.dkim.private import PrivateKey

MAX_STRING_OCTETS = 255


def record_name(selector: str, domain: str) -> str:
    """Where the record belongs, without a final dot."""
    return f"{selector}._domainkey.{domain}"


def record_text(key: PrivateKey, *, testing: bool = False) -> str:
    """What the record says, as one text.

    Args:
        key: whose public half is published.
        testing: ask others not to rely on the signatures yet (t=y).
    """
    flags = " t=y;" if testing else ""
    return f"v=DKIM1; k={key.kind};{flags} p={b64encode(key.public_octets()).decode('ascii')}"


def revoked_text(kind: str) -> str:
    """What the record says once the key is no longer to be trusted (RFC 6376 §3.6.1 p=)."""
    return f"v=DKIM1; k={kind}; p="


def record_strings(text: str) -> tuple[str, ...]:
    """The text in the strings that a TXT record is made of; readers join them without a blank."""
    return tuple(
        text[start : start + MAX_STRING_OCTETS] for start in range(0, len(text), MAX_STRING_OCTETS)
    )


def zone_value(text: str) -> str:
    """The value as it stands behind ``TXT`` in a zone file: quoted strings between blanks."""
    return " ".join(f'"{string}"' for string in record_strings(text))


def zone_line(selector: str, domain: str, text: str) -> str:
    """The whole record as a line of a zone file."""
    return f"{record_name(selector, domain)}. IN TXT {zone_value(text)}"
