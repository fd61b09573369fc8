"""What waits and why, read from the spools' files, whether the server runs or not.

The cause of a delivery is inside its row, not in a column, for it would have to be written at every
attempt and is asked for by people only. So the counts come from the indexes, exact, and causes by
reading rows: small groups whole, of a group too large for the budget as many from each end of its
calendar, counted up to the group's size. A queue of a million is told in a second or two.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from postern.mail.outcome import Cause
from postern.queue.causes import (
    FIRST_TRY,
    HOLDS_OPEN,
    NETWORK_KINDS,
    is_throttling,
    kind_of,
    words,
)
from postern.queue.groupview import GroupView, joined, joined_lanes
from postern.queue.standing import DRAINING, SHUT, SLOW, SUSPENDED
from postern.runtime.clock import Instant
from postern.runtime.processes import FRESH_S, LaneStatus, read_statuses
from postern.spool.message import Delivery, DeliveryState, Message
from postern.spool.outline import state_word
from postern.spool.store.reader import Counts, GroupCount, OneSpool, SpoolReader

BUDGET = 50_000
"""Rows of one spool that are read for their causes."""

MAX_CAUSES = 1000
MAX_ADDRESSES = 1000
"""Recipients of one cause that are told apart."""

WARN_S = 3600.0
PROBLEM_S = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class CauseLine:
    """Why some mail waits.

    ``since`` is when the oldest of it first met this, ``next_at`` the earliest next try (None
    while its first is under way), ``gives_up_at`` when the first of it goes back to its sender.
    ``group``: how its group stands, where it is not simply well.
    """

    cause: str
    mx_group: str
    count: int
    since: Instant
    next_at: Instant | None
    gives_up_at: Instant
    group: GroupView | None = None


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queue at a glance. ``waiting`` and ``held`` are deliveries; causes by count.

    ``more_causes`` are those beyond ``MAX_CAUSES``; ``warnings`` say what could not be read;
    ``lanes`` are the slots by lane: used and all.
    """

    waiting: int
    held: int
    oldest_s: float
    slots_used: int
    slots_all: int
    causes: tuple[CauseLine, ...]
    more_causes: int = 0
    warnings: tuple[str, ...] = ()
    lanes: tuple[LaneStatus, ...] = ()

    @property
    def severity(self) -> int:
        """0 all is fine, 1 the oldest waits for more than an hour, 2 for more than four.

        An hour is what greylisting and a restart of the other side take; after four hours our own
        users are told of the delay, so a person had better know before them.
        """
        return int(self.oldest_s > WARN_S) + int(self.oldest_s > PROBLEM_S)


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """One delivery of a group, as a person reads it."""

    trace: str
    mail_from: str
    to: str
    state: str
    since: Instant
    next_at: Instant | None
    gives_up_at: Instant
    tries: int
    last_reply: str


@dataclass(slots=True)
class _Heap:
    group: str
    kind: str
    first: Delivery
    oldest: int
    next_due: float
    count: float = 0.0
    addresses: set[str] = field(default_factory=set)
    since: float = 0.0
    expires_at: float = 0.0

    def add(self, number: int, delivery: Delivery, weight: float) -> None:
        """Put one delivery on; ``weight`` are those it stands for."""
        self.count += weight
        self.next_due = min(self.next_due, delivery.due)
        if len(self.addresses) < MAX_ADDRESSES:
            self.addresses.add(delivery.recipient.address.key)
        if number <= self.oldest:
            self.oldest, self.first = number, delivery

    def absorb(self, other: "_Heap") -> None:
        """Put another heap on this one; what is told of the oldest is told of the first to wait."""
        self.count += other.count
        self.addresses |= other.addresses
        self.next_due = min(self.next_due, other.next_due)
        self.expires_at = min(self.expires_at, other.expires_at)
        if other.since < self.since:
            self.since = other.since
            if other.kind == self.kind:
                self.first = other.first

    def line(self) -> CauseLine:
        """The heap as people see it."""
        others = len(self.addresses) - 1
        return CauseLine(
            words(self.kind, self.group, self.first, others),
            self.group,
            max(1, round(self.count)),
            self.since,
            self.next_due,
            self.expires_at,
        )


def look(spool_folder: Path, run_dir: Path, now: Instant) -> QueueView:
    """The whole queue by cause."""
    heaps: dict[tuple[str, str], _Heap] = {}
    waiting = held = fresh = 0
    oldest: list[Message] = []
    freshest: list[Message] = []
    warnings: list[str] = []
    for spool in SpoolReader(spool_folder).spools():
        try:
            counts = spool.counts()
            mine = dict(_heaps(spool, counts))
        except OSError as error:
            warnings.append(str(error))
            continue
        waiting += sum(group.count for group in counts.groups)
        held += counts.held
        fresh += len(counts.fresh)
        _merge(heaps, mine)
        numbers = [group.oldest for group in counts.groups]
        oldest += _messages(spool, sorted(numbers)[:1])
        freshest += _messages(spool, sorted(counts.fresh)[:1])
    statuses = [status for status in read_statuses(run_dir) if now - status.at <= FRESH_S]
    stand = joined(status.groups for status in statuses)
    _one_cause_each(heaps, stand, is_told=bool(statuses))
    lines = sorted((heap.line() for heap in heaps.values()), key=lambda line: -line.count)
    lines = [with_standing(line, stand.get(line.mx_group)) for line in lines]
    if freshest:
        first = min(freshest, key=lambda message: message.accepted_at)
        at_work = held_open(stand, {line.mx_group for line in lines}, first, fresh)
        lines += at_work
        left = fresh - sum(line.count for line in at_work)
        if left > 0:
            lines.append(CauseLine(FIRST_TRY, "", left, first.accepted_at, None, first.expires_at))
    accepted = [message.accepted_at for message in [*oldest, *freshest]]
    return QueueView(
        waiting + fresh,
        held,
        max(0.0, now - min(accepted)) if accepted else 0.0,
        sum(status.slots_used for status in statuses),
        sum(status.slots_all for status in statuses),
        tuple(lines[:MAX_CAUSES]),
        max(0, len(lines) - MAX_CAUSES),
        tuple(warnings),
        joined_lanes(status.lanes for status in statuses),
    )


def with_standing(line: CauseLine, group: GroupView | None) -> CauseLine:
    """The line with what holds its group; what may not go before a time is not tried before it."""
    if group is None:
        return line
    next_at = line.next_at
    if group.until is not None and next_at is not None:
        next_at = max(next_at, group.until)
    return replace(line, group=group, next_at=next_at)


def held_open(
    stand: Mapping[str, GroupView], told: Collection[str], first: Message, fresh: int
) -> list[CauseLine]:
    """Lines for slow groups whose mail is at its first try; ``fresh`` is all there is of that."""
    found: list[CauseLine] = []
    for group in stand.values():
        if group.condition == SLOW and group.name not in told and 0 < group.busy <= fresh:
            cause = f"{group.name} {HOLDS_OPEN}"
            found.append(
                CauseLine(cause, group.name, group.busy, group.since, None, first.expires_at, group)
            )
            fresh -= group.busy
    return sorted(found, key=lambda line: -line.count)


def look_at_group(spool_folder: Path, group: str, most: int) -> list[DeliveryLine]:
    """Mail of one MX group, what is due first in front, then what is held; at most ``most``."""
    found: list[DeliveryLine] = []
    for spool in SpoolReader(spool_folder).spools():
        for number, delivery in spool.due_first(group, most):
            message = spool.message(number)
            if message is not None:
                found.append(_line(message, delivery))
    found.sort(key=lambda line: (line.next_at is None, line.next_at or line.since))
    return found[:most]


def groups(spool_folder: Path) -> dict[str, int]:
    """Groups that mail waits for, with how much."""
    found: dict[str, int] = {}
    for spool in SpoolReader(spool_folder).spools():
        for group in spool.counts().groups:
            found[group.group] = found.get(group.group, 0) + group.count
    return found


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """One message as ``mailq`` lists it."""

    trace: str
    size_bytes: int
    queued_at: Instant
    sender: str
    is_held: bool
    reason: str
    recipients: tuple[str, ...]


def queued_messages(spool_folder: Path) -> Iterator[QueuedMessage]:
    """Every message that is not finished, oldest first within each worker."""
    for message in SpoolReader(spool_folder).messages():
        left = [d for d in message.deliveries if d.state is not DeliveryState.DONE]
        if left:
            yield QueuedMessage(
                message.trace,
                message.content.size_bytes,
                message.accepted_at,
                str(message.sender),
                all(d.state is DeliveryState.HELD for d in left),
                next((d.last_reply for d in left if d.last_reply), ""),
                tuple(str(d.recipient.address) for d in left),
            )


def _heaps(spool: OneSpool, counts: Counts) -> Iterator[tuple[tuple[str, str], _Heap]]:
    """What one spool's mail waits for; the budget goes to small groups first, whole."""
    budget = BUDGET
    by_size = sorted(counts.groups, key=lambda group: group.count)
    for place, group in enumerate(by_size):
        share = max(2, budget // (len(by_size) - place))
        sample = spool.sample(group.group, share)
        budget = max(0, budget - len(sample))
        for heap in _sorted_out(group, sample):
            message = spool.message(heap.oldest)
            if message is not None:
                heap.expires_at = message.expires_at
                heap.since = next(
                    (a.at for a in heap.first.attempts if a.cause == heap.first.cause),
                    message.accepted_at,
                )
                yield (heap.group, heap.kind), heap


def _sorted_out(group: GroupCount, sample: list[tuple[int, Delivery]]) -> list[_Heap]:
    heaps: dict[str, _Heap] = {}
    weight = group.count / len(sample) if sample else 0.0
    for number, delivery in sample:
        kind = kind_of(delivery)
        heap = heaps.get(kind)
        if heap is None:
            heap = heaps[kind] = _Heap(group.group, kind, delivery, number, delivery.due)
        heap.add(number, delivery, weight)
    return list(heaps.values())


def _merge(heaps: dict[tuple[str, str], _Heap], more: dict[tuple[str, str], _Heap]) -> None:
    """Put the heaps of another worker's spool on those of the same cause."""
    for key, heap in more.items():
        mine = heaps.get(key)
        if mine is None:
            heaps[key] = heap
            continue
        mine.absorb(heap)


def _one_cause_each(
    heaps: dict[tuple[str, str], _Heap], stand: Mapping[str, GroupView], *, is_told: bool
) -> None:
    """Mail that was never tried waits for what keeps its group; so do other failures of a dead one.

    ``is_told``: a server runs and says how groups stand; where none does, what its last tries ended
    with is all that is known.
    """
    by_group: dict[str, list[_Heap]] = {}
    for heap in heaps.values():
        by_group.setdefault(heap.group, []).append(heap)
    for name, found in by_group.items():
        group = stand.get(name)
        condition = group.condition if group is not None else ("" if is_told else SHUT)
        is_own = group is not None and condition == SUSPENDED and not group.label
        causes = [heap for heap in found if _keeps_all(heap, condition, is_own=is_own)]
        untried = [heap for heap in found if not heap.kind]
        if causes:
            largest = max(causes, key=lambda heap: heap.count)
            for heap in (*causes, *untried):
                if heap is not largest:
                    largest.absorb(heaps.pop((name, heap.kind)))
        elif condition in {SLOW, SUSPENDED}:
            for heap in untried:
                heap.kind = f"group.{condition}"


def _keeps_all(heap: _Heap, condition: str, *, is_own: bool) -> bool:
    """Whether what these met keeps all mail of their group; ``is_own``: Postern suspended it."""
    if is_own:
        return heap.first.cause == Cause.REPLY.value and is_throttling(heap.first.last_reply)
    return condition in {SHUT, DRAINING} and heap.kind in NETWORK_KINDS


def _messages(spool: OneSpool, numbers: list[int]) -> list[Message]:
    return [message for number in numbers if (message := spool.message(number)) is not None]


def _line(message: Message, delivery: Delivery) -> DeliveryLine:
    is_held = delivery.state is DeliveryState.HELD
    return DeliveryLine(
        message.trace,
        str(message.sender),
        str(delivery.recipient.address),
        state_word(delivery),
        message.accepted_at,
        None if is_held else delivery.due,
        message.expires_at,
        delivery.tries,
        delivery.last_reply,
    )
