"""MAIL and RCPT as they go on the wire, with the parameters this peer understands.

Parameters are sent only where the extension is offered (RFC 5321 §4.1.1.11).
"""

import re

from postern.mail.address import CONTROLS
from postern.mail.envelope import BodyType, Notify, Recipient, Sender
from postern.mail.smtp.client_extensions import Extensions
from postern.mail.smtp.client_mail import Mail, is_ascii
from postern.mail.smtp.xtext import encode_xtext

_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")  # RFC 6533 §3: also not "\"
_NOT_DOMAIN = re.compile(r"[^!-;=?-~]")  # printable ASCII without blanks, "<" and ">"
_NOTIFY_WORDS = ((Notify.SUCCESS, "SUCCESS"), (Notify.FAILURE, "FAILURE"), (Notify.DELAY, "DELAY"))


def can_be_written(party: Sender | Recipient) -> bool:
    """False for an address that would break out of its path. Our grammar lets none through."""
    address = party.address
    if address is None:
        return True
    return not CONTROLS.search(address.local) and not _NOT_DOMAIN.search(address.domain)


def mail_command(mail: Mail, offered: Extensions) -> bytes:
    """``MAIL FROM:<…>`` with CR LF. The null sender is ``<>``."""
    sender = mail.sender
    words = [f"MAIL FROM:<{sender}>"]
    if offered.size and not mail.only_asks:
        words.append(f"SIZE={mail.size_bytes}")
    if offered.eight_bit and _is_eight_bit(mail):
        words.append("BODY=8BITMIME")
    if offered.smtputf8 and _needs_smtputf8(mail):
        words.append("SMTPUTF8")
    if offered.dsn and sender.ret is not None:
        words.append(f"RET={sender.ret.value}")
    if offered.dsn and sender.envid:
        words.append(f"ENVID={encode_xtext(sender.envid)}")
    if offered.requiretls and sender.requiretls:
        words.append("REQUIRETLS")
    return " ".join(words).encode() + b"\r\n"


def rcpt_command(recipient: Recipient, offered: Extensions) -> bytes:
    """``RCPT TO:<…>`` with CR LF."""
    line = f"RCPT TO:<{recipient.address}>"
    if offered.dsn:
        if recipient.notify is not None:
            line += f" NOTIFY={_notify(recipient.notify)}"
        if recipient.orcpt:
            line += f" ORCPT={_orcpt(recipient.orcpt)}"
    return line.encode() + b"\r\n"


def _orcpt(orcpt: str) -> str:
    """``addr-type;address``; one with other than ASCII becomes ``utf-8;…`` (RFC 6533 §3)."""
    kind, _, address = orcpt.partition(";")
    if address.isascii() and kind.lower() != "utf-8":
        return f"{encode_xtext(kind)};{encode_xtext(address)}"
    return "utf-8;" + _NOT_QCHAR.sub(lambda m: f"\\x{{{ord(m[0]):02X}}}", address)


def _notify(notify: Notify) -> str:
    return ",".join(word for flag, word in _NOTIFY_WORDS if flag in notify) or "NEVER"


def _is_eight_bit(mail: Mail) -> bool:
    """Declared, or seen where it is cheap to see; never guessed."""
    if mail.sender.body is BodyType.EIGHT_BIT:
        return True
    return mail.data is not None and not mail.data.isascii()


def _needs_smtputf8(mail: Mail) -> bool:
    return (
        mail.sender.smtputf8
        or not is_ascii(mail.sender)
        or not all(is_ascii(recipient) for recipient in mail.recipients)
    )
