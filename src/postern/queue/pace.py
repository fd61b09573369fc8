"""How much an MX group is given at a time, learnt from how it answers. Pure: no clock, no disk.

It begins small, as TCP does: one more session for each good answer until the first setback, from
then on one more for each round of good answers, half as many after a setback. Several sessions
fail together, so only those begun after the last setback count for the next.

A group that gives nothing but network trouble, three times in a row, is shut: one try at a time, at
growing pauses, until something answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome
from postern.mail.route import RELAY_GROUP
from postern.queue.causes import NETWORK, is_greylisting, is_throttling

FIRST_SESSIONS = 2.0
SHUT_AFTER = 3
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
"""Between two tries of a shut group; other evidence, such as a probe's, opens it sooner."""
SLOW_FOR_S = 86_400.0
QUICK_AGAIN = 3
"""Quick sessions in a row after which a slow group is slow no more."""
MAX_REMEMBERED = 20_000

_OURS = frozenset(
    {Cause.DNS, Cause.NO_EGRESS, Cause.LOCAL, Cause.BUG, Cause.EXPIRED, Cause.CANCELLED}
)
"""Causes that say nothing about the path."""


class Answer(Enum):
    """What one attempt told of a group."""

    GOOD = "good"  # it answers; what it says of a recipient is its own business
    THROTTLED = "throttled"  # 421 or 4.7.x: too fast, too many
    NETWORK = "network"  # it can't be reached
    NOTHING = "nothing"  # our own trouble


def answer_of(outcomes: Iterable[Outcome], group: str = "") -> Answer:
    """What the outcomes of one attempt tell together of their group."""
    found = Answer.NOTHING
    for outcome in outcomes:
        told = _told(outcome, group)
        if told is Answer.THROTTLED:
            return told
        if told is Answer.GOOD or found is Answer.NOTHING:
            found = told
    return found


def _told(outcome: Outcome, group: str) -> Answer:
    """What one recipient's outcome tells of the group."""
    if isinstance(outcome, Delivered):
        return Answer.GOOD
    if isinstance(outcome, Deferred):
        if _asks_for_less(outcome):
            return Answer.THROTTLED
        if outcome.cause in NETWORK:
            return Answer.NOTHING if _is_one_domain_s(outcome, group) else Answer.NETWORK
    return Answer.NOTHING if outcome.cause in _OURS else Answer.GOOD


def _asks_for_less(outcome: Deferred) -> bool:
    said = str(outcome.reply) if outcome.cause is Cause.REPLY else ""
    return is_throttling(said) and not is_greylisting(said)


def _is_one_domain_s(outcome: Deferred, group: str) -> bool:
    """Whether one domain's own demand was not met (MTA-STS, DANE): the group's others go on.

    What is demanded of a relay holds for all that goes through it.
    """
    is_demand = outcome.cause is Cause.TLS and outcome.whose is Whose.RECIPIENT
    return is_demand and not group.startswith(RELAY_GROUP)


@dataclass(slots=True, eq=False)
class Pace:
    """What one worker has learnt about one group; it outlives the group's mail.

    ``allowed`` are sessions at a time, rounded down; ``is_proven``: its last session was quick and
    got an answer; ``slow_until``: it is served in the slow lane until then; ``probe_at``: the next
    try of a shut group; ``because``: the last trouble, as it was told.
    """

    allowed: float = FIRST_SESSIONS
    is_starting: bool = True
    is_proven: bool = False
    setback_at: float = 0.0
    failures: int = 0
    is_shut: bool = False
    shut_since: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    probe_at: float = 0.0
    slow_until: float = 0.0
    slow_since: float = 0.0
    quick: int = 0
    because: str = ""
    throttled_until: float = 0.0
    throttled_s: float = 0.0

    def is_slow(self, now: float) -> bool:
        """True while its sessions begin in the slow lane."""
        return self.slow_until > now

    def went_well(self, most: int) -> None:
        """A quick session ended with an answer; ``most`` is the group's share."""
        self.failures = 0
        self.is_proven = True
        if self.allowed < most:
            self.allowed += 1.0 if self.is_starting else 1.0 / self.allowed
        if self.slow_until:
            self.quick += 1
            if self.quick >= QUICK_AGAIN:
                self.slow_until = 0.0

    def met_setback(self, began: float, now: float) -> None:
        """A session begun at ``began`` ended in trouble at ``now``, both of one clock."""
        self.is_starting = False
        if began >= self.setback_at:
            self.allowed = max(1.0, self.allowed / 2)
            self.setback_at = now

    def was_slow(self, now: float) -> None:
        """A session took its time."""
        if not self.is_slow(now):
            self.slow_since = now
        self.slow_until = now + SLOW_FOR_S
        self.quick = 0
        self.is_proven = False

    def failed(self, now: float, because: str) -> bool:
        """Network trouble; True when this shuts the group."""
        self.failures += 1
        self.because = because
        self.is_proven = False
        if self.is_shut:
            # What ends sooner was under way already: only a try that was made to see counts.
            if now >= self.probe_at:
                self._wait_longer(now)
            return False
        return self.failures >= SHUT_AFTER and self.shut(now)

    def shut(self, now: float) -> bool:
        """From now on one try at a time; False when it was so already."""
        if self.is_shut:
            return False
        self.is_shut, self.shut_since = True, now
        self._wait_longer(now)
        return True

    def _wait_longer(self, now: float) -> None:
        self.probe_at = now + self.pause_s
        self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)

    def open(self) -> bool:
        """Something answers; True when it was shut. It begins small again."""
        self.failures = 0
        if not self.is_shut:
            return False
        self.is_shut = False
        self.pause_s = FIRST_PAUSE_S
        self.allowed, self.is_starting = FIRST_SESSIONS, True
        return True


class Paces:
    """What is remembered of groups, whether mail waits for them or not; the latest met stay."""

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}

    def of(self, name: str) -> Pace:
        """The pace of a group, made where nothing is known of it."""
        pace = self._paces.pop(name, None)
        if pace is None:
            pace = Pace()
            if len(self._paces) >= MAX_REMEMBERED:
                del self._paces[next(iter(self._paces))]
        self._paces[name] = pace
        return pace

    def known(self, name: str) -> Pace | None:
        """The same, or None."""
        return self._paces.get(name)
