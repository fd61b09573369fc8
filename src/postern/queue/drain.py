"""How fast waiting mail goes once its group is open again: slowly at first, faster as it succeeds.

The group has just come back, and not for us alone: everybody's mail falls on it now.
"""

from dataclasses import dataclass

Place = tuple[float, int, int]
"""Where a walk through a group's waiting mail has come to: due, message, ``n``."""

START: Place = (-1.0, -1, -1)
GROWTH = 0.07
"""What each success adds to the rate, in messages a second: it doubles every ten seconds."""
BURST = 50.0
MOST_BAD = 200
"""So much more of it failed again than went: the rest goes at its own time."""


@dataclass(slots=True)
class Drain:
    """One group's waiting mail on its way out, whatever its own next try.

    ``opened_at``: what was tried since has had its turn; ``place``: how far the walk through what
    waits has come; ``bad``: how many more failed again than went.
    """

    opened_at: float
    first_per_s: float
    per_s: float
    place: Place = START
    sent: int = 0
    bad: int = 0
    _tokens: float = 1.0
    _at: float = 0.0

    def room(self, now: float) -> int:
        """How many may go now."""
        if self._at:
            earned = max(0.0, now - self._at) * self.per_s
            self._tokens = min(max(BURST, self.per_s), self._tokens + earned)
        self._at = now
        return int(self._tokens)

    def wait_s(self) -> float:
        """Seconds until the next may go, once ``room`` was none."""
        return max(0.0, 1.0 - self._tokens) / self.per_s

    def spend(self, count: int) -> None:
        """So many go."""
        self._tokens -= count
        self.sent += count

    def went_well(self) -> None:
        """One arrived, or was answered for good."""
        self.per_s += GROWTH
        self.bad = max(0, self.bad - 1)

    def went_badly(self) -> bool:
        """One has to wait again; True when the drain is to end."""
        self.per_s = max(self.first_per_s, self.per_s / 2)
        self.bad += 1
        return self.bad >= MOST_BAD


def drain(opened_at: float, per_s: float) -> Drain:
    """A drain that begins at ``per_s`` messages a second."""
    return Drain(opened_at, per_s, per_s)
