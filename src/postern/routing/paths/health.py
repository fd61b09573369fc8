"""How well a path does, weighed from what was seen of it. Pure: a state, a sign, the next state.

A path is

- **healthy** while nothing bad is known of it;
- **degraded** after one failure, or where it answers and hesitates (busy, unwelcome, throttled,
  slow, broken off); healthy again after ``GOOD_TO_RECOVER`` good answers in a row, or when nothing
  bad was seen for ``DEGRADED_S``;
- **blocked** after ``FAILURES_TO_BLOCK`` failures in a row: it is tried last. Time alone does not
  heal it: it is tested until it answers, and forgotten when no mail needed it for ``FORGET_S``;
  Where no test can tell (a relay's login) it is forgotten as if it were degraded, and mail tries
  it again;
- **probing** from the first answer of a blocked path until ``GOOD_TO_HEAL`` good ones in a row; one
  failure among them blocks it again, so that one that fails every second time is never healthy.

A failure is evidence of the network or of TLS: no mail could have passed. What a server says
(4xx and 5xx greetings, 421, greylisting) degrades a path at most, since it was the server who
answered; and so does what one domain demands of TLS in vain, since mail of others passes.

A connection that stands and is not greeted is no failure before it has ended, or is ``MUTE_S`` old:
servers that greet after some seconds, to see who talks before, are well.

Tries that overlap count as one: of twenty that were begun in the same second and failed, nobody
learns more than of one; and who was silent for three seconds and then for twenty failed once.
"""

from dataclasses import dataclass, replace
from enum import Enum

from postern.mail.paths import MUTE_S, Observation, Path, Sign
from postern.runtime.clock import Instant

FAILURES_TO_BLOCK = 2
GOOD_TO_RECOVER = 2
GOOD_TO_HEAL = 3
DEGRADED_S = 900.0
LAST_S = 60.0
"""How long an address goes last that failed, or lost a race."""
FORGET_S = 7 * 86_400.0
MAX_FAILURES = 1000
MAX_TEXT = 200
"""Characters kept of what was said."""


class PathCondition(Enum):
    """How well a path does. The values are words of ``postern paths``."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    BLOCKED = "blocked"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class PathState:
    """What is known of a path.

    Args:
        path: whose.
        group: the MX group that it was met in first; empty where all that is known is a lost race.
        host: the name its address was found under.
        condition: how well it does.
        since: when that began, or the failures in a row while degraded.
        last_sign: what was seen last.
        last_error: what was last said or seen that was bad; empty: nothing.
        last_good_at: when it last answered well, if it is known.
        failures: in a row, up to now; tries that overlap count as one.
        avoid_until: the moment (wall clock) until which it goes last; 0: it does not.
        good: good answers in a row, up to now.
        seen_at: when what was seen last showed.
        counted_at: when the last that counted showed: a try begun before it overlaps it.
        used_at: when mail last went this way, or needed to.
    """

    path: Path
    group: str
    host: str
    condition: PathCondition
    since: Instant
    last_sign: Sign
    last_error: str = ""
    last_good_at: Instant | None = None
    failures: int = 0
    avoid_until: float = 0.0
    good: int = 0
    seen_at: Instant = 0.0
    counted_at: Instant = 0.0
    used_at: Instant = 0.0

    @property
    def tls(self) -> str:
        """How the path goes, in a word."""
        return "encrypted" if self.path.encrypted else "clear"


class _Weight(Enum):
    """What a sign means for the path."""

    GOOD = "good"  # it can carry mail
    HESITANT = "hesitant"  # it answers, and something is amiss
    FAILURE = "failure"  # no mail could have passed


_WEIGHTS = {
    Sign.ANSWERED: _Weight.GOOD,
    # It asks everybody to come again, which says nothing about the way to it.
    Sign.GREYLISTED: _Weight.GOOD,
    Sign.REFUSED: _Weight.FAILURE,
    Sign.SILENT: _Weight.FAILURE,
    Sign.MUTE: _Weight.FAILURE,
    Sign.RESET: _Weight.FAILURE,
    Sign.CLOSED: _Weight.FAILURE,
    Sign.TLS_REFUSED: _Weight.FAILURE,
    Sign.TLS_STALLED: _Weight.FAILURE,
    Sign.TLS_BROKEN: _Weight.FAILURE,
    Sign.TLS_CUT: _Weight.FAILURE,
    # What one domain demands of TLS and does not get; mail of others passes there.
    Sign.TLS_MISSING: _Weight.HESITANT,
    Sign.UNTRUSTED: _Weight.HESITANT,
    Sign.LOCKED_OUT: _Weight.FAILURE,
    Sign.BUSY: _Weight.HESITANT,
    Sign.UNWELCOME: _Weight.HESITANT,
    Sign.THROTTLED: _Weight.HESITANT,
    Sign.SLOW: _Weight.HESITANT,
    Sign.BROKEN_OFF: _Weight.HESITANT,
}
_STAYS_IN_ORDER = frozenset({Sign.THROTTLED})
"""Too much mail is not made less by asking the next address of the same server."""


_SPOKEN = frozenset({Sign.BUSY, Sign.UNWELCOME, Sign.THROTTLED})
_UNTESTABLE = frozenset({Sign.LOCKED_OUT})
_DOWN = frozenset({PathCondition.BLOCKED, PathCondition.PROBING})


def is_good(sign: Sign) -> bool:
    """Whether a path that shows it can carry mail."""
    return _WEIGHTS[sign] is _Weight.GOOD


def is_failure(sign: Sign) -> bool:
    """Whether no mail could have passed."""
    return _WEIGHTS[sign] is _Weight.FAILURE


def is_testable(sign: Sign) -> bool:
    """Whether a test can tell if it is over: it has no mail, no login, no demands of TLS."""
    return sign not in _UNTESTABLE


def is_of_tls(sign: Sign) -> bool:
    """Whether it says something of TLS alone, and nothing of the same address in clear."""
    return sign.is_tls or sign in {Sign.TLS_MISSING, Sign.UNTRUSTED}


def after(state: PathState | None, seen: Observation) -> PathState | None:
    """What is known of a path after one more observation; None: nothing bad is.

    Args:
        state: what was known, at the time of the observation (see ``as_of``).
        seen: what showed now.
    """
    weight = _WEIGHTS[seen.sign]
    if state is None:
        if weight is _Weight.GOOD:
            return None
        state = _unknown(seen)
    if weight is _Weight.GOOD:
        return _after_good(state, seen)
    if _may_still_greet(seen):
        return _waiting(state, seen)
    return _after_bad(state, seen, is_failure=weight is _Weight.FAILURE)


def as_of(state: PathState, now: Instant) -> PathState | None:
    """What is left of it by now; None: nothing bad is known any more."""
    match state.condition:
        case PathCondition.HEALTHY:
            return state if state.avoid_until > now else None
        case PathCondition.DEGRADED:
            return None if now - state.seen_at >= DEGRADED_S else state
        case PathCondition.BLOCKED | PathCondition.PROBING if not is_testable(state.last_sign):
            return None if now - state.seen_at >= DEGRADED_S else state
        case PathCondition.BLOCKED | PathCondition.PROBING:
            return None if now - state.used_at >= FORGET_S else state


def lost_race(state: PathState | None, path: Path, now: Instant) -> PathState:
    """It was begun before another that answered first: it goes last for a while."""
    if state is None:
        healthy = PathCondition.HEALTHY
        state = PathState(
            path, "", "", healthy, now, Sign.ANSWERED, seen_at=now, counted_at=now, used_at=now
        )
    return replace(state, avoid_until=max(state.avoid_until, now + LAST_S))


def is_last(state: PathState, now: Instant) -> bool:
    """Whether others of the same group are tried before it."""
    return state.condition in _DOWN or state.avoid_until > now


def _unknown(seen: Observation) -> PathState:
    healthy = PathCondition.HEALTHY
    return PathState(seen.path, seen.group, seen.host, healthy, seen.at, seen.sign, used_at=seen.at)


def _after_good(state: PathState, seen: Observation) -> PathState | None:
    is_new = state.good == 0 or _is_later(state, seen)
    good = state.good + 1 if is_new else state.good
    known = replace(
        state,
        group=state.group or seen.group,
        host=seen.host or state.host,
        last_sign=seen.sign,
        last_good_at=seen.at,
        good=good,
        seen_at=seen.at,
        counted_at=seen.at if is_new else state.counted_at,
        used_at=state.used_at if seen.is_probe else seen.at,
        avoid_until=state.avoid_until if state.failures == 0 else 0.0,
    )
    match state.condition:
        case PathCondition.HEALTHY:
            return known if known.avoid_until > seen.at else None
        case PathCondition.DEGRADED:
            return None if good >= GOOD_TO_RECOVER else replace(known, failures=0)
        case PathCondition.BLOCKED | PathCondition.PROBING:
            if good >= GOOD_TO_HEAL:
                return None
            is_first = state.condition is PathCondition.BLOCKED
            since = seen.at if is_first else state.since
            return replace(known, condition=PathCondition.PROBING, since=since, failures=0)


def _may_still_greet(seen: Observation) -> bool:
    return seen.sign is Sign.MUTE and not seen.is_final and seen.seconds < MUTE_S


def _waiting(state: PathState, seen: Observation) -> PathState:
    """It goes last, and is looked at; what was counted of it stands."""
    is_healthy = state.condition is PathCondition.HEALTHY
    return replace(
        state,
        group=state.group or seen.group,
        host=seen.host or state.host,
        condition=PathCondition.DEGRADED if is_healthy else state.condition,
        since=seen.at if is_healthy else state.since,
        last_sign=seen.sign,
        last_error=(seen.text or seen.sign.value)[:MAX_TEXT],
        avoid_until=max(state.avoid_until, seen.at + LAST_S),
        seen_at=seen.at,
        used_at=state.used_at if seen.is_probe else seen.at,
    )


def _after_bad(state: PathState, seen: Observation, *, is_failure: bool) -> PathState:
    is_new = is_failure and (state.failures == 0 or _is_later(state, seen))
    failures = min(state.failures + 1, MAX_FAILURES) if is_new else state.failures
    condition = _worse(state, failures) if is_failure else _hesitant(state, seen.sign)
    begins = condition is not state.condition or failures > state.failures == 0
    avoid_until = state.avoid_until
    if seen.sign not in _STAYS_IN_ORDER:
        avoid_until = max(avoid_until, seen.at + LAST_S)
    return replace(
        state,
        group=state.group or seen.group,
        host=seen.host or state.host,
        condition=condition,
        since=seen.at if begins else state.since,
        last_sign=seen.sign,
        last_error=(seen.text or seen.sign.value)[:MAX_TEXT],
        failures=failures,
        good=0,
        avoid_until=avoid_until,
        seen_at=seen.at,
        counted_at=seen.at if is_new else state.counted_at,
        used_at=state.used_at if seen.is_probe else seen.at,
    )


def _worse(state: PathState, failures: int) -> PathCondition:
    is_down = state.condition in _DOWN
    return (
        PathCondition.BLOCKED
        if is_down or failures >= FAILURES_TO_BLOCK
        else PathCondition.DEGRADED
    )


def _hesitant(state: PathState, sign: Sign) -> PathCondition:
    if state.condition not in _DOWN:
        return PathCondition.DEGRADED
    # A server's own word proves the network between us, and nothing about TLS.
    if sign in _SPOKEN and not is_of_tls(state.last_sign):
        return PathCondition.PROBING
    return state.condition


def _is_later(state: PathState, seen: Observation) -> bool:
    """Whether the try began after the last that counted had shown."""
    return seen.at - seen.seconds >= state.counted_at
