"""Leaves a scanner alone that fails again and again, and tries it now and then.

Closed: everybody passes. After so many failures in a row it opens: nobody passes, and whoever asks
is told why at once. When its time has come one may pass, alone: his success closes it, his failure
opens it again, for twice as long.
"""

from enum import Enum

LONGEST_RETRY_S = 60.0


class State(Enum):
    """The values are the words of ``run/worker-N.json``."""

    CLOSED = "up"
    OPEN = "down"
    HALF_OPEN = "probing"


class Breaker:
    """One scanner's. Times are monotonic seconds.

    Attributes:
        cause: of the last failure; empty once it has recovered.
    """

    def __init__(self, failures: int, retry_s: float) -> None:
        self._allowed = failures
        self._first_retry_s = retry_s
        self._retry_s = retry_s
        self._failures = 0
        self._retry_at = 0.0
        self.state = State.CLOSED
        self.cause = ""

    def may_pass(self, now: float) -> bool:
        """True for whoever may ask the scanner; he must say afterwards how it went."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN and now >= self._retry_at:
            self.state = State.HALF_OPEN
            return True
        return False

    @property
    def is_probing(self) -> bool:
        """True while the one who passed last finds out for all others."""
        return self.state is State.HALF_OPEN

    def left_s(self, now: float) -> float:
        """Until it is tried again."""
        return max(0.0, self._retry_at - now)

    def succeeded(self) -> bool:
        """The scanner answered; True when it had not for a while."""
        was_open = self.state is not State.CLOSED
        self.state = State.CLOSED
        self._failures = 0
        self._retry_s = self._first_retry_s
        self.cause = ""
        return was_open

    def failed(self, cause: str, now: float) -> bool:
        """The scanner failed; True when it is left alone from now on, and was not before."""
        self.cause = cause
        self._failures += 1
        if self.state is State.CLOSED:
            if self._failures < self._allowed:
                return False
            self._open(now)
            return True
        if self.state is State.HALF_OPEN:
            self._retry_s = min(2 * self._retry_s, max(LONGEST_RETRY_S, self._first_retry_s))
            self._open(now)
        return False

    def _open(self, now: float) -> None:
        self.state = State.OPEN
        self._retry_at = now + self._retry_s
