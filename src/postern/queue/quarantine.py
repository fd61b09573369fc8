"""What rules and checks hold for their owners: read from the spools, as the queue's own view is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postern.journal.record import Because
from postern.mail.address import Address
from postern.runtime.clock import Instant
from postern.spool.message import Delivery, DeliveryState, Message
from postern.spool.store.reader import SpoolReader


@dataclass(frozen=True, slots=True)
class HeldMail:
    """One recipient's copy of a message: the ``nth`` of message ``number``.

    ``id`` is what it is called in commands.
    """

    id: str
    number: int
    nth: int
    trace: str
    held_at: Instant
    mailbox: Address
    mail_from: str
    from_header: str
    subject: str
    size_bytes: int
    because: Because
    rule: str


def held_mail(spool_folder: Path) -> Iterator[HeldMail]:
    """All that is held by rules and checks, the oldest of each worker first."""
    for message in SpoolReader(spool_folder).held():
        for delivery in message.deliveries:
            if delivery.state is DeliveryState.HELD and delivery.held_for:
                yield _held(message, delivery)


def name_of(trace: str, n: int) -> str:
    """``PT-7Q2M-K4XD.1``: the copy of one recipient."""
    return f"{trace}.{n + 1}"


def _held(message: Message, delivery: Delivery) -> HeldMail:
    conversation = message.conversation
    records = conversation.recipients
    record = records[delivery.index] if delivery.index < len(records) else None
    because = None if record is None else record.because
    return HeldMail(
        name_of(message.trace, delivery.n),
        message.id,
        delivery.n,
        message.trace,
        message.accepted_at,
        delivery.recipient.address,
        str(message.sender),
        conversation.from_header,
        conversation.subject,
        message.content.size_bytes,
        because or Because(delivery.held_for, "no reason is on record", ""),
        "" if record is None else record.rule,
    )
