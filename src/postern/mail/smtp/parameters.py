"""The parameters of MAIL (SIZE, BODY, SMTPUTF8, RET, ENVID, AUTH, PRDR, REQUIRETLS) and of RCPT.

Source: RFC 5321 §4.1.2 (syntax), RFC 1870, RFC 6152, RFC 6531, RFC 3461, RFC 4954 §5, RFC 6533,
RFC 8689 §2, draft-hall-prdr.
"""

import re
from collections.abc import Callable, Mapping
from itertools import product
from typing import TypeVar

from postern.mail.address import Address, AddressFlaw, read_mailbox
from postern.mail.envelope import BodyType, Notify, Recipient, Ret, Sender
from postern.mail.reply import Reply
from postern.mail.smtp.xtext import decode_unitext, decode_xtext

MAX_ENVID_BYTES = 100
"""RFC 3461 §4.4."""
MAX_ORCPT_BYTES = 500
"""RFC 3461 §4.2."""

_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^=\x00-\x20\x7f].*))?")
_SIZE = re.compile(r"[0-9]{1,20}")
_ADDR_TYPE = re.compile(r"[A-Za-z0-9-]{1,64}")
_NOTIFY = {"SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY}


class _MailDraft:
    """MAIL's parameters while they are read."""

    __slots__ = ("body", "envid", "prdr", "requiretls", "ret", "size_bytes", "smtputf8")

    def __init__(self) -> None:
        self.size_bytes: int | None = None
        self.body = BodyType.SEVEN_BIT
        self.smtputf8 = False
        self.ret: Ret | None = None
        self.envid: str | None = None
        self.prdr = False
        self.requiretls = False


class _RcptDraft:
    """RCPT's parameters while they are read."""

    __slots__ = ("notify", "orcpt")

    def __init__(self) -> None:
        self.notify: Notify | None = None
        self.orcpt: str | None = None


def read_mail_parameters(
    raw: bytes, address: Address | None, *, smtputf8: bool, prdr: bool, requiretls: bool
) -> Sender | Reply:
    """The sender with its parameters, or the 501 or 555 that refuses them.

    ``raw`` holds all parameters and may be empty; ``smtputf8``, ``prdr`` and ``requiretls``:
    whether these are offered.
    """
    if not raw:
        return Sender(address)
    draft = _MailDraft()
    refusal = _read_all(raw, draft, _MAIL_READERS[smtputf8, prdr, requiretls])
    if refusal is not None:
        return refusal
    return Sender(
        address,
        draft.size_bytes,
        draft.body,
        draft.smtputf8,
        draft.ret,
        draft.envid,
        draft.prdr,
        draft.requiretls,
    )


def read_rcpt_parameters(raw: bytes, address: Address, *, smtputf8: bool) -> Recipient | Reply:
    """The recipient with its parameters, or the 501 or 555 that refuses them.

    ``raw`` holds all parameters and may be empty; ``smtputf8``: whether MAIL asked for SMTPUTF8.
    """
    if not raw:
        return Recipient(address)
    if not smtputf8 and not raw.isascii():
        return Reply(501, "5.5.4", ("These parameters need SMTPUTF8 on MAIL FROM",))
    draft = _RcptDraft()
    refusal = _read_all(raw, draft, _RCPT_READERS)
    if refusal is not None:
        return refusal
    return Recipient(address, draft.notify, draft.orcpt)


_Draft = TypeVar("_Draft")
_Reader = Callable[[_Draft, str | None], str]
"""Puts a parameter's value into the draft; returns what is wrong with it, or nothing."""


def _read_all(raw: bytes, draft: _Draft, readers: Mapping[str, _Reader[_Draft]]) -> Reply | None:
    """Reads every parameter into the draft; the refusal of the first that is wrong, else None."""
    try:
        words = raw.decode("utf-8").split()
    except UnicodeDecodeError:
        return Reply(501, "5.5.4", ("The parameters are not valid UTF-8",))
    seen: set[str] = set()
    for word in words:
        match = _PARAMETER.fullmatch(word)
        if match is None:
            return Reply(501, "5.5.4", ("A parameter is not well formed",))
        name = match[1].upper()
        reader = readers.get(name)
        if reader is None:
            return Reply(555, "5.5.4", (f"Parameter {name[:32]} is not supported here",))
        if name in seen:
            return Reply(501, "5.5.4", (f"Parameter {name} was given twice",))
        seen.add(name)
        flaw = reader(draft, match[2])
        if flaw:
            return Reply(555 if flaw is _NO_BINARYMIME else 501, "5.5.4", (flaw,))
    return None


_NO_BINARYMIME = "BODY=BINARYMIME is not supported here; send the message as 8BITMIME"


def _size(draft: _MailDraft, value: str | None) -> str:
    if value is None or _SIZE.fullmatch(value) is None:
        return "SIZE must be a number of bytes"
    draft.size_bytes = int(value)
    return ""


def _body(draft: _MailDraft, value: str | None) -> str:
    word = (value or "").upper()
    if word == "BINARYMIME":
        return _NO_BINARYMIME
    if word not in {"7BIT", "8BITMIME"}:
        return "BODY must be 7BIT or 8BITMIME"
    draft.body = BodyType(word)
    return ""


def _smtputf8(draft: _MailDraft, value: str | None) -> str:
    if value is not None:
        return "SMTPUTF8 takes no value"
    draft.smtputf8 = True
    return ""


def _prdr(draft: _MailDraft, value: str | None) -> str:
    if value is not None:
        return "PRDR takes no value"
    draft.prdr = True
    return ""


def _requiretls(draft: _MailDraft, value: str | None) -> str:
    if value is not None:
        return "REQUIRETLS takes no value"
    draft.requiretls = True
    return ""


def _ret(draft: _MailDraft, value: str | None) -> str:
    word = (value or "").upper()
    if word not in {"FULL", "HDRS"}:
        return "RET must be FULL or HDRS"
    draft.ret = Ret(word)
    return ""


def _envid(draft: _MailDraft, value: str | None) -> str:
    envid = decode_xtext(value) if value and len(value) <= MAX_ENVID_BYTES else None
    if envid is None or not envid.isascii():  # RFC 3461 §4.4: printable US-ASCII when decoded
        return f"ENVID must be xtext of at most {MAX_ENVID_BYTES} bytes"
    draft.envid = envid
    return ""


def _auth(_draft: _MailDraft, value: str | None) -> str:
    """Checked and then ignored: RFC 4954 §5 lets us trust nobody's word on who sent a message."""
    if value == "<>":
        return ""
    mailbox = decode_xtext(value or "")
    if mailbox:
        span = read_mailbox(mailbox)
        if not isinstance(span, AddressFlaw) and span.end == len(mailbox):
            return ""
    return "AUTH must be <> or an address in xtext"


def _notify(draft: _RcptDraft, value: str | None) -> str:
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        draft.notify = Notify.NEVER
        return ""
    wanted = Notify.NEVER
    for word in words:
        flag = _NOTIFY.get(word, Notify.NEVER)
        if not flag or flag in wanted:
            return "NOTIFY must be NEVER alone, or some of SUCCESS,FAILURE,DELAY"
        wanted |= flag
    draft.notify = wanted
    return ""


def _orcpt(draft: _RcptDraft, value: str | None) -> str:
    addr_type, _, encoded = (value or "").partition(";")
    decode = decode_unitext if addr_type.lower() == "utf-8" else decode_xtext
    address = decode(encoded) if len(encoded.encode()) <= MAX_ORCPT_BYTES else None
    if not address or _ADDR_TYPE.fullmatch(addr_type) is None:
        return "ORCPT must be a type, a semicolon and an address in xtext"
    draft.orcpt = f"{addr_type};{address}"
    return ""


_ALWAYS: Mapping[str, _Reader[_MailDraft]] = {
    "SIZE": _size,
    "BODY": _body,
    "RET": _ret,
    "ENVID": _envid,
    "AUTH": _auth,
}
_WHERE_OFFERED: tuple[tuple[str, _Reader[_MailDraft]], ...] = (
    ("SMTPUTF8", _smtputf8),
    ("PRDR", _prdr),
    ("REQUIRETLS", _requiretls),
)
_MAIL_READERS: Mapping[tuple[bool, ...], Mapping[str, _Reader[_MailDraft]]] = {
    offered: {
        **_ALWAYS,
        **{
            name: read
            for (name, read), is_there in zip(_WHERE_OFFERED, offered, strict=True)
            if is_there
        },
    }
    for offered in product((False, True), repeat=len(_WHERE_OFFERED))
}
"""By what is offered, in the order of ``_WHERE_OFFERED``."""
_RCPT_READERS: Mapping[str, _Reader[_RcptDraft]] = {"NOTIFY": _notify, "ORCPT": _orcpt}
