"""What becomes of a message that has come whole, once every recipient's rules have been asked.

One answer for all of them, or one for each where the client asked for that (PRDR, draft-hall-prdr).
What becomes of verdicts that differ and must share an answer is ``policy.recipient.at_end``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from postern.journal.record import RecipientRecord
from postern.mail.address import Address, parse_address
from postern.mail.finding import Effect, Finding, Result, Verdict, Whose
from postern.policy.answers import answer
from postern.policy.blockers import next_refusals
from postern.policy.judge import Gravity, Judgement
from postern.policy.recipient import at_end
from postern.reception import replies
from postern.reception.admission import Refusal
from postern.reception.transaction import Promise, Transaction, because_of
from postern.runtime.clock import Instant
from postern.spool.holdings import Holdings
from postern.spool.message import Delivery

Judge = Callable[[Address, Address], Judgement]
"""The judgement for the recipient that RCPT called so, and one place that it leads to."""

_EFFECTS = {
    Gravity.ACCEPT: Effect.ACCEPT,
    Gravity.JUNK: Effect.JUNK,
    Gravity.HOLD: Effect.HOLD,
    Gravity.REFUSE_FOR_NOW: Effect.REFUSE_FOR_NOW,
    Gravity.REFUSE: Effect.REFUSE,
}


_NO_ROOM = Finding(
    "quota.full", Result.FAIL, "what is held for a recipient is at its limit", Whose.RECIPIENT
)
_FULL = Refusal(_NO_ROOM, replies.HELD_FULL)


@dataclass(frozen=True, slots=True)
class Custody:
    """Holds a message of ``size_bytes`` for others; ``owner_of``: whose mail a place's is."""

    holdings: Holdings
    owner_of: Callable[[Address], Address]
    size_bytes: int
    now: Instant

    def lacks_room(self, place: Address, judgement: Judgement) -> bool:
        """Whether it is to be held for the owner of ``place``, and no more can be."""
        if not _is_held(judgement):
            return False
        return not self.holdings.has_room(self.owner_of(place).key, self.size_bytes)

    def hold(self, delivery: Delivery, check: str) -> None:
        """Hold one delivery for its owner because of ``check``."""
        owner = self.owner_of(delivery.recipient.address)
        self.holdings.hold(delivery, owner, check, self.size_bytes, self.now)


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


def settle(transaction: Transaction, judge: Judge, custody: Custody, link: str) -> Settlement:
    """Mark the deliveries that go to Junk or are held; take out those that are refused.

    Where no more can be held for a mailbox, whoever shares its answer comes again later.
    ``link``: where whoever is refused can read more, see ``policy.answers``.
    """
    if len(transaction.promises) > 1:
        return _settle_each(transaction, judge, custody, link)
    judged = [
        (delivery, judge(named_by(delivery), delivery.recipient.address))
        for delivery in transaction.deliveries
    ]
    refusing = at_end([judgement for _, judgement in judged])
    if refusing is not None:
        for delivery, judgement in judged:
            if delivery.index < len(transaction.records):
                transaction.records[delivery.index].next = next_refusals(judgement)
        return Settlement(_refusal_of(refusing, link))
    if any(custody.lacks_room(delivery.recipient.address, one) for delivery, one in judged):
        return Settlement(_FULL)
    for delivery, judgement in judged:
        _mark(delivery, judgement, transaction.records, custody)
    return Settlement(None)


def by_recipient(transaction: Transaction) -> dict[Address, list[Address]]:
    """The places that each accepted recipient leads to, by what RCPT called it."""
    found: dict[Address, list[Address]] = {}
    if len(transaction.promises) > 1:
        for promise in transaction.promises:
            places = (place.address for place in promise.destinations)
            found.setdefault(promise.recipient.address, []).extend(places)
    else:
        for delivery in transaction.deliveries:
            found.setdefault(named_by(delivery), []).append(delivery.recipient.address)
    return found


def _settle_each(transaction: Transaction, judge: Judge, custody: Custody, link: str) -> Settlement:
    """Each recipient takes the message or is refused it, whatever the others do."""
    promises = transaction.promises
    transaction.start_over()
    return _settlement([_settle_one(transaction, one, judge, custody, link) for one in promises])


def _settle_one(
    transaction: Transaction, promise: Promise, judge: Judge, custody: Custody, link: str
) -> Refusal | None:
    judged = {
        place.address: judge(promise.recipient.address, place.address)
        for place in promise.destinations
    }
    refusing = at_end(list(judged.values()))
    if refusing is not None:
        transaction.break_off(promise, verdict_of(refusing, link))
        return _refusal_of(refusing, link)
    if any(custody.lacks_room(place, one) for place, one in judged.items()):
        verdict = Verdict(Effect.REFUSE_FOR_NOW, replies.HELD_FULL, _NO_ROOM)
        transaction.break_off(promise, verdict)
        return _FULL
    for delivery in transaction.keep(promise):
        _mark(delivery, judged[delivery.recipient.address], transaction.records, custody)
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


def verdict_of(refusing: Judgement, link: str = "") -> Verdict:
    """A judgement that refuses, as it is answered and put on record."""
    refusal = _refusal_of(refusing, link)
    label = "" if refusing.rule is None else refusing.rule.label
    effect, then = _EFFECTS[refusing.gravity], next_refusals(refusing)
    return Verdict(effect, refusal.reply, refusal.finding, label, then)


def _refusal_of(refusing: Judgement, link: str) -> Refusal:
    finding = refusing.because
    assert finding is not None
    for_now = refusing.gravity is Gravity.REFUSE_FOR_NOW
    return Refusal(finding, answer(finding, for_now=for_now, link=link))


def _is_held(judgement: Judgement) -> bool:
    """True for what is neither taken nor put into Junk by a recipient whom it reaches."""
    return judgement.because is not None and judgement.gravity is not Gravity.JUNK


def _mark(
    delivery: Delivery,
    judgement: Judgement,
    records: Sequence[RecipientRecord],
    custody: Custody,
) -> None:
    record = records[delivery.index] if delivery.index < len(records) else None
    if record is not None and judgement.rule is not None:
        record.rule = judgement.rule.label
    finding = judgement.because
    if finding is None:
        return
    if record is not None:
        record.because = because_of(finding)
    delivery.is_suspect = True
    if _is_held(judgement):
        custody.hold(delivery, finding.check)
    else:
        delivery.is_junk = True


def named_by(delivery: Delivery) -> Address:
    """What RCPT called the recipient of a delivery."""
    if delivery.original.lower() == "postmaster":
        return Address("postmaster", "")
    return parse_address(delivery.original) or delivery.recipient.address
