"""When to try again, and when to give up.

Source: RFC 5321 §4.5.4.1 (wait 30 minutes between tries, two tries in the first hour; give up no
sooner than 4-5 days). Like most servers today the first retries come sooner: greylisting asks for
minutes, not half hours.
"""

from postern.mail.outcome import Cause
from postern.queue.causes import is_greylisting
from postern.queue.settings import QueueSettings
from postern.runtime.clock import Instant
from postern.spool.message import Delivery

JITTER = 0.1
GREYLIST_S = 300.0
"""What a greylisting peer wants as a rule, where it names no time (RFC 6647)."""
GREYLIST_SPREAD_S = 30.0
GREYLIST_TRIES = 6
"""So often: what asks for more than that does not greylist."""
MAX_STEPS = 1000
AFTER_DOT_S = 900.0
"""Least wait where a message may have arrived and its last reply was not heard (RFC 1047)."""


def retry_delay_s(tries: int, settings: QueueSettings, chance: float) -> float:
    """Seconds until the next try.

    Args:
        tries: attempts already made, 1 or more.
        settings: first and longest delay, and the growth between.
        chance: 0 to 1; spreads the delay by ± 10 %, so that mail held up together does not come
            back as one wave.
    """
    delay_s = settings.first_retry_s
    for _ in range(min(tries - 1, MAX_STEPS)):
        if delay_s >= settings.max_retry_s:
            break
        delay_s *= settings.retry_growth
    return min(delay_s, settings.max_retry_s) * (1 + JITTER * (2 * chance - 1))


def greylisted_s(tries: int, chance: float, asked_s: float | None = None) -> float | None:
    """Seconds that a greylisted message waits, None where it is to wait as any other.

    Never less than what was asked for: a try before that is one for nothing.

    Args:
        tries: attempts already made, 1 or more.
        chance: 0 to 1, spreads mail that was put off together.
        asked_s: what the peer named, if it did.
    """
    if asked_s is None and tries > GREYLIST_TRIES:
        return None
    return (GREYLIST_S if asked_s is None else asked_s) + GREYLIST_SPREAD_S * chance


def is_greylisted(delivery: Delivery) -> bool:
    """Whether it waits to be let in by a server that greylists: at its time, through one egress."""
    if delivery.cause != Cause.REPLY.value or delivery.tries > GREYLIST_TRIES:
        return False
    return is_greylisting(delivery.last_reply)


def next_attempt(
    now: Instant,
    expires_at: Instant,
    tries: int,
    settings: QueueSettings,
    chance: float,
    asked_s: float | None = None,
    least_s: float = 0.0,
) -> Instant | None:
    """When to try again, or None once the message has expired.

    Args:
        now: the end of the attempt that failed.
        expires_at: when the message is given up; the last try is made then.
        tries: attempts already made, 1 or more.
        settings: delays.
        chance: 0 to 1, see ``retry_delay_s``.
        asked_s: what the peer asked for ("try again in 300 seconds"); not less than a minute is
            taken, not more than the longest delay.
        least_s: not sooner than this, whoever asks.
    """
    if now >= expires_at:
        return None
    delay_s = retry_delay_s(tries, settings, chance)
    if asked_s is not None:
        delay_s = min(max(asked_s, 60.0), settings.max_retry_s)
    return min(now + max(delay_s, least_s), expires_at)
