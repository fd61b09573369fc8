"""Makes a message of the network out of what a program wrote: CR LF, recipients, no Bcc."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

MAX_HEADER_BYTES = 1_000_000
MAX_LINE_BYTES = 65536

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_RECIPIENT_FIELDS = (b"to", b"cc", b"bcc")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was learned of the message while it was copied; ``mistake`` is empty when it is fine."""

    recipients: tuple[str, ...]
    size_bytes: int
    is_eight_bit: bool
    has_utf8_header: bool
    mistake: str = ""


def prepare(
    source: IO[bytes],
    target: IO[bytes],
    *,
    dot_ends: bool,
    reads_recipients: bool,
    author: str,
) -> Prepared:
    """Copy a message, making every line end with CR LF, and look at its header on the way.

    A lone CR within a line becomes a blank: the server would refuse it, and as an end of line it
    could smuggle a header field in. A missing From field is added. With ``reads_recipients`` the
    Bcc fields are left out.

    Args:
        source: the message as the program wrote it.
        target: where it goes; left at its end.
        dot_ends: a line of one dot ends the message.
        reads_recipients: take recipients from To, Cc and Bcc.
        author: full name, NUL, address: for a From field.
    """
    lines = _lines(source, dot_ends=dot_ends)
    header: list[bytes] = []
    rest = b""
    size = 0
    for line in lines:
        size += len(line)
        is_more = bool(_FIELD.match(line)) or (bool(header) and line[:1] in b" \t" and line != b"")
        if not is_more:
            rest = line
            break
        if size > MAX_HEADER_BYTES:
            return Prepared(
                (), 0, is_eight_bit=False, has_utf8_header=False, mistake="header too large"
            )
        header.append(line)
    fields = _fields(header)
    recipients, mistake = _recipients(fields) if reads_recipients else ((), "")
    if reads_recipients:
        fields = [(name, raw) for name, raw in fields if name != b"bcc"]
    if not any(name == b"from" for name, _ in fields):
        fields.append((b"from", _from_field(author)))
    head = b"".join(raw for _, raw in fields)
    written = target.write(head)
    is_eight_bit = not head.isascii()
    # Where a blank line does not part header and body, one is put between them.
    opening = [b""] if rest == b"" else [b"", rest]
    for line in _chain(opening, lines):
        is_eight_bit = is_eight_bit or not line.isascii()
        written += target.write(line + b"\r\n")
    return Prepared(
        recipients,
        written,
        is_eight_bit=is_eight_bit,
        has_utf8_header=not head.isascii(),
        mistake=mistake,
    )


def _chain(opening: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from opening
    yield from rest


def _lines(source: IO[bytes], *, dot_ends: bool) -> Iterator[bytes]:
    """The lines without their ends; a very long one comes in parts, which is as good as copying.

    An mbox "From " line in front is dropped.
    """
    is_first = True
    while chunk := source.readline(MAX_LINE_BYTES):
        line = chunk.rstrip(b"\n").rstrip(b"\r").replace(b"\r", b" ")
        if dot_ends and line == b".":
            return
        if not (is_first and line.startswith(b"From ")):
            yield line
        is_first = False


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Header fields as (name in lower case, raw bytes with line ends)."""
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        found = _FIELD.match(line)
        if found and line[:1] not in b" \t":
            fields.append((found[1].lower(), line + b"\r\n"))
        else:
            name, raw = fields[-1]
            fields[-1] = (name, raw + line + b"\r\n")
    return fields


def _recipients(fields: list[tuple[bytes, bytes]]) -> tuple[tuple[str, ...], str]:
    """The addresses of To, Cc and Bcc, or of their Resent- forms when there are any."""
    from email import message_from_bytes, policy  # noqa: PLC0415 - 60 ms that only -t pays

    names = {name for name, _ in fields}
    resent = tuple(b"resent-" + name for name in _RECIPIENT_FIELDS)
    wanted = resent if names & set(resent) else _RECIPIENT_FIELDS
    found: list[str] = []
    for name, raw in fields:
        if name not in wanted:
            continue
        text = name.decode()
        value = message_from_bytes(raw + b"\r\n", policy=policy.SMTPUTF8)[text]
        addresses = [address.addr_spec for address in value.addresses if address.username]
        if len(addresses) < len(value.addresses) or (not value.groups and str(value).strip()):
            return (), f"the {text} field holds something that is no address"
        found += addresses
    return tuple(found), ""


def _from_field(author: str) -> bytes:
    name, _, address = author.partition("\0")
    plain = "".join(c for c in name if c.isprintable()).replace("\\", "").replace('"', "")
    sender = address or "MAILER-DAEMON"
    text = f'From: "{plain}" <{sender}>' if plain else f"From: <{sender}>"
    return text.encode() + b"\r\n"
