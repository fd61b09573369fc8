"""How messages and deliveries are written down: msgpack arrays, one per row.

Structs are arrays on disk: add fields at the end, with a default, and never reorder.
"""

import msgspec

from postern.journal.record import AttemptRecord, Conversation
from postern.mail.address import Address
from postern.mail.content import Content, PrefixedContent
from postern.mail.envelope import BodyType, Notify, Recipient, Ret, Sender, TlsWish
from postern.spool.message import Delivery, DeliveryState, Message, Origin

MAX_ATTEMPTS_KEPT = 50
"""Attempts kept for one delivery; five days at the default pace are about 40."""


class DamagedRowError(ValueError):
    """A row that can't be read back; it is set aside, never dropped."""


class _MessageRow(msgspec.Struct, array_like=True):
    """MAIL FROM and what it asked, beside the conversation."""

    sender_local: str | None
    sender_domain: str
    body: str
    smtputf8: bool
    ret: str | None
    envid: str | None
    origin: str
    trace: str
    prefix: bytes = b""
    aligned: bool = False
    tls_wish: str = "none"
    requiretls: bool = False
    hops: tuple[str, ...] = ()


class _DeliveryRow(msgspec.Struct, array_like=True):
    """One delivery, all that is not a column of its own."""

    local: str
    domain: str
    notify: int | None
    orcpt: str | None
    original: str
    index: int
    via: str
    cause: str
    last_reply: str
    remote: str
    end: str
    delay_told: bool
    attempts: list[AttemptRecord]
    whose: str = ""
    is_junk: bool = False
    held_for: str = ""
    is_suspect: bool = False
    owner: str = ""
    released: str = ""
    forwarder: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode_message = msgspec.msgpack.Decoder(_MessageRow).decode
_decode_delivery = msgspec.msgpack.Decoder(_DeliveryRow).decode
_decode_conversation = msgspec.msgpack.Decoder(Conversation).decode


def message_row(message: Message) -> tuple[int, float, float, int, bytes, bytes, bytes | None]:
    """The columns of ``message``, in the order of the table."""
    sender = message.sender
    address = sender.address
    envelope = _MessageRow(
        None if address is None else address.local,
        "" if address is None else address.domain,
        sender.body.value,
        sender.smtputf8,
        None if sender.ret is None else sender.ret.value,
        sender.envid,
        message.origin.value,
        message.trace,
        _prefix(message.content),
        message.aligned,
        message.tls_wish.value,
        sender.requiretls,
        message.hops,
    )
    return (
        message.id,
        message.accepted_at,
        message.expires_at,
        message.content.size_bytes,
        _encode(envelope),
        _encode(message.conversation),
        message.content.in_memory,
    )


def _prefix(content: Content) -> bytes:
    """What stands in front of a body in a file, and is not in that file."""
    if isinstance(content, PrefixedContent) and content.in_memory is None:
        return content.prefix
    return b""


def delivery_row(message_id: int, d: Delivery) -> tuple[int, int, int, float, str, int, bytes]:
    """The columns of ``delivery``, in the order of the table."""
    recipient = d.recipient
    row = _DeliveryRow(
        recipient.address.local,
        recipient.address.domain,
        None if recipient.notify is None else recipient.notify.value,
        recipient.orcpt,
        d.original,
        d.index,
        d.via,
        d.cause,
        d.last_reply,
        d.remote,
        d.end,
        d.delay_told,
        d.attempts[-MAX_ATTEMPTS_KEPT:],
        d.whose,
        d.is_junk,
        d.held_for,
        d.is_suspect,
        d.owner,
        d.released,
        d.forwarder,
    )
    return (message_id, d.n, int(d.state), d.due, d.group, d.tries, _encode(row))


def prefix_of(envelope: bytes) -> bytes:
    """What stands in front of a body that is in a file.

    Raises:
        DamagedRowError: the row is not what we write.
    """
    try:
        return _decode_message(envelope).prefix
    except msgspec.MsgspecError as error:
        raise DamagedRowError(f"envelope: {error}") from error


def read_message(
    row: tuple[int, float, float, int, bytes, bytes], content: Content, deliveries: list[Delivery]
) -> Message:
    """A message from its columns.

    Raises:
        DamagedRowError: the row is not what we write.
    """
    number, accepted_at, expires_at, _size, envelope_blob, conversation_blob = row
    try:
        envelope = _decode_message(envelope_blob)
        sender = Sender(
            None
            if envelope.sender_local is None
            else Address(envelope.sender_local, envelope.sender_domain),
            None,
            BodyType(envelope.body),
            envelope.smtputf8,
            None if envelope.ret is None else Ret(envelope.ret),
            envelope.envid,
            requiretls=envelope.requiretls,
        )
        origin = Origin(envelope.origin)
        tls_wish = TlsWish(envelope.tls_wish)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DamagedRowError(f"message {number:x}: {error}") from error
    return Message(
        number,
        envelope.trace,
        accepted_at,
        expires_at,
        sender,
        origin,
        content,
        read_conversation(conversation_blob),
        deliveries,
        envelope.aligned,
        tls_wish,
        envelope.hops,
    )


def read_conversation(blob: bytes) -> Conversation:
    """The conversation that a message row carries.

    Raises:
        DamagedRowError: the blob is not what we write.
    """
    try:
        return _decode_conversation(blob)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DamagedRowError(f"conversation: {error}") from error


def read_delivery(n: int, state: int, due: float, group: str, tries: int, blob: bytes) -> Delivery:
    """A delivery from its columns.

    Raises:
        DamagedRowError: the row is not what we write.
    """
    try:
        row = _decode_delivery(blob)
        return Delivery(
            n,
            Recipient(
                Address(row.local, row.domain),
                None if row.notify is None else Notify(row.notify),
                row.orcpt,
            ),
            row.original,
            row.index,
            DeliveryState(state),
            group,
            due,
            tries,
            row.via,
            row.cause,
            row.last_reply,
            row.remote,
            row.end,
            row.delay_told,
            row.attempts,
            row.whose,
            row.is_junk,
            row.is_suspect,
            row.held_for,
            row.owner,
            row.released,
            row.forwarder,
        )
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DamagedRowError(f"delivery {n}: {error}") from error
