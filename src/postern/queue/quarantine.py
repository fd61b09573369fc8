"""What rules and checks hold for their owners: read from the spools, as the queue's own view is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postern.journal.record import Because
from postern.mail.address import Address
from postern.mail.finding import Result
from postern.runtime.clock import Instant
from postern.spool.message import Delivery, Message, Origin
from postern.spool.store.reader import SpoolReader

UNSCANNED = "virus.couldnt-tell"
"""What mail is held for that could not be scanned for viruses."""


@dataclass(frozen=True, slots=True)
class HeldMail:
    """One recipient's copy of a message: the ``nth`` of message ``number``.

    ``id`` is what it is called in commands; ``mailbox`` where it is to go, ``owner`` the key of the
    mailbox whose it is, ``named`` what RCPT called it. ``until``: when it leaves, if its owner was
    told of it by then; 0 where that is not known yet. ``failed`` are the checks that spoke against
    it, ``held_for`` is the one that decided, or ``rule.hold``; ``is_proven``: SPF or DKIM speaks
    for ``mail_from``.
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
    owner: str
    named: str
    until: Instant
    client_ip: str
    held_for: str
    failed: tuple[str, ...]
    is_proven: bool

    @property
    def is_infected(self) -> bool:
        """Whether it is held because a virus was found in it."""
        return is_infected(self.held_for)

    @property
    def is_unscanned(self) -> bool:
        """Whether it is held because it could not be scanned for viruses."""
        return self.held_for == UNSCANNED

    @property
    def key(self) -> tuple[int, int]:
        """How letters about held mail name it."""
        return self.number, self.nth


def held_mail(spool_folder: Path) -> Iterator[HeldMail]:
    """All that is held by rules and checks, the oldest of each worker first."""
    for message in SpoolReader(spool_folder).held():
        for delivery in message.deliveries:
            if delivery.is_quarantined:
                yield _held(message, delivery)


def name_of(trace: str, n: int) -> str:
    """``PT-7Q2M-K4XD.1``: the copy of one recipient."""
    return f"{trace}.{n + 1}"


def is_infected(check: str) -> bool:
    """Whether mail that is held for ``check`` has a virus."""
    return check.startswith("virus.") and check != UNSCANNED


def owner_of(delivery: Delivery) -> str:
    """The key of the mailbox that a delivery is held for."""
    return delivery.owner or delivery.recipient.address.key


def _held(message: Message, delivery: Delivery) -> HeldMail:
    conversation = message.conversation
    records = conversation.recipients
    record = records[delivery.index] if delivery.index < len(records) else None
    because = None if record is None else record.because
    if delivery.held_for.startswith("delivery."):  # it was taken, and could not be delivered
        because = Because(delivery.held_for, delivery.last_reply, delivery.whose)
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
        owner_of(delivery),
        delivery.original,
        delivery.due,
        conversation.client_ip,
        delivery.held_for,
        tuple(step.step for step in conversation.steps if step.result == Result.FAIL.value),
        message.origin is Origin.OUTSIDE_PROVEN,
    )
