from dataclasses import replace

import pytest

from postern.mail.paths import Observation, Path, Sign
from postern.routing.paths import health
from postern.routing.paths.health import PathCondition, PathState

PATH = Path("direct", "192.0.2.1", 25, encrypted=True)
MX = "mx.tea.example"


def seen(sign: Sign, at: float, seconds: float = 0.1, **more: object) -> Observation:
    plain = Observation(PATH, "tea.example", MX, sign, at, seconds)
    return replace(plain, **more)  # type: ignore[arg-type]  # by name


def weigh(*observations: Observation, state: PathState | None = None) -> PathState | None:
    for one in observations:
        current = None if state is None else health.as_of(state, one.at)
        state = health.after(current, one)
    return state


def condition(*signs: Sign) -> PathCondition:
    state = weigh(*(seen(sign, 1000.0 + 10 * number) for number, sign in enumerate(signs)))
    return PathCondition.HEALTHY if state is None else state.condition


R, A, B = Sign.REFUSED, Sign.ANSWERED, Sign.BUSY


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ((A,), "healthy"),
        ((Sign.GREYLISTED,), "healthy"),
        ((R,), "degraded"),
        ((R, A), "degraded"),
        ((R, A, A), "healthy"),
        ((R, A, R), "degraded"),
        ((R, A, R, A, R, A, R), "degraded"),
        ((R, R), "blocked"),
        ((R, R, A), "probing"),
        ((R, R, A, A), "probing"),
        ((R, R, A, A, A), "healthy"),
        ((R, R, A, A, R), "blocked"),
        ((R, R, A, R, A, R, A, R, A), "probing"),
        ((R, R, B), "probing"),
        ((R, R, B, A, A), "probing"),
        ((R, R, B, A, A, A), "healthy"),
        ((B,), "degraded"),
        ((B, B, B, B), "degraded"),
        ((B, R), "degraded"),
        ((Sign.TLS_BROKEN, Sign.TLS_BROKEN), "blocked"),
        ((Sign.TLS_BROKEN, Sign.TLS_BROKEN, B), "blocked"),
        ((Sign.THROTTLED, Sign.THROTTLED, Sign.THROTTLED), "degraded"),
        ((R, R, Sign.BROKEN_OFF), "blocked"),
        ((Sign.UNTRUSTED, Sign.UNTRUSTED, Sign.TLS_MISSING), "degraded"),
    ],
    ids=lambda value: "+".join(sign.value for sign in value) if isinstance(value, tuple) else None,
)
def test_a_path_is_what_its_last_answers_make_of_it(signs: tuple[Sign, ...], expected: str) -> None:
    assert condition(*signs).value == expected


@pytest.mark.parametrize("sign", list(Sign), ids=lambda sign: sign.value)
def test_every_sign_has_a_weight(sign: Sign) -> None:
    state = weigh(seen(sign, 1000.0))
    assert (state is None) is health.is_good(sign)
    assert state is None or (state.failures == 1) is health.is_failure(sign)


@pytest.mark.parametrize("sign", [sign for sign in Sign if sign.is_network or sign.is_tls])
def test_whatever_the_network_does_twice_blocks(sign: Sign) -> None:
    assert condition(sign, sign) is PathCondition.BLOCKED


def test_tries_that_overlap_are_one_failure() -> None:
    at_once = [seen(Sign.SILENT, 1003.0 + step / 10, 3.0) for step in range(20)]
    state = weigh(*at_once)
    assert state is not None
    assert (state.failures, state.condition) == (1, PathCondition.DEGRADED)


def test_who_is_silent_for_three_seconds_and_then_for_twenty_failed_once() -> None:
    state = weigh(seen(Sign.SILENT, 1003.0, 3.0, is_final=False), seen(Sign.SILENT, 1020.0, 20.0))
    assert state is not None
    assert state.failures == 1


def test_a_connection_without_a_greeting_is_no_failure_before_ten_seconds() -> None:
    first = weigh(seen(Sign.MUTE, 1003.0, 3.0, is_final=False))
    assert first is not None
    assert (first.failures, first.condition) == (0, PathCondition.DEGRADED)
    assert health.is_last(first, 1003.0)
    later = weigh(seen(Sign.MUTE, 1010.0, 10.0, is_final=False), state=first)
    assert later is not None
    assert later.failures == 1
    final = weigh(seen(Sign.MUTE, 1020.0, 20.0), state=later)
    assert final is not None
    assert (final.failures, final.condition) == (1, PathCondition.DEGRADED)


def test_waiting_for_a_greeting_takes_no_good_answer_back() -> None:
    blocked = weigh(seen(R, 1000.0), seen(R, 1010.0))
    probing = weigh(seen(A, 1020.0), seen(A, 1030.0), state=blocked)
    waiting = weigh(seen(Sign.MUTE, 1043.0, 3.0, is_final=False), state=probing)
    assert waiting is not None
    assert (waiting.good, waiting.condition) == (2, PathCondition.PROBING)
    assert weigh(seen(A, 1046.0, 6.0), state=waiting) is None


def test_tries_begun_each_second_that_all_fail_block_although_each_overlaps_the_one_before() -> (
    None
):
    state = weigh(*(seen(Sign.SILENT, 1003.0 + step, 3.0) for step in range(5)))
    assert state is not None
    assert state.condition is PathCondition.BLOCKED


def test_good_answers_at_the_same_moment_heal_no_faster_than_one() -> None:
    blocked = weigh(seen(R, 1000.0), seen(R, 1010.0))
    state = weigh(*(seen(A, 1020.0 + step / 100, 0.5) for step in range(20)), state=blocked)
    assert state is not None
    assert (state.good, state.condition) == (1, PathCondition.PROBING)


def test_a_late_answer_of_the_same_try_counts_as_good() -> None:
    state = weigh(seen(Sign.SILENT, 1003.0, 3.0, is_final=False), seen(A, 1008.0, 8.0))
    assert state is not None
    assert (state.good, state.failures, state.condition) == (1, 0, PathCondition.DEGRADED)


def test_degraded_is_forgotten_after_a_quarter_of_an_hour_and_blocked_is_not() -> None:
    degraded, blocked = weigh(seen(B, 1000.0)), weigh(seen(R, 990.0), seen(R, 1000.0))
    assert degraded is not None
    assert blocked is not None
    assert health.as_of(degraded, 1000.0 + health.DEGRADED_S - 1) is degraded
    assert health.as_of(degraded, 1000.0 + health.DEGRADED_S) is None
    assert health.as_of(blocked, 1000.0 + health.FORGET_S - 1) is blocked
    assert health.as_of(blocked, 1000.0 + health.FORGET_S) is None


def test_a_failure_puts_an_address_last_for_a_minute_and_a_good_answer_ends_that() -> None:
    state = weigh(seen(R, 1000.0))
    assert state is not None
    assert health.is_last(state, 1059.0)
    assert not health.is_last(state, 1061.0)
    state = weigh(seen(A, 1010.0), state=state)
    assert state is not None
    assert not health.is_last(state, 1011.0)


def test_a_throttled_address_keeps_its_place() -> None:
    state = weigh(seen(Sign.THROTTLED, 1000.0))
    assert state is not None
    assert not health.is_last(state, 1001.0)


def test_a_lost_race_puts_a_healthy_path_last_for_a_minute_and_nothing_more() -> None:
    state = health.lost_race(None, PATH, 1000.0)
    assert state.condition is PathCondition.HEALTHY
    assert health.is_last(state, 1059.0)
    assert health.as_of(state, 1060.0) is None


def test_a_winning_answer_after_a_lost_race_does_not_undo_it() -> None:
    lost = health.lost_race(None, PATH, 1000.0)
    state = weigh(seen(A, 1001.0), state=lost)
    assert state is not None
    assert health.is_last(state, 1059.0)


def test_what_is_kept_of_a_peers_words_is_bounded() -> None:
    state = weigh(seen(B, 1000.0, text="x" * 5000))
    assert state is not None
    assert len(state.last_error) == health.MAX_TEXT


def test_since_is_when_the_condition_began_and_the_error_stays_when_it_answers_again() -> None:
    state = weigh(
        seen(R, 1000.0), seen(R, 1010.0, text="no route"), seen(A, 1020.0), seen(A, 1030.0)
    )
    assert state is not None
    assert (state.since, state.last_error, state.last_good_at) == (1020.0, "no route", 1030.0)
