"""Reverse and forward paths: what stands in angle brackets after FROM and TO (RFC 5321 §4.1.2)."""

import re
from dataclasses import dataclass

from postern.mail.address import (
    ATEXT,
    CONTROLS,
    LABEL,
    MAX_LABEL_BYTES,
    MAX_LOCAL_BYTES,
    Address,
    AddressFlaw,
    has_long_label,
    read_mailbox,
    to_a_labels,
)

MAX_PATH_BYTES = 256
"""RFC 5321 §4.5.3.1.3, with the angle brackets."""

ORDINARY_PATH = rf"<([{ATEXT}]+(?:\.[{ATEXT}]+)*)@({LABEL}(?:\.{LABEL})*)>".encode()
"""Nearly every path: dot-atom@domain, matched on the bytes; its groups go to ordinary_address."""

_ORDINARY = re.compile(ORDINARY_PATH + rb"(?: +(.*))?", re.DOTALL)
_SOURCE_ROUTE = re.compile(r"<@([^\s<>@,:]+(?:,@[^\s<>@,:]+)*):")


@dataclass(frozen=True, slots=True)
class ParsedPath:
    """A path that was understood.

    ``address`` is None for the null path ``<>``; ``rest`` is what follows the path and its blanks
    (the parameters); ``international`` tells that the path itself had bytes beyond ASCII, so that
    the command needs SMTPUTF8 even where the address as we keep it does not (U-labels).
    """

    address: Address | None
    rest: bytes
    international: bool = False


@dataclass(frozen=True, slots=True)
class PathError:
    """Why a path was not understood: a clause without a full stop, fit for a reply."""

    text: str
    needs_smtputf8: bool = False


def parse_reverse_path(raw: bytes, *, smtputf8: bool) -> ParsedPath | PathError:
    """The path after ``MAIL FROM:``, which may be ``<>``, with what follows it.

    Args:
        raw: from the ``<`` on, to the end of the command.
        smtputf8: whether addresses beyond ASCII may be used here.
    """
    if raw == b"<>":
        return ParsedPath(None, b"")
    if raw.startswith(b"<> "):
        return ParsedPath(None, raw[3:].strip(b" "))
    return _ordinary(raw) or _unusual(raw, smtputf8=smtputf8)


def parse_forward_path(raw: bytes, *, smtputf8: bool) -> ParsedPath | PathError:
    """The path after ``RCPT TO:``; ``<postmaster>`` needs no domain (RFC 5321 §4.1.1.3)."""
    ordinary = _ordinary(raw)
    if ordinary is not None:
        return ordinary
    if raw[:12].lower() == b"<postmaster>" and raw[12:13] in {b"", b" "}:
        return ParsedPath(Address(raw[1:11].decode("ascii"), ""), raw[12:].strip(b" "))
    if raw.startswith(b"<>"):
        return PathError("the recipient is missing between the angle brackets")
    return _unusual(raw, smtputf8=smtputf8)


def ordinary_address(local: bytes, domain: bytes) -> Address | None:
    """The address that ``ORDINARY_PATH`` found, or None when a part of it is too long."""
    if len(local) > MAX_LOCAL_BYTES or len(local) + len(domain) + 3 > MAX_PATH_BYTES:
        return None
    name = domain.decode("ascii").lower()
    if len(name) > MAX_LABEL_BYTES and has_long_label(name):
        return None
    return Address(local.decode("ascii"), name)


def _ordinary(raw: bytes) -> ParsedPath | None:
    """``<dot-atom@domain>`` in ASCII and within the limits, else None."""
    match = _ORDINARY.fullmatch(raw)
    if match is None:
        return None
    address = ordinary_address(match[1], match[2])
    return None if address is None else ParsedPath(address, match[3] or b"")


def _unusual(raw: bytes, *, smtputf8: bool) -> ParsedPath | PathError:
    """Every other path: quoted, literal, routed, international, or wrong."""
    if not raw.startswith(b"<"):
        return PathError("put the address in angle brackets")
    international = not raw.isascii()
    if international and not smtputf8:
        return PathError("this address needs SMTPUTF8", needs_smtputf8=True)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return PathError("the address is not valid UTF-8")
    if CONTROLS.search(text):
        return PathError("the address has control characters")
    start = _after_source_route(text)
    if start is None:
        return PathError("the source route is not well formed")
    span = read_mailbox(text, start)
    if isinstance(span, AddressFlaw):
        return PathError(span.text)
    if not text.startswith(">", span.end):
        closed = ">" in text[span.end :]
        return PathError("the address is not well formed" if closed else "the closing > is missing")
    path, rest = text[: span.end + 1], text[span.end + 1 :]
    if len(path.encode()) > MAX_PATH_BYTES:
        return PathError(f"the path is longer than {MAX_PATH_BYTES} bytes")
    if rest and not rest.startswith(" "):
        return PathError("there is something right behind the closing >")
    return ParsedPath(span.address, rest.strip(" ").encode(), not path.isascii())


def _after_source_route(text: str) -> int | None:
    """Where the mailbox begins, past ``@a,@b:`` which RFC 5321 §F.2 lets us ignore; None if bad."""
    if not text.startswith("<@"):
        return 1
    route = _SOURCE_ROUTE.match(text)
    if route is None or any(to_a_labels(h.lstrip("@")) is None for h in route[1].split(",")):
        return None
    return route.end()
