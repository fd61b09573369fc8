"""What becomes of mail that is greylisted, of what is known about its like."""

from dataclasses import dataclass
from enum import Enum

from postern.policy.greylist.settings import GreylistSettings
from postern.runtime.clock import Instant

FRESH_SHARE = 1 / 35
"""Of a life, a day by default: what was seen so lately need not be written down again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One sender to one recipient through one pool of clients.

    ``passed_at`` None: it has not come again in time yet.
    """

    first_at: Instant
    seen_at: Instant
    passed_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """How often mail of one pool of clients came again in time."""

    passes: int
    seen_at: Instant


class Change(Enum):
    """What must be written down before the client is answered."""

    NONE = "none"
    BEGIN = "begin"  # it is new, or was away for too long
    PASS = "pass"  # noqa: S105 - it came again in time
    SEEN = "seen"  # it is alive
    TRUSTED = "trusted"  # so is the whole pool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where some mail stands; ``until`` is when it is taken, None: now.

    ``is_trusted``: it need not wait, for other mail of the same servers has come again.
    """

    first_at: Instant
    until: Instant | None = None
    is_trusted: bool = False


def stand(
    entry: Entry | None, trust: Trust | None, now: Instant, settings: GreylistSettings
) -> tuple[Standing, Change]:
    """Where mail stands that comes ``now``, and what changes by that."""
    life_s, fresh_s = settings.life_s, settings.life_s * FRESH_SHARE
    if _is_trusted(trust, now, settings):
        assert trust is not None
        change = Change.TRUSTED if now - trust.seen_at > fresh_s else Change.NONE
        return Standing(now if entry is None else entry.first_at, is_trusted=True), change
    if entry is None:
        return Standing(now, now + settings.wait_s), Change.BEGIN
    if entry.passed_at is not None:
        if now - entry.seen_at > life_s:
            return Standing(now, now + settings.wait_s), Change.BEGIN
        change = Change.SEEN if now - entry.seen_at > fresh_s else Change.NONE
        return Standing(entry.first_at), change
    age_s = now - entry.first_at
    # The clock was set back: what is from the future is as good as new.
    if not 0 <= age_s <= settings.retry_window_s:
        return Standing(now, now + settings.wait_s), Change.BEGIN
    if age_s < settings.wait_s:
        return Standing(entry.first_at, entry.first_at + settings.wait_s), Change.NONE
    return Standing(entry.first_at), Change.PASS


def _is_trusted(trust: Trust | None, now: Instant, settings: GreylistSettings) -> bool:
    if trust is None or not settings.passes_enough or trust.passes < settings.passes_enough:
        return False
    return now - trust.seen_at <= settings.life_s
