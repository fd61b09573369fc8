"""What a sender is owed for what became of his deliveries; no failure may go untold."""

import structlog

from postern.mail.envelope import Notify
from postern.queue.settle import Settled
from postern.queue.tidings import Tidings
from postern.spool.message import DeliveryState, Message

log = structlog.get_logger("postern.queue")


async def owed(
    tidings: Tidings, message: Message, settled: Settled, retry_at: float, *, is_blocked: bool
) -> list[Message]:
    """The notices; where they can't be written, failed deliveries wait until ``retry_at``."""
    if settled.failed or settled.waiting or _wants_success(settled):
        try:
            return await tidings.compose(message, settled, is_blocked=is_blocked)
        except Exception:
            log.exception("queue.notice_bug", trace=message.trace)
            _keep_untold(settled, retry_at)
    return []


def _wants_success(settled: Settled) -> bool:
    return any(
        d.recipient.notify is not None and Notify.SUCCESS in d.recipient.notify
        for d, _ in settled.delivered
    )


def _keep_untold(settled: Settled, due: float) -> None:
    """A notice could not be written: the failed deliveries wait, for a failure must be told."""
    for delivery, _ in settled.failed:
        delivery.state = DeliveryState.WAITING
        delivery.end = ""
        delivery.due = due
