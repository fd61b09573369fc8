"""What becomes of a message that has come whole, once every recipient's rules have been asked.

One answer for all of them, or one for each where the client asked for that (PRDR, draft-hall-prdr).
What becomes of verdicts that differ and must share an answer is ``policy.recipient.at_end``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from postern.journal.record import RecipientRecord
from postern.mail.address import Address, parse_address
from postern.mail.finding import Effect, Verdict
from postern.policy.answers import answer
from postern.policy.judge import Gravity, Judgement
from postern.policy.recipient import at_end
from postern.reception.admission import Refusal
from postern.reception.transaction import Promise, Transaction, because_of
from postern.spool.message import Delivery, DeliveryState

Judge = Callable[[Address, Address], Judgement]
"""The judgement for the recipient that RCPT called so, and one place that it leads to."""

_EFFECTS = {
    Gravity.ACCEPT: Effect.ACCEPT,
    Gravity.JUNK: Effect.JUNK,
    Gravity.HOLD: Effect.HOLD,
    Gravity.REFUSE_FOR_NOW: Effect.REFUSE_FOR_NOW,
    Gravity.REFUSE: Effect.REFUSE,
}


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a message.

    Attributes:
        refusal: nobody gets it, and this is why; None: somebody does, or has it held.
        apart: for each RCPT that was accepted, in order, why it is refused after all, or None;
            empty where all have the same answer.
    """

    refusal: Refusal | None
    apart: tuple[Refusal | None, ...] = ()


def settle(transaction: Transaction, judge: Judge) -> Settlement:
    """Mark the deliveries that go to Junk or are held; take out those that are refused."""
    if len(transaction.promises) > 1:
        return _settle_each(transaction, judge)
    judged = [
        (delivery, judge(named_by(delivery), delivery.recipient.address))
        for delivery in transaction.deliveries
    ]
    refusing = at_end([judgement for _, judgement in judged])
    if refusing is not None:
        return Settlement(_refusal_of(refusing))
    for delivery, judgement in judged:
        _mark(delivery, judgement, transaction.records)
    return Settlement(None)


def _settle_each(transaction: Transaction, judge: Judge) -> Settlement:
    """Each recipient takes the message or is refused it, whatever the others do."""
    promises = transaction.promises
    transaction.start_over()
    return _settlement([_settle_one(transaction, promise, judge) for promise in promises])


def _settle_one(transaction: Transaction, promise: Promise, judge: Judge) -> Refusal | None:
    judged = {
        place.address: judge(promise.recipient.address, place.address)
        for place in promise.destinations
    }
    refusing = at_end(list(judged.values()))
    if refusing is not None:
        transaction.break_off(promise, verdict_of(refusing))
        return _refusal_of(refusing)
    for delivery in transaction.keep(promise):
        _mark(delivery, judged[delivery.recipient.address], transaction.records)
    return None


def _settlement(refusals: Sequence[Refusal | None]) -> Settlement:
    """One answer where all have the same.

    Where nobody takes it and one says "not now", that is the last word: a client that heard "never"
    in its place would not come again for that one.
    """
    refused = [one for one in refusals if one is not None]
    if not refused:
        return Settlement(None)
    if len(refused) < len(refusals):
        return Settlement(None, tuple(refusals))
    last = next((one for one in refused if one.reply.is_transient), refused[0])
    is_same = all(one.reply == last.reply for one in refused)
    return Settlement(last, () if is_same else tuple(refusals))


def verdict_of(refusing: Judgement) -> Verdict:
    """A judgement that refuses, as it is answered and put on record."""
    refusal = _refusal_of(refusing)
    label = "" if refusing.rule is None else refusing.rule.label
    return Verdict(_EFFECTS[refusing.gravity], refusal.reply, refusal.finding, label)


def _refusal_of(refusing: Judgement) -> Refusal:
    finding = refusing.because
    assert finding is not None
    return Refusal(finding, answer(finding, for_now=refusing.gravity is Gravity.REFUSE_FOR_NOW))


def _mark(delivery: Delivery, judgement: Judgement, records: Sequence[RecipientRecord]) -> None:
    record = records[delivery.index] if delivery.index < len(records) else None
    if record is not None and judgement.rule is not None:
        record.rule = judgement.rule.label
    finding = judgement.because
    if finding is None:
        return
    if record is not None:
        record.because = because_of(finding)
    delivery.is_suspect = True
    if judgement.gravity is Gravity.JUNK:
        delivery.is_junk = True
    else:
        delivery.state = DeliveryState.HELD
        delivery.held_for = finding.check


def named_by(delivery: Delivery) -> Address:
    """What RCPT called the recipient of a delivery."""
    if delivery.original.lower() == "postmaster":
        return Address("postmaster", "")
    return parse_address(delivery.original) or delivery.recipient.address
