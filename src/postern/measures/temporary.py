"""One exception: who made it and why, until when, and when it was last of use."""

from dataclasses import dataclass
from enum import Enum

from postern.runtime.clock import Instant

MAX_REASON_CHARS = 500
IDLE_S = 60 * 86_400.0
"""Unused for so long, what has no end is proposed to be ended."""


class Kind(Enum):
    """What it is an exception from."""

    RULE = "rule"
    RESOLVER = "resolver"
    ROUTE = "route"
    TLS = "tls"
    FREEZE = "freeze"
    SUSPENSION = "suspension"


class Standing(Enum):
    """Where an exception is in its life."""

    ACTIVE = "active"
    IDLE = "idle"  # active, but nobody has needed it for IDLE_S: "end it?"
    EXPIRED = "expired"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Temporary:
    """What all exceptions have in common.

    ``until`` None: no end, but a standing question after ``IDLE_S`` without use. ``hits`` and
    ``last_used_at`` tell how often it changed what became of something, and when last.
    """

    id: str
    kind: Kind
    reason: str
    author: str
    created_at: Instant
    until: Instant | None = None
    hits: int = 0
    last_used_at: Instant | None = None
    ended_at: Instant | None = None
    ended_by: str = ""

    def standing(self, now: Instant) -> Standing:
        """Where it is in its life at ``now``."""
        if self.ended_at is not None:
            return Standing.ENDED
        if self.until is not None:
            return Standing.EXPIRED if self.until <= now else Standing.ACTIVE
        last = self.created_at if self.last_used_at is None else self.last_used_at
        return Standing.IDLE if now - last >= IDLE_S else Standing.ACTIVE

    def is_active(self, now: Instant) -> bool:
        """True while it does what it was made for."""
        return self.standing(now) in {Standing.ACTIVE, Standing.IDLE}


def reason_flaw(reason: str) -> str:
    """Why these words can't stand as a reason: half a sentence; empty when they can."""
    if len(reason) > MAX_REASON_CHARS or not reason.isprintable():
        return f"the reason must be one line of at most {MAX_REASON_CHARS} characters"
    return ""
