"""What can be set about the queue."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from postern.queue.throttles import Throttles
from postern.routing.chooser import MailClass

NO_THROTTLES = Throttles(())


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Retry times and slots. Totals are for the whole host; each worker takes its part.

    ``egresses``: by whose mail it is, the way out of classes that have one of their own. ``slots``
    are those of the fast lane, ``slow_slots`` of the slow one (0: as many). ``drain_per_min``: how
    fast waiting mail begins to go when its group opens again.
    """

    first_retry_s: float = 300.0
    max_retry_s: float = 14_400.0
    retry_growth: float = 2.0
    expire_s: float = 5 * 86_400.0
    slots: int = 200
    slow_slots: int = 0
    group_share: float = 0.25
    local_lanes: int = 16
    recipients_per_transaction: int = 100
    fresh_bytes: int = 64 * 1024 * 1024
    workers: int = 1
    egresses: Mapping[MailClass, str] = field(default_factory=dict)
    drain_per_min: float = 60.0
    throttles: Throttles = NO_THROTTLES

    @property
    def worker_slots(self) -> int:
        """Sessions one worker may have open at once."""
        return max(1, self.slots // self.workers)

    @property
    def worker_slow_slots(self) -> int:
        """Sessions one worker may have in its slow lane at once."""
        return max(1, (self.slow_slots or self.slots) // self.workers)

    @property
    def worker_drain_per_s(self) -> float:
        """Messages a second at which one worker begins with what waited for a group."""
        return self.drain_per_min / 60.0 / self.workers

    @property
    def group_slots(self) -> int:
        """Sessions one worker may have open to one MX group."""
        return max(1, int(self.slots * self.group_share) // self.workers)

    @property
    def worker_fresh_bytes(self) -> int:
        """Octets of fresh mail one worker keeps in memory; more waits on disk."""
        return self.fresh_bytes // self.workers
