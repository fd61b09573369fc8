"""The addresses of a From header, by a parser that would rather say nothing than guess.

``email.utils.parseaddr`` reads ``alice@example.org)bob@evil.example`` as alice; a filter that
believes it and a mail program that does not are looking at two different senders. What is off the
grammar here has no address at all.

Source: RFC 5322 §3.4, RFC 6854 (groups in From), RFC 6532 §3.2 (UTF-8). Of the obsolete forms only
dots and at signs in an unquoted display name are read, for ``bob@a.example <bob@a.example>`` is
common; source routes and blanks within an address are not.
"""

import re

from postern.mail.address import (
    ATEXT,
    CONTROLS,
    LABEL,
    MAX_LABEL_BYTES,
    MAX_LOCAL_BYTES,
    Address,
    AddressFlaw,
    read_mailbox,
)
from postern.mail.message.header import HeaderScan

MAX_MAILBOXES = 200

_MAX_VALUE_BYTES = 16_384
_MAX_COMMENT_DEPTH = 20
# Nearly every From is "Name <dot-atom@domain>", so that one is matched on the bytes in one step.
_ORDINARY = re.compile(
    rf" *+(?:[A-Za-z0-9 .'_-]*+|\"[A-Za-z0-9 .,'_-]*+\" *+)"
    rf"<([{ATEXT}]++(?:\.[{ATEXT}]++)*)@({LABEL}(?:\.{LABEL})*)> *+".encode()
)
_FOLD = re.compile(r"\r\n(?=[ \t])")
# No group is possessive: Python before 3.11.5 loses its place where one ends; Debian 12 has 3.11.2.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*"|\\.|[()]|[^"\\()]++', re.DOTALL)
_TOKEN_IN_COMMENT = re.compile(r"\\.|[()]|[^\\()]++", re.DOTALL)
_PHRASE = r'(?:"(?:[^"\\]++|\\.)*"|[^<>,;:"\[\]\\]++)*'
_OPENING = re.compile(rf" *+(?:{_PHRASE}< *+)?")
_GROUP = re.compile(rf"{_PHRASE}: *+")
_BLANKS = re.compile(" *+")


def visible_from(scan: HeaderScan) -> Address | None:
    """The first mailbox's address of the first From field; None when there is none to be sure of.

    A wrong field is wrong as a whole: one bad mailbox in a list gives None.
    """
    value = scan.first(b"from")
    if value is None:
        return None
    mailboxes = parse_mailboxes(value)
    return mailboxes[0] if mailboxes else None


def parse_mailboxes(value: bytes) -> tuple[Address, ...] | None:
    """All addresses of a raw From, To, Cc or Reply-To value in order; None when it is malformed.

    Groups are flattened; a group may be empty, so the result may be. More than 200 mailboxes or
    16 kB count as malformed.
    """
    if len(value) > _MAX_VALUE_BYTES:
        return None
    ordinary = _ORDINARY.fullmatch(value)
    if ordinary and len(ordinary[1]) <= MAX_LOCAL_BYTES and len(ordinary[2]) <= MAX_LABEL_BYTES:
        return (Address(ordinary[1].decode("ascii"), ordinary[2].decode("ascii").lower()),)
    text = _one_line(value)
    return None if text is None else _read_list(text)


def _read_list(text: str) -> tuple[Address, ...] | None:
    """The mailboxes of a list that may have groups in it."""
    found: list[Address] = []
    position, in_group = 0, False
    while True:
        if not in_group and (group := _GROUP.match(text, position)):
            position, in_group = group.end(), True
        if not (in_group and text.startswith(";", position)):
            mailbox = _read(text, position)
            if mailbox is None or len(found) == MAX_MAILBOXES:
                return None
            found.append(mailbox[0])
            position = mailbox[1]
        if in_group and text.startswith(";", position):
            position, in_group = _after_blanks(text, position + 1), False
        if position == len(text):
            return None if in_group else tuple(found)
        if text[position] != ",":
            return None
        position += 1


def _read(text: str, position: int) -> tuple[Address, int] | None:
    """One mailbox, with or without a display name, and where what follows its blanks begins."""
    opening = _OPENING.match(text, position)
    start = opening.end() if opening else position
    span = read_mailbox(text, start)
    if isinstance(span, AddressFlaw) or "\ufffd" in span.address.local:
        return None
    end = _after_blanks(text, span.end)
    if "<" in text[position:start]:
        if not text.startswith(">", end):
            return None
        end = _after_blanks(text, end + 1)
    return span.address, end


def _after_blanks(text: str, position: int) -> int:
    blanks = _BLANKS.match(text, position)
    return blanks.end() if blanks else position


def _one_line(value: bytes) -> str | None:
    """The value unfolded and without comments; None when it holds controls or loose parentheses."""
    # A display name in some old charset is harmless; U+FFFD in an address makes it no address.
    text = value.decode("utf-8", "replace")
    text = _FOLD.sub("", text).replace("\t", " ")
    if CONTROLS.search(text):
        return None
    return _without_comments(text)


def _without_comments(text: str) -> str | None:
    """``text`` with each comment, nested ones too, as one blank; None when they do not balance."""
    if "(" not in text and ")" not in text:
        return text
    kept: list[str] = []
    depth = position = 0
    while position < len(text):
        # Within a comment a quote is an ordinary character (RFC 5322 §3.2.2 ctext).
        token = (_TOKEN_IN_COMMENT if depth else _TOKEN).match(text, position)
        if token is None:
            return None
        position = token.end()
        if token[0] == "(":
            depth += 1
            kept.append(" ")
        elif token[0] == ")":
            depth -= 1
        elif not depth:
            kept.append(token[0])
        if not 0 <= depth <= _MAX_COMMENT_DEPTH:
            return None
    return "".join(kept) if depth == 0 else None
