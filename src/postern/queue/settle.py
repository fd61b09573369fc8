"""What an attempt's outcomes mean for its deliveries. Pure: no clock, no disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from postern.delivery.job import JobResult
from postern.journal.record import AttemptRecord
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.reply import Reply, reply
from postern.queue.causes import is_greylisting
from postern.queue.retry import AFTER_DOT_S, greylisted_s, next_attempt
from postern.queue.settings import QueueSettings
from postern.runtime.clock import Instant
from postern.spool.message import Delivery, DeliveryState, Message


@dataclass(slots=True)
class Settled:
    """Deliveries by what became of them, each with the outcome that is to be told.

    ``last``: for those given up, by the delivery's ``n``, what the last try ended with.
    """

    delivered: list[tuple[Delivery, Delivered]] = field(default_factory=list)
    failed: list[tuple[Delivery, Refused]] = field(default_factory=list)
    waiting: list[tuple[Delivery, Deferred]] = field(default_factory=list)
    last: dict[int, Deferred] = field(default_factory=dict)


def settle(
    message: Message,
    deliveries: Sequence[Delivery],
    result: JobResult,
    now: Instant,
    settings: QueueSettings,
    chance: float,
) -> Settled:
    """Write outcomes and attempts into ``deliveries``; ``result`` has one outcome for each."""
    settled = Settled()
    _note_attempts(deliveries, result.attempts)
    for delivery, outcome in zip(deliveries, result.outcomes, strict=True):
        delivery.tries += 1
        final = _retry_or_expire(message, delivery, outcome, now, settings, chance)
        delivery.last_reply = str(final.reply)
        match final:
            case Delivered():
                delivery.state = DeliveryState.DONE
                delivery.end = "junked" if delivery.is_junk else "delivered"
                delivery.cause = delivery.whose = ""
                settled.delivered.append((delivery, final))
            case Refused():
                delivery.state = DeliveryState.DONE
                delivery.end = "bounced"
                _note_cause(delivery, final)
                settled.failed.append((delivery, final))
                if isinstance(outcome, Deferred):
                    settled.last[delivery.n] = outcome
            case Deferred():
                delivery.state = DeliveryState.WAITING
                _note_cause(delivery, final)
                settled.waiting.append((delivery, final))
    return settled


def give_up(deliveries: Sequence[Delivery]) -> Settled:
    """End deliveries that are past their expiry without another try."""
    settled = Settled()
    for delivery in deliveries:
        last = last_outcome(delivery)
        final = expired(last)
        delivery.state = DeliveryState.DONE
        delivery.end = "bounced"
        delivery.last_reply = str(final.reply)
        _note_cause(delivery, final)
        settled.failed.append((delivery, final))
        settled.last[delivery.n] = last
    return settled


def last_outcome(delivery: Delivery) -> Deferred:
    """What a waiting delivery's last try ended with, as far as its row tells."""
    text = delivery.last_reply or "451 4.4.0 it was never tried"
    code, _, rest = text.partition(" ")
    enhanced, _, said = rest.partition(" ")
    if not (code.isdecimal() and len(code) == 3 and enhanced.count(".") == 2):
        code, enhanced, said = "451", "4.0.0", text
    causes = {cause.value: cause for cause in Cause}
    sides = {whose.value: whose for whose in Whose}
    return Deferred(
        Reply(int(code), enhanced, (said,)),
        causes.get(delivery.cause, Cause.REPLY),
        delivery.remote,
        sides.get(delivery.whose, Whose.RECIPIENT),
    )


def bug_outcome() -> Deferred:
    """What an unknown exception amounts to: the mail stays and is tried again."""
    text = "Postern met an error of its own and will try again"
    return Deferred(reply(451, "4.3.0", text), Cause.BUG, whose=Whose.US)


def _retry_or_expire(
    message: Message,
    delivery: Delivery,
    outcome: Outcome,
    now: Instant,
    settings: QueueSettings,
    chance: float,
) -> Outcome:
    if not isinstance(outcome, Deferred):
        return outcome
    asked_s = outcome.retry_after_s
    if outcome.cause is Cause.REPLY and is_greylisting(str(outcome.reply)):
        asked_s = greylisted_s(delivery.tries, chance, asked_s)
    least_s = AFTER_DOT_S if outcome.cause is Cause.LOST_AFTER_DOT else 0.0
    due = next_attempt(now, message.expires_at, delivery.tries, settings, chance, asked_s, least_s)
    if due is None:
        return expired(outcome)
    delivery.due = due
    return outcome


def expired(last: Deferred) -> Refused:
    """The message is given up: 4.4.7 (RFC 3463 §3.5), with the last word that was said."""
    text = f"Not delivered in time; the last try ended with: {last.reply}"
    return Refused(Reply(554, "5.4.7", (text,)), Cause.EXPIRED, last.remote, last.whose)


def _note_cause(delivery: Delivery, outcome: Deferred | Refused) -> None:
    delivery.cause = outcome.cause.value
    delivery.remote = outcome.remote
    delivery.whose = outcome.whose.value


def _note_attempts(deliveries: Sequence[Delivery], attempts: Sequence[AttemptRecord]) -> None:
    """Give each delivery the tries that were made for it, told by the conversation's indexes."""
    for attempt in attempts:
        places = attempt.recipients or tuple(range(len(deliveries)))
        for place in places:
            if not 0 <= place < len(deliveries):
                continue
            delivery = deliveries[place]
            delivery.attempts.append(msgspec.structs.replace(attempt, recipients=(delivery.index,)))
