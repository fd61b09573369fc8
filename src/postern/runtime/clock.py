"""Time, taken as a value so that tests can run hours in a blink."""

import time
from datetime import UTC, datetime
from typing import Protocol

Instant = float
"""Seconds since 1970-01-01 UTC."""


class Clock(Protocol):
    """Two readings: what the calendar says, and what only ever grows."""

    def now(self) -> Instant:
        """The wall clock, for what people read and what survives a restart."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for durations and time limits."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Instant:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()


class FakeClock:
    """A clock that stands still until told to move; ships for users' own tests."""

    def __init__(self, now: Instant = 1_750_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> Instant:
        """The moment last set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both readings forward."""
        self._now += seconds
        self._monotonic += seconds


def rfc3339(instant: Instant) -> str:
    """``2026-11-22T20:51:35.123+00:00``: a moment for ``--json``, with its offset."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds")
