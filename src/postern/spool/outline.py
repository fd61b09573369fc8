"""A spooled message told as a conversation: shown while it waits, journaled once it is done."""

import msgspec

from postern.journal.record import AttemptRecord, Because, Conversation, RecipientRecord
from postern.spool.message import Delivery, DeliveryState, Message

_STATE_WORDS = {
    DeliveryState.FRESH: "waiting",
    DeliveryState.WAITING: "waiting",
    DeliveryState.HELD: "held",
}
_WEIGHT = ("delivered", "discarded", "junked", "bounced", "held", "waiting")
"""An alias is as far as its slowest target."""


def state_word(delivery: Delivery) -> str:
    """A delivery's state in the words of ``postern why --json``."""
    return _STATE_WORDS.get(delivery.state) or delivery.end or "delivered"


def outline(message: Message) -> Conversation:
    """The conversation with each delivery's state, last reply and attempts put in.

    The message's own record is left as it was accepted.
    """
    kept = message.conversation
    recipients = [replace_record(record) for record in kept.recipients]
    attempts: list[AttemptRecord] = list(kept.attempts)
    named: set[int] = set()
    for delivery in message.deliveries:
        if delivery.index < len(recipients):
            _tell(recipients[delivery.index], delivery, is_first=delivery.index not in named)
            named.add(delivery.index)
        attempts += delivery.attempts
    attempts = _merged(attempts)
    ended_at = attempts[-1].at if attempts and message.is_done else kept.ended_at
    because = kept.because or _because(message.deliveries)
    return msgspec.structs.replace(
        kept, recipients=recipients, attempts=attempts, ended_at=ended_at, because=because
    )


def _because(deliveries: list[Delivery]) -> Because | None:
    """What keeps the first delivery that did not simply arrive."""
    for delivery in deliveries:
        if delivery.cause and not delivery.has_arrived:
            text = delivery.last_reply
            return Because(f"delivery.{delivery.cause}", text, delivery.whose)
    return None


def replace_record(record: RecipientRecord) -> RecipientRecord:
    """A copy that may be changed."""
    return msgspec.structs.replace(record)


def _tell(record: RecipientRecord, delivery: Delivery, *, is_first: bool) -> None:
    word = state_word(delivery)
    if is_first or _WEIGHT.index(word) > _WEIGHT.index(record.state):
        record.state = word
    if delivery.last_reply:
        record.reply = delivery.last_reply
    final = str(delivery.recipient.address)
    if final != record.address and final not in record.final:
        record.final = f"{record.final}, {final}" if record.final else final


def _merged(attempts: list[AttemptRecord]) -> list[AttemptRecord]:
    """One record for a try that several recipients shared, in order of time."""
    if len(attempts) < 2:
        return attempts
    together: dict[AttemptRecord, tuple[int, ...]] = {}
    for attempt in attempts:
        key = msgspec.structs.replace(attempt, recipients=())
        together[key] = (*together.get(key, ()), *attempt.recipients)
    merged = [
        msgspec.structs.replace(attempt, recipients=tuple(dict.fromkeys(indexes)))
        for attempt, indexes in together.items()
    ]
    return sorted(merged, key=lambda attempt: attempt.at)
