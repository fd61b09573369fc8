"""Work that was ready in memory and waits on disk instead: its group may not go, or has enough.

Memory is shared as slots are. A group may have its share of fresh mail waiting in it; one of which
nothing good is known only what its first sessions can take.
"""

from collections.abc import Callable, Sequence

from postern.queue.claims import Claims
from postern.queue.desk import Desk
from postern.queue.gates import FEW_READY, first_due
from postern.queue.group import Group, Work
from postern.runtime.clock import Clock
from postern.spool.message import Delivery, DeliveryState, Message


class Shelf:
    """Puts work back.

    Args:
        claims: what stands on disk as waiting for which group.
        desk: the messages in memory.
        clock: for what is due.
        record: writes down how deliveries of a message stand.
    """

    def __init__(
        self,
        claims: Claims,
        desk: Desk,
        clock: Clock,
        record: Callable[[Message, Sequence[Delivery]], None],
    ) -> None:
        self._claims = claims
        self._desk = desk
        self._clock = clock
        self._record = record
        self._crowded: dict[str, Group] = {}

    @property
    def is_in_use(self) -> bool:
        """Whether any group has had more than its part of the memory."""
        return bool(self._crowded)

    def keep_out(self, name: str, message: Message, delivery: Delivery, otherwise_s: float) -> None:
        """Before a message is made durable: if its group has enough, let it wait from the first.

        What is written once so would be written twice by ``put``.
        """
        group = self._crowded.get(name)
        if group is None:
            return
        if len(group.ready) < self._most(group):
            del self._crowded[name]
            return
        delivery.group = name
        delivery.state = DeliveryState.WAITING
        delivery.due = min(first_due(group, self._clock.now(), otherwise_s), message.expires_at)

    def _most(self, group: Group) -> int:
        return self._desk.fair_share if group.pace.is_proven else FEW_READY

    def is_for(self, group: Group, work: Work) -> bool:
        """Whether one more piece of fresh work is too much for the memory that is the group's."""
        if work.deliveries[0].state is not DeliveryState.FRESH:
            return False
        if len(group.ready) < self._most(group):
            return False
        self._crowded[group.name] = group
        return True

    def put(self, group: Group, works: Sequence[Work], otherwise_s: float) -> None:
        """Let ``works`` wait on disk; the next try of what had one stays as it is.

        Args:
            group: whose they are.
            works: counted as busy, and in no line any more.
            otherwise_s: what was never tried waits so long where nothing says when it may go.
        """
        due = first_due(group, self._clock.now(), otherwise_s)
        group.busy -= sum(len(work.deliveries) for work in works)
        for work in works:
            self._put_one(group, work, due)
        if works:
            group.has_more = True
            self._claims.start(group)

    def _put_one(self, group: Group, work: Work, due: float) -> None:
        message, is_taken = work.message, self._claims.is_taken_for
        # What was claimed for this very group stands so on disk; of the rest it must be told.
        untold = [d for d in work.deliveries if not is_taken(group, message, d)]
        for delivery in work.deliveries:
            delivery.busy = False
        for delivery in untold:
            delivery.state = DeliveryState.WAITING
            delivery.due = min(due, message.expires_at)
        if untold:
            self._record(message, untold)
        self._claims.concluded(message, work.deliveries)
        self._desk.let_go(message)
