"""What reception wants to know of every message, read from its header in one pass."""

from dataclasses import dataclass

from postern.mail import hops
from postern.mail.address import Address
from postern.mail.envelope import Sender, TlsWish
from postern.mail.message.header import HeaderScan, fields_pattern
from postern.mail.message.mailbox import parse_mailboxes
from postern.mail.message.text import decode_text

_MAX_SUBJECT_CHARS = 256
_MAX_MESSAGE_ID_CHARS = 256
_MAX_FROM_CHARS = 320
_WANTED = fields_pattern(
    b"received", b"from", b"subject", b"message-id", b"date", b"bcc", b"resent-bcc",
    b"tls-required", b"x-postern-encrypt", b"x-postern-hop",
)  # fmt: skip
_HIDDEN = frozenset({b"bcc", b"resent-bcc"})
_WISHES = frozenset({b"tls-required", b"x-postern-encrypt"})
_REQUIRED = (b"date", b"message-id", b"from")


@dataclass(frozen=True, slots=True)
class Summary:
    """The header in a nutshell; every text is one safe line.

    ``from_header``: the visible From's first address, or its text where it has none to be sure of
    (then ``from_address`` is None). ``message_id`` keeps its angle brackets. ``header_end``: offset
    of the body's first octet. ``received_count``: hops so far, for the loop guard; ``marks``: the
    marks of relays (see ``postern.mail.hops``). ``is_complete`` False: no empty line ended the
    header. ``is_overlong``: over 256 kB or 5,000 fields.
    ``is_fit`` True: ``fix_submission`` would find nothing to mend (RFC 6409 §8); most submitted
    mail is so, and needs no second look. ``tls_wish``: ENCRYPT by ``X-Postern-Encrypt: yes``, which
    counts where the sender is one of ours; OPTIONAL by ``TLS-Required: No`` (RFC 8689 §3).
    """

    message_id: str
    subject: str
    from_header: str
    from_address: Address | None
    from_count: int
    received_count: int
    header_end: int
    has_date: bool
    is_complete: bool
    is_overlong: bool
    is_fit: bool
    tls_wish: TlsWish = TlsWish.NONE
    marks: tuple[bytes, ...] = ()


def summarise(head: bytes) -> Summary:
    """Read a message, or its first bytes with the whole header block, without touching a byte.

    Never raises, whatever the bytes; takes time linear in the header's length. Where a field
    comes more than once the first counts, as mail programs show it.
    """
    scan = HeaderScan(head)
    received = froms = hidden = 0
    raw: dict[bytes, bytes] = {}
    wishes: list[tuple[bytes, bytes]] = []
    marks: list[bytes] = []
    for written, value in scan.pick(_WANTED):
        name = written.lower()
        if name == b"received":
            received += 1
        elif name in _HIDDEN:
            hidden += 1
        elif name in _WISHES:
            wishes.append((name, value.strip().lower()))
        elif name == hops.NAME:
            if len(marks) < hops.MAX_MARKS:
                marks.append(value)
        else:
            froms += name == b"from"
            raw.setdefault(name, value)
    from_raw = raw.get(b"from", b"")
    mailboxes = parse_mailboxes(from_raw)
    from_address = mailboxes[0] if mailboxes else None
    return Summary(
        message_id=decode_text(raw.get(b"message-id", b""), _MAX_MESSAGE_ID_CHARS),
        subject=decode_text(raw.get(b"subject", b""), _MAX_SUBJECT_CHARS),
        from_header=str(from_address) if from_address else decode_text(from_raw, _MAX_FROM_CHARS),
        from_address=from_address,
        from_count=froms,
        received_count=received,
        header_end=scan.body_start,
        has_date=b"date" in raw,
        is_complete=scan.is_complete,
        is_overlong=scan.is_overlong,
        is_fit=not hidden
        and scan.starts_with_field
        and all(raw.get(name, b"").strip() for name in _REQUIRED),
        tls_wish=_tls_wish(wishes) if wishes else TlsWish.NONE,
        marks=tuple(marks),
    )


def _tls_wish(wishes: list[tuple[bytes, bytes]]) -> TlsWish:
    """What the header asks of TLS. The stricter wins; what is said twice, or else, says nothing."""
    if (b"x-postern-encrypt", b"yes") in wishes:
        return TlsWish.ENCRYPT
    said = [value for name, value in wishes if name == b"tls-required"]
    return TlsWish.OPTIONAL if said == [b"no"] else TlsWish.NONE


def asked_of_tls(summary: Summary, sender: Sender, *, is_ours: bool) -> TlsWish:
    """What the sender asks of TLS: by MAIL's parameter, else by the header (RFC 8689 §4.1).

    ``is_ours``: it was handed in by one of our own. A stranger's mark would hold up what our users
    have forwarded, for days.
    """
    if sender.requiretls:
        return TlsWish.REQUIRETLS
    is_heard = is_ours or summary.tls_wish is not TlsWish.ENCRYPT
    return summary.tls_wish if is_heard else TlsWish.NONE
