"""Messages to spool, and journals to hand them over to."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from postern.journal.record import ChangeRecord, Conversation, HeardRecord, RecipientRecord
from postern.journal.store.writer import JournalUnavailableError
from postern.mail.address import Address
from postern.mail.content import BytesContent, Content
from postern.mail.envelope import Notify, Recipient, Sender
from postern.runtime.clock import FakeClock
from postern.spool.message import Delivery, DeliveryState, Message, Origin
from postern.spool.settings import SpoolSettings
from postern.spool.spool import Spool

DAY_S = 86_400.0
MIB = 1024 * 1024


class MemoryJournal:
    """Keeps conversations by id; ``trouble`` is raised while it is set."""

    def __init__(self) -> None:
        self.kept: dict[int, Conversation] = {}
        self.times: dict[int, int] = {}
        self.changes: list[ChangeRecord] = []
        self.trouble: Exception | None = None
        self.poison: set[int] = set()
        self.heard: list[HeardRecord] = []
        self.is_closed = False

    def append(
        self, conversations: Sequence[Conversation], heard: Sequence[HeardRecord] = ()
    ) -> None:
        if self.trouble is not None:
            raise self.trouble
        if self.poison.intersection([*(c.id for c in conversations), *(h.id for h in heard)]):
            raise ValueError("a conversation that can't be written")
        self.heard += heard
        for conversation in conversations:
            self.kept[conversation.id] = conversation
            self.times[conversation.id] = self.times.get(conversation.id, 0) + 1

    def append_change(self, change: ChangeRecord) -> None:
        self.changes.append(change)

    def close(self) -> None:
        self.is_closed = True

    def fail(self) -> None:
        self.trouble = JournalUnavailableError("database or disk is full")


def settings(folder: Path, **fields: object) -> SpoolSettings:
    plain = SpoolSettings(
        folder / "spool",
        folder / "corrupt",
        max_message_bytes=MIB,
        handover_s=0.01,
        reserve_extra_bytes=0,
        ballast_bytes=64 * 1024,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]  # a test's own words


def message(
    number: int,
    *recipients: str,
    at: float = 1_750_000_000.0,
    sender: str = "li@client.test",
    origin: Origin = Origin.OURS,
    body: bytes | Content = b"Subject: tea\r\n\r\nGreen tea.\r\n",
    notify: Notify | None = None,
    expire_s: float = 5 * DAY_S,
) -> Message:
    to = recipients or ("wang@here.test",)
    content = BytesContent(body) if isinstance(body, bytes) else body
    deliveries = []
    for n, address in enumerate(to):
        local, _, domain = address.rpartition("@")
        deliveries.append(Delivery(n, Recipient(Address(local, domain), notify), address, n))
    local, _, domain = sender.rpartition("@")
    records = [RecipientRecord(address, "waiting") for address in to]
    return Message(
        number,
        f"PT-{number:08d}",
        at,
        at + expire_s,
        Sender(Address(local, domain) if sender else None),
        origin,
        content,
        Conversation(number, at, mail_from=sender, accepted=True, recipients=records),
        deliveries,
    )


def waiting(number: int, due: float, group: str = "here.test", *recipients: str) -> Message:
    made = message(number, *recipients)
    for delivery in made.deliveries:
        delivery.state, delivery.due, delivery.group = DeliveryState.WAITING, due, group
    return made


def deliver(made: Message) -> None:
    """Mark every delivery as delivered."""
    for delivery in made.deliveries:
        delivery.state, delivery.end = DeliveryState.DONE, "delivered"


def spool_of(
    folder: Path,
    journal: MemoryJournal | None = None,
    *,
    worker: int = 0,
    workers: int = 1,
    clock: FakeClock | None = None,
    **fields: object,
) -> Spool:
    return Spool(
        settings(folder, **fields),
        worker,
        workers,
        journal or MemoryJournal(),
        clock or FakeClock(),
    )


async def until(condition: Callable[[], bool], what: str = "it", within_s: float = 10.0) -> None:
    """Wait until a condition holds that other threads bring about."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - other threads bring it about
            await asyncio.sleep(0.002)
    assert condition(), what
