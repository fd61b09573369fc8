"""From the text of a command to the value it stands for, or the reply that refuses it."""

import re
from dataclasses import dataclass

from postern.mail.address import CONTROLS
from postern.mail.envelope import BodyType, Recipient, Sender
from postern.mail.reply import Reply
from postern.mail.smtp.parameters import read_mail_parameters, read_rcpt_parameters
from postern.mail.smtp.path import (
    ORDINARY_PATH,
    PathError,
    ordinary_address,
    parse_forward_path,
    parse_reverse_path,
)
from postern.mail.smtp.settings import ServerSettings

MAX_NAME_BYTES = 255
"""RFC 5321 §4.5.3.1.2: the longest name HELO and EHLO can carry."""

# What nearly every client sends, read in one step; anything else takes the long way.
_MAIL = re.compile(
    rb"(?i:FROM:) *" + ORDINARY_PATH + rb"(?: SIZE=(\d{1,20}))?(?: BODY=(8BITMIME|7BIT))?"
)
_RCPT = re.compile(rb"(?i:TO:) *" + ORDINARY_PATH)
_BDAT = re.compile(rb"(\d{1,20})(?: +(LAST))? *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chunk:
    """BDAT's argument: how many octets follow the line, and whether they are the last."""

    size_bytes: int
    last: bool


def parse_hello(argument: bytes) -> str | Reply:
    """The client's name for itself, any printable text; whether it is a good one is policy."""
    name = argument.strip(b" ").decode("utf-8", "replace")
    if not name:
        return Reply(501, "5.5.4", ("Say the name of your server after HELO or EHLO",))
    if len(argument) > MAX_NAME_BYTES or (not name.isprintable() and CONTROLS.search(name)):
        return Reply(501, "5.5.4", ("The name of your server is not a valid one",))
    return name


def parse_mail(argument: bytes, settings: ServerSettings, *, tls: bool) -> Sender | Reply:
    """MAIL's argument. Blanks after the colon, which many clients send, are tolerated.

    ``tls``: the connection is encrypted, so that REQUIRETLS is offered (RFC 8689 §2).
    """
    match = _MAIL.fullmatch(argument)
    if match is not None:
        local, domain, size, body = match.groups()
        address = ordinary_address(local, domain)
        if address is not None:
            kind = BodyType.EIGHT_BIT if body == b"8BITMIME" else BodyType.SEVEN_BIT
            return Sender(address, None if size is None else int(size), kind)
    if argument[:5].upper() != b"FROM:":
        return Reply(501, "5.5.4", ("Say MAIL FROM:<address>",))
    path = parse_reverse_path(argument[5:].lstrip(b" "), smtputf8=settings.smtputf8)
    if isinstance(path, PathError):
        return _refuse_path(path, "5.1.7", "Sender not understood")
    sender = read_mail_parameters(
        path.rest,
        path.address,
        smtputf8=settings.smtputf8,
        prdr=settings.prdr,
        requiretls=tls,
    )
    if path.international and isinstance(sender, Sender) and not sender.smtputf8:
        return Reply(553, "5.6.7", ("This sender address needs the SMTPUTF8 parameter",))
    return sender


def parse_rcpt(argument: bytes, *, smtputf8: bool) -> Recipient | Reply:
    """RCPT's argument; ``smtputf8``: whether this transaction's MAIL asked for it."""
    match = _RCPT.fullmatch(argument)
    if match is not None:
        address = ordinary_address(match[1], match[2])
        if address is not None:
            return Recipient(address)
    if argument[:3].upper() != b"TO:":
        return Reply(501, "5.5.4", ("Say RCPT TO:<address>",))
    path = parse_forward_path(argument[3:].lstrip(b" "), smtputf8=smtputf8)
    if isinstance(path, PathError):
        return _refuse_path(path, "5.1.3", "Recipient not understood")
    assert path.address is not None  # a forward path is never null
    return read_rcpt_parameters(path.rest, path.address, smtputf8=smtputf8)


def parse_bdat(argument: bytes) -> Chunk | None:
    """BDAT's argument (RFC 3030 §2), or None: then nobody knows where the next command begins."""
    match = _BDAT.fullmatch(argument)
    return None if match is None else Chunk(int(match[1]), match[2] is not None)


def parse_text(argument: bytes) -> str | None:
    """A free argument (VRFY) as text, or None when it is empty, binary or holds controls."""
    try:
        text = argument.decode("utf-8").strip(" ")
    except UnicodeDecodeError:
        return None
    return None if not text or CONTROLS.search(text) else text


def _refuse_path(error: PathError, enhanced: str, what: str) -> Reply:
    if error.needs_smtputf8:
        return Reply(553, "5.6.7", (f"{what}: {error.text}",))
    return Reply(501, enhanced, (f"{what}: {error.text}",))
