"""An MX group in one worker: what is ready for it, at work for it, and waiting for it on disk."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from postern.mail.outcome import Outcome
from postern.mail.route import Route
from postern.queue.drain import Drain
from postern.queue.pace import Answer, Pace, answer_of
from postern.queue.suspension import Suspension
from postern.spool.message import Delivery, Message

UNSORTED = ""
"""The group of deliveries that have no route yet."""

CLAIM_PER_LANE = 2
MIN_CLAIM = 16
SORT_AT_ONCE = 200
BLOCKED_AFTER_S = 3600.0


@dataclass(slots=True)
class Work:
    """Deliveries of one message that go the same way: one transaction."""

    message: Message
    deliveries: list[Delivery]
    route: Route


@dataclass(slots=True, eq=False)
class Group:
    """One MX group in one worker.

    ``most_lanes``: its share of the slots; ``has_own``: it takes no slot (the local store).
    ``lanes`` are sessions at work for it now, ``slow_lanes`` those of them in the slow lane,
    ``busy`` its deliveries in memory and on their way, ``taken`` those claimed from disk and not
    yet concluded; ``has_more``: more of it is due on disk than was claimed; ``is_hungry``: it waits
    for its turn to read that; ``failing_since``:
    nothing but network trouble since then; ``reached_at``: it last answered.
    """

    name: str
    most_lanes: int
    pace: Pace
    has_own: bool = False
    suspension: Suspension | None = None
    drain: Drain | None = None
    ready: deque[Work] = field(default_factory=deque)
    lanes: int = 0
    slow_lanes: int = 0
    busy: int = 0
    taken: int = 0
    has_more: bool = False
    is_claiming: bool = False
    is_in_line: bool = False
    is_hungry: bool = False
    failing_since: float | None = None
    reached_at: float | None = None

    @property
    def is_restrained(self) -> bool:
        """True while its mail may not simply go: see ``opens_at``."""
        return self.pace.is_shut or self.suspension is not None

    def opens_at(self, now: float) -> float | None:
        """When one of its mails may go next; None: now, infinite: when something else says so."""
        until = None if self.suspension is None else self.suspension.ends_at(now)
        if until is not None:
            return until
        if not self.pace.is_shut:
            return None
        if self.lanes or self.busy:
            return math.inf  # its one try is under way, and will ask again
        return self.pace.probe_at if self.pace.probe_at > now else None

    @property
    def limit(self) -> int:
        """How many sessions it may have now."""
        if self.pace.is_shut:
            return 1
        return min(self.most_lanes, int(self.pace.allowed))

    @property
    def most_taken(self) -> int:
        """How many deliveries may be claimed from disk in one go, and before others are."""
        if self.name == UNSORTED:
            return SORT_AT_ONCE
        if self.pace.is_shut:
            return 1
        return max(MIN_CLAIM, self.limit * CLAIM_PER_LANE)

    @property
    def may_claim(self) -> bool:
        """True when what is in memory leaves room for more from disk."""
        return self.taken < self.most_taken and len(self.ready) < self.most_taken

    def note_outcomes(self, outcomes: Iterable[Outcome], now: float) -> Answer:
        """Remember whether the group could be reached; what the outcomes tell of it."""
        answer = answer_of(outcomes, self.name)
        if answer is Answer.NETWORK:
            self.failing_since = now if self.failing_since is None else self.failing_since
        elif answer is not Answer.NOTHING:
            self.failing_since = None
            self.reached_at = now
        return answer

    def is_blocked(self, now: float) -> bool:
        """True while every try ends in network trouble and none got through within the hour."""
        if self.failing_since is None:
            return False
        return self.reached_at is None or now - self.reached_at >= BLOCKED_AFTER_S

    @property
    def wants_lane(self) -> bool:
        """True when there is work and what it may have is not used up."""
        return bool(self.ready) and self.lanes < self.limit and self.suspension is None

    @property
    def is_at_work(self) -> bool:
        """True when it has mail in memory, or more on disk that nobody would ask for."""
        return bool(self.ready or self.lanes or self.busy or self.taken or self.has_more)
