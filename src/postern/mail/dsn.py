"""Delivery status notifications as bytes: what happened to a message, for people and for programs.

Three parts: words, a report for programs, and the original or its header. Everything comes in as
values; nothing that was in a mail or a peer's reply can end a line here.

Source: RFC 3461 (what is asked for), RFC 3464 (the report), RFC 6522 (multipart/report), RFC 6533
(addresses and headers in UTF-8), RFC 3834 §5 (Auto-Submitted).
"""

import binascii
import re
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

from postern.mail.address import Address
from postern.mail.message.text import clean_text
from postern.mail.received import header_date

MAX_LINE_BYTES = 998
"""RFC 5322 §2.1.1, RFC 2045 §2.8: no 7bit or 8bit part has a longer line."""

MAX_HEADERS_BYTES = 64 * 1024
"""Of a longer header block only the first lines up to here are returned."""

_FOLD_CHARS = 76
_TEXT_TYPE = "text/plain; charset=utf-8"
_MAX_VALUE_CHARS = 2_000
_WORD_OCTETS = 42  # in base64 and its frame one encoded-word then stays below 75 characters
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_ESCAPED_IN_ADDRESS = re.compile(r"[^!-*,-<>-\[\]-~]")


class Action(Enum):
    """What became of one recipient (RFC 3464 §2.3.3); wire words are the values."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """One recipient's group of fields.

    ``orcpt``: decoded ``addr-type;address`` the sender gave, or None. ``remote``: host name or
    address of who spoke last, or empty. ``diagnostic``: the reply, without ``smtp;``;
    ``diagnostic_type``: ``smtp`` for a peer's words, ``x-postern`` for our own. ``log_id``: the
    trace code. Moments are seconds since 1970.
    """

    final: Address
    action: Action
    status: str
    orcpt: str | None = None
    remote: str = ""
    diagnostic: str = ""
    diagnostic_type: str = "smtp"
    last_attempt_at: float | None = None
    will_retry_until: float | None = None
    log_id: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The part for programs. ``envid`` is the sender's, as it was before xtext."""

    reporting_mta: str
    arrived_at: float
    recipients: tuple[RecipientReport, ...]
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """The part for people, and the header around it all.

    ``sender_name`` and ``sender`` make From; ``text`` has lines ended by LF; ``languages`` are for
    Content-Language; ``in_reply_to`` is the original's Message-ID with its angle brackets, or
    empty; ``at`` is Date; ``reply_to`` is whom to ask. ``auto_submitted``: ``auto-replied`` to the
    sender of a message, ``auto-generated`` to anyone else (RFC 3834 §5).
    """

    sender_name: str
    sender: Address
    to: Address
    subject: str
    text: str
    message_id: str
    at: float
    languages: tuple[str, ...] = ("en", "zh-Hans")
    in_reply_to: str = ""
    auto_submitted: str = "auto-replied"
    reply_to: Address | None = None


@dataclass(frozen=True, slots=True)
class Returned:
    """What is brought back. ``body`` None: the header only."""

    head: bytes
    body: bytes | None = None


def compose(letter: Letter, report: Report, original: Returned, *, smtputf8: bool = False) -> bytes:
    """A whole notice, every line ended by CR LF.

    Args:
        letter: words and header.
        report: the facts.
        original: the message it is about. A body whose lines are too long, or that has NUL or a
            bare CR or LF, cannot travel inside another message: then the header only.
        smtputf8: the reader can take UTF-8 in headers (RFC 6533), as a sender who used SMTPUTF8
            can. Without it the notice is ASCII but for an 8-bit original that is returned whole.
    """
    status = _delivery_status(report, smtputf8=smtputf8)
    parts = [
        _part(_TEXT_TYPE, _text(letter), "quoted-printable"),
        _part(
            "message/delivery-status" if status.isascii() else "message/global-delivery-status",
            status,
            _plain_encoding(status),
        ),
        _returned(original, smtputf8=smtputf8),
    ]
    boundary = _boundary(parts)
    body = _joined(parts, boundary)
    content_type = f'multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"'
    return _head(letter, content_type, _plain_encoding(body)) + b"\r\n" + body


def compose_plain(letter: Letter) -> bytes:
    """A notice of words alone, every line ended by CR LF."""
    return _head(letter, _TEXT_TYPE, "quoted-printable") + b"\r\n" + _text(letter)


def compose_alternative(letter: Letter, html: str) -> bytes:
    """A notice as words and as a page (RFC 2046 §5.1.4), every line ended by CR LF."""
    parts = [
        _part(_TEXT_TYPE, _text(letter), "quoted-printable"),
        _part("text/html; charset=utf-8", _encoded(html), "quoted-printable"),
    ]
    boundary = _boundary(parts)
    content_type = f'multipart/alternative;\r\n\tboundary="{boundary}"'
    return _head(letter, content_type, "7bit") + b"\r\n" + _joined(parts, boundary)


def encode_header(name: str, text: str) -> bytes:
    """One header field with its CR LF: folded, and in encoded-words where it is not ASCII.

    Source: RFC 2047 §2, §5.
    """
    text = clean_text(text)
    if text.isascii() and "=?" not in text:
        return _field(name, text)
    pieces = [b""]
    for char in text:
        octets = char.encode()
        if len(pieces[-1]) + len(octets) > _WORD_OCTETS:
            pieces.append(b"")
        pieces[-1] += octets
    encoded = [binascii.b2a_base64(piece, newline=False).decode() for piece in pieces]
    return _folded(name, [f"=?utf-8?B?{word}?=" for word in encoded])


def status_of(enhanced: str, fallback: str) -> str:
    """``enhanced`` when it is a status code of RFC 3463, else ``fallback``."""
    return enhanced if _ENHANCED.fullmatch(enhanced) else fallback


def cut_head(head: bytes, limit_bytes: int = MAX_HEADERS_BYTES) -> bytes:
    """A header block's whole lines up to a limit, without the empty line."""
    end = head.find(b"\r\n\r\n")
    block = head[: end + 2] if end >= 0 else head
    if len(block) > limit_bytes:
        block = block[: block.rfind(b"\r\n", 0, limit_bytes) + 2]
    return block if block.endswith(b"\r\n") or not block else block + b"\r\n"


def _head(letter: Letter, content_type: str, encoding: str) -> bytes:
    """The notice's own header."""
    name = clean_text(letter.sender_name).replace("\\", "").replace('"', "")
    lines = [
        _field("From", f'"{name}" <{letter.sender}>' if name else f"<{letter.sender}>"),
        _field("To", f"<{letter.to}>"),
        encode_header("Subject", letter.subject),
        _field("Date", header_date(letter.at)),
        _field("Message-ID", letter.message_id),
    ]
    if letter.reply_to is not None:
        lines.append(_field("Reply-To", f"<{letter.reply_to}>"))
    if letter.in_reply_to:
        lines += [_field(name, letter.in_reply_to) for name in ("In-Reply-To", "References")]
    lines += [
        _field("Auto-Submitted", letter.auto_submitted),
        _field("Content-Language", ", ".join(letter.languages)),
        b"MIME-Version: 1.0\r\n",
        f"Content-Type: {content_type}\r\n".encode(),
        f"Content-Transfer-Encoding: {encoding}\r\n".encode(),
    ]
    return b"".join(lines)


def _text(letter: Letter) -> bytes:
    """The words, encoded."""
    return _encoded(letter.text)


def _encoded(text: str) -> bytes:
    return _quoted(text.replace("\n", "\r\n").encode("utf-8", "replace"))


def _delivery_status(report: Report, *, smtputf8: bool) -> bytes:
    """The fields for programs: one group for the message, one for each recipient."""
    fields = [("Reporting-MTA", f"dns; {report.reporting_mta}")]
    if report.envid:
        fields.insert(0, ("Original-Envelope-Id", report.envid))
    fields.append(("Arrival-Date", header_date(report.arrived_at)))
    groups = [fields, *(_recipient_fields(one, smtputf8=smtputf8) for one in report.recipients)]
    return b"\r\n".join(_group(group, smtputf8=smtputf8) for group in groups)


def _recipient_fields(one: RecipientReport, *, smtputf8: bool) -> list[tuple[str, str]]:
    fields = []
    kind, semicolon, address = (one.orcpt or "").partition(";")
    if semicolon and address.strip():
        fields.append(("Original-Recipient", _typed(kind, address.strip(), smtputf8=smtputf8)))
    fields += [
        ("Final-Recipient", _typed("rfc822", str(one.final), smtputf8=smtputf8)),
        ("Action", one.action.value),
        ("Status", one.status),
    ]
    if one.remote:
        fields.append(("Remote-MTA", f"dns; {_mta(one.remote)}"))
    if one.diagnostic:
        fields.append(("Diagnostic-Code", f"{one.diagnostic_type}; {one.diagnostic}"))
    if one.last_attempt_at is not None:
        fields.append(("Last-Attempt-Date", header_date(one.last_attempt_at)))
    if one.will_retry_until is not None:
        fields.append(("Will-Retry-Until", header_date(one.will_retry_until)))
    if one.log_id:
        fields.append(("Final-Log-ID", one.log_id))
    return fields


def _typed(kind: str, address: str, *, smtputf8: bool) -> str:
    """``rfc822; a@b``, or ``utf-8; …`` for what is not ASCII, escaped where the reader needs it."""
    if address.isascii():
        return f"{kind.strip().lower() or 'rfc822'}; {address}"
    if not smtputf8:  # RFC 6533 §3, utf-8-addr-xtext
        address = _ESCAPED_IN_ADDRESS.sub(lambda m: f"\\x{{{ord(m[0]):X}}}", address)
    return f"utf-8; {address}"


def _mta(remote: str) -> str:
    """A host as a name of type dns; a bare address in its brackets (RFC 3464 §2.1.2).

    ``remote`` may name both, ``mx.example [192.0.2.1]``: then the name.
    """
    host = remote.split(" ", 1)[0]
    if ":" in host and not host.startswith("["):
        return f"[IPv6:{host}]"
    return f"[{host}]" if host.replace(".", "").isdigit() else host


def _group(fields: list[tuple[str, str]], *, smtputf8: bool) -> bytes:
    lines = []
    for name, value in fields:
        safe = value if smtputf8 else value.encode("ascii", "replace").decode("ascii")
        lines.append(_field(name, safe))
    return b"".join(lines)


def _field(name: str, value: str) -> bytes:
    """One field; a word no line could hold is broken."""
    value = clean_text(value, _MAX_VALUE_CHARS)
    longest = MAX_LINE_BYTES // 5 if value.isascii() else MAX_LINE_BYTES // 20
    words: list[str] = []
    for word in value.split(" "):
        words += [word[at : at + longest] for at in range(0, len(word), longest)]
    return _folded(name, words)


def _folded(name: str, words: list[str]) -> bytes:
    """A field of these words, a new line begun before a word that would pass the limit."""
    lines = []
    line = f"{name}:"
    for number, word in enumerate(words):
        # The first word stays beside the name: some readers stumble over an empty first line.
        if number and len(line) + 1 + len(word) > _FOLD_CHARS:
            lines.append(line)
            line = ""
        line = f"{line} {word}"
    lines.append(line)
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


def _returned(original: Returned, *, smtputf8: bool) -> bytes:
    """The third part: the original whole or its header, in the variant its octets need."""
    head = cut_head(original.head)
    is_global = smtputf8 and not head.isascii()
    if original.body is not None:
        whole = original.head + original.body
        if _can_be_nested(whole):
            kind = "message/global" if is_global else "message/rfc822"
            return _part(kind, whole, _plain_encoding(whole))
    if _can_be_nested(head) and (head.isascii() or is_global):
        kind = "message/global-headers" if is_global else "text/rfc822-headers"
        return _part(kind, head, _plain_encoding(head))
    # message/global-headers may be encoded too, but few readers undo that; the text type is sure.
    quoted = b"\r\n".join(_quoted(line, is_text=False) for line in head.split(b"\r\n"))
    return _part("text/rfc822-headers", quoted, "quoted-printable")


def _can_be_nested(data: bytes) -> bool:
    """True when these octets can be a 7bit or 8bit part as they are (RFC 2045 §2.7-8)."""
    lines = data.split(b"\r\n")
    if max(map(len, lines)) > MAX_LINE_BYTES or b"\0" in data:
        return False
    return data.count(b"\r") == data.count(b"\n") == len(lines) - 1


def _part(content_type: str, content: bytes, encoding: str) -> bytes:
    """A body part. The CR LF before the next boundary belongs to the boundary, so none is added."""
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + content


def _plain_encoding(content: bytes) -> str:
    return "7bit" if content.isascii() else "8bit"


def _quoted(octets: bytes, *, is_text: bool = True) -> bytes:
    """Quoted-printable with CR LF line ends; English stays readable in the raw notice."""
    encoded = binascii.b2a_qp(octets, istext=is_text)
    return encoded if is_text else encoded.replace(b"\n", b"\r\n")


def _joined(parts: list[bytes], boundary: str) -> bytes:
    """The parts between their boundaries."""
    mark = f"--{boundary}".encode()
    return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def _boundary(parts: list[bytes]) -> str:
    """A boundary no part contains: named by the parts' own hash, so no mail can be made to hold it.

    "=_" occurs in neither base64 nor quoted-printable (RFC 2045 §6.7).
    """
    hashed = blake2b(digest_size=15)
    for part in parts:
        hashed.update(part)
    boundary = f"=_{hashed.hexdigest()}"
    while any(boundary.encode() in part for part in parts):
        hashed.update(b"again")
        boundary = f"=_{hashed.hexdigest()}"
    return boundary
