"""Retry times, from a table."""

import pytest

from postern.queue.retry import AFTER_DOT_S, JITTER, next_attempt, retry_delay_s
from postern.queue.settings import QueueSettings

PLAIN = QueueSettings()
MIDDLE = 0.5
DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("tries", "delay_s"),
    [
        (1, 300), (2, 600), (3, 1200), (4, 2400), (5, 4800), (6, 9600), (7, 14_400), (8, 14_400),
        (40, 14_400), (1_000_000, 14_400),
    ],
)  # fmt: skip
def test_delays_grow_to_four_hours(tries: int, delay_s: float) -> None:
    assert retry_delay_s(tries, PLAIN, MIDDLE) == pytest.approx(delay_s)


@pytest.mark.parametrize("tries", range(1, 12))
def test_jitter_stays_within_ten_percent(tries: int) -> None:
    middle = retry_delay_s(tries, PLAIN, MIDDLE)
    assert retry_delay_s(tries, PLAIN, 0.0) == pytest.approx(middle * (1 - JITTER))
    assert retry_delay_s(tries, PLAIN, 1.0) == pytest.approx(middle * (1 + JITTER))


@pytest.mark.parametrize("growth", [1.0, 1e300, 0.5])
def test_any_growth_gives_a_finite_delay_under_the_longest(growth: float) -> None:
    settings = QueueSettings(retry_growth=growth)
    assert 0 < retry_delay_s(500, settings, 1.0) <= settings.max_retry_s * (1 + JITTER)


@pytest.mark.parametrize(
    ("asked_s", "delay_s"),
    [(None, 300), (1, 60), (60, 60), (900, 900), (14_400, 14_400), (1e9, 14_400), (-5, 60)],
)
def test_what_a_peer_asks_for_is_taken_within_bounds(asked_s: float | None, delay_s: float) -> None:
    assert next_attempt(0.0, 5 * DAY_S, 1, PLAIN, MIDDLE, asked_s) == pytest.approx(delay_s)


@pytest.mark.parametrize(("tries", "delay_s"), [(1, 900), (2, 900), (3, 1200), (7, 14_400)])
def test_mail_that_may_have_arrived_waits_a_quarter_of_an_hour_at_least(
    tries: int, delay_s: float
) -> None:
    due = next_attempt(0.0, 5 * DAY_S, tries, PLAIN, MIDDLE, least_s=AFTER_DOT_S)
    assert due == pytest.approx(delay_s)


@pytest.mark.parametrize(
    ("now", "due"),
    [(0.0, 300.0), (999.0, 1000.0), (700.0, 1000.0), (1000.0, None), (5000.0, None)],
)
def test_the_last_try_is_made_at_expiry_and_none_after_it(now: float, due: float | None) -> None:
    assert next_attempt(now, 1000.0, 1, PLAIN, MIDDLE) == due


def test_five_days_hold_two_tries_in_the_first_hour_and_dozens_in_all() -> None:
    now, tries, times = 0.0, 1, []
    while (due := next_attempt(now, 5 * DAY_S, tries, PLAIN, MIDDLE)) is not None:
        times.append(due)
        now, tries = due, tries + 1
    assert sum(at <= 3600 for at in times) >= 2
    assert 30 <= len(times) <= 50
    assert times[-1] == 5 * DAY_S
