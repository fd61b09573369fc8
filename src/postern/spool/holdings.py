"""What one worker holds for each mailbox: counted in memory, so that looking costs nothing.

A mailbox's bound holds for the whole host; each worker takes its part of it, as of slots. Counts
follow what is held and let go, and are put right by ``recounted`` whenever all rows were walked
through: a client that leaves between the count and the commit makes them wrong until then.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from postern.mail.address import Address
from postern.runtime.clock import Instant
from postern.spool.message import Delivery, DeliveryState
from postern.spool.settings import HoldSettings

CROWDED = 0.9
"""From this part of its bound on, a mailbox's held mail is cleared of what may leave early."""


@dataclass(slots=True)
class Pile:
    """What is held for one mailbox."""

    count: int = 0
    size_bytes: int = 0

    def add(self, count: int, size_bytes: int) -> None:
        """Count some more, or less."""
        self.count += count
        self.size_bytes += size_bytes


class Holdings:
    """The piles of one worker, by the mailbox's key. For the loop's thread."""

    def __init__(self, settings: HoldSettings) -> None:
        self._settings = settings
        self._piles: dict[str, Pile] = {}
        self._since: dict[str, Pile] | None = None

    @property
    def settings(self) -> HoldSettings:
        """How long, and how much."""
        return self._settings

    def resize(self, settings: HoldSettings) -> None:
        """Other bounds from now on; what is held already keeps its end."""
        self._settings = settings

    def has_room(self, owner: str, size_bytes: int) -> bool:
        """Whether one more message of that size may be held for a mailbox."""
        pile = self._piles.get(owner)
        if pile is None:
            return True
        return (
            pile.count < self._settings.worker_messages
            and pile.size_bytes + size_bytes <= self._settings.worker_bytes
        )

    def hold(
        self, delivery: Delivery, owner: Address, check: str, size_bytes: int, now: Instant
    ) -> None:
        """Hold a delivery for ``owner`` because of ``check``, until its time is over."""
        delivery.state = DeliveryState.HELD
        delivery.held_for = check
        delivery.owner = owner.key
        delivery.due = now + self._settings.keep_s
        self._add(owner.key, 1, size_bytes)

    def let_go(self, delivery: Delivery, size_bytes: int) -> None:
        """A delivery that was held is not any more."""
        self._add(delivery.owner or delivery.recipient.address.key, -1, -size_bytes)

    def crowded(self) -> dict[str, Pile]:
        """Mailboxes near their bound, each with how much should leave."""
        most, most_bytes = self._settings.worker_messages, self._settings.worker_bytes
        return {
            owner: Pile(
                pile.count - int(most * CROWDED), pile.size_bytes - int(most_bytes * CROWDED)
            )
            for owner, pile in self._piles.items()
            if pile.count > most * CROWDED or pile.size_bytes > most_bytes * CROWDED
        }

    def begin_recount(self) -> None:
        """All rows are about to be walked through; what changes meanwhile is added at the end."""
        self._since = {}

    def recounted(self, piles: Mapping[str, Pile]) -> None:
        """Take what the rows told in place of what was counted."""
        since, self._since = self._since or {}, None
        self._piles = dict(piles)
        for owner, pile in since.items():
            self._count(self._piles, owner, pile.count, pile.size_bytes)

    def _add(self, owner: str, count: int, size_bytes: int) -> None:
        self._count(self._piles, owner, count, size_bytes)
        if self._since is not None:
            self._count(self._since, owner, count, size_bytes)

    def _count(self, piles: dict[str, Pile], owner: str, count: int, size_bytes: int) -> None:
        pile = piles.setdefault(owner, Pile())
        pile.add(count, size_bytes)
        if piles is self._piles and pile.count <= 0:
            del piles[owner]
