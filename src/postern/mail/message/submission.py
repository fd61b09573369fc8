"""What a submitted message lacks or should not show, mended as edits of its bytes.

A mail program may leave Date, Message-ID or From to the server it submits to, and may leave Bcc
for it to take away. Nothing else is touched; Sender stays as it is.

Source: RFC 6409 §8, RFC 5322 §3.6.
"""

import re
from dataclasses import dataclass

from postern.mail.address import Address
from postern.mail.message.header import HeaderScan, Range, without
from postern.mail.received import header_date

_HIDDEN = (b"bcc", b"resent-bcc")
_MBOX_LINES = re.compile(rb"(?:>?From [^\r]*+\r\n)+")


@dataclass(frozen=True, slots=True)
class Fixes:
    """Edits of a header block: leave out ``removals``, put ``additions`` in front.

    Removals are in order, do not overlap, and lie before the body. Additions are whole fields with
    CR LF; they end with an empty line when the message had no header at all.
    """

    removals: tuple[Range, ...]
    additions: bytes

    def apply(self, data: bytes) -> bytes:
        """The mended bytes of a message that begins with the block that was looked at."""
        return self.additions + without(data, self.removals)


def fix_submission(
    head: bytes, *, now: float, hostname: str, trace: str, sender: Address | None
) -> Fixes:
    """Edits that make a submitted header fit to travel.

    Args:
        head: the complete header block, or more; the body is not looked at. An overlong block
            (see ``HeaderScan.is_overlong``) must be refused before: Bcc beyond it would stay.
        now: seconds since 1970, for Date.
        hostname: ours, for Message-ID.
        trace: the transaction's trace code; unique, so Message-ID is.
        sender: MAIL FROM; None (``<>``, as in an MDN) adds no From.

    Bcc and Resent-Bcc go, however often and however folded. A field that is there but empty counts
    as missing and is replaced. Text whose first line is no header field is a body without a header.
    """
    mbox = _MBOX_LINES.match(head)
    start = mbox.end() if mbox else 0
    # A copy only when a local program left its mbox "From " line in front.
    scan = HeaderScan(head[start:] if start else head)
    removals = [(0, start)] if start else []
    if not scan.starts_with_field and scan.fields_end > 0:
        additions = _missing((b"date", b"message-id", b"from"), now, hostname, trace, sender)
        return Fixes(tuple(removals), additions + b"\r\n")
    missing = []
    gone = list(_HIDDEN)
    for name in (b"date", b"message-id", b"from"):
        values = scan.all(name)
        if not any(value.strip() for value in values):
            missing.append(name)
            gone.append(name)
    # An empty From of a null sender stays: taking it away without a better one mends nothing.
    if sender is None and b"from" in gone:
        gone.remove(b"from")
    removals += [(first + start, end + start) for first, end in scan.remove(gone)]
    return Fixes(tuple(removals), _missing(tuple(missing), now, hostname, trace, sender))


def _missing(
    names: tuple[bytes, ...], now: float, hostname: str, trace: str, sender: Address | None
) -> bytes:
    """The fields of these names, made."""
    lines = []
    if b"date" in names:
        lines.append(f"Date: {header_date(now)}\r\n")
    if b"message-id" in names:
        lines.append(f"Message-ID: <{int(now)}.{trace}@{hostname}>\r\n")
    if b"from" in names and sender is not None:
        lines.append(f"From: {sender}\r\n")
    return "".join(lines).encode()
