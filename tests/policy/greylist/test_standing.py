"""Where greylisted mail stands, over hours and weeks."""

import pytest

from postern.policy.greylist.settings import DAY_S, GreylistSettings
from postern.policy.greylist.standing import Change, Entry, Standing, Trust, stand

NOW = 1_750_000_000.0
SETTINGS = GreylistSettings()
WAITS = Standing(NOW, NOW + 300)


def test_what_is_new_waits_from_now_on() -> None:
    assert stand(None, None, NOW, SETTINGS) == (WAITS, Change.BEGIN)


@pytest.mark.parametrize(
    ("age_s", "until", "change"),
    [
        (0, 300, Change.NONE),
        (40, 260, Change.NONE),
        (299.5, 0.5, Change.NONE),
        (300, None, Change.PASS),
        (2 * DAY_S, None, Change.PASS),
        (2 * DAY_S + 1, 300, Change.BEGIN),
        (-5, 300, Change.BEGIN),  # the clock was set back
    ],
)
def test_it_passes_when_it_comes_again_in_time(
    age_s: float, until: float | None, change: Change
) -> None:
    first = NOW - age_s
    standing, found = stand(Entry(first, first), None, NOW, SETTINGS)
    assert found is change
    assert standing.until == (None if until is None else NOW + until)
    assert standing.first_at == (NOW if change is Change.BEGIN else first)


@pytest.mark.parametrize(
    ("unseen_s", "change"),
    [
        (60, Change.NONE),
        (DAY_S + 1, Change.SEEN),
        (35 * DAY_S, Change.SEEN),
        (35 * DAY_S + 1, Change.BEGIN),
    ],
)
def test_what_passed_lives_on_from_when_it_was_last_seen(unseen_s: float, change: Change) -> None:
    entry = Entry(NOW - 90 * DAY_S, NOW - unseen_s, NOW - 80 * DAY_S)
    standing, found = stand(entry, None, NOW, SETTINGS)
    assert found is change
    assert (standing.until is None) is (change is not Change.BEGIN)


@pytest.mark.parametrize(
    ("trust", "change"),
    [
        (Trust(5, NOW - 60), Change.NONE),
        (Trust(5, NOW - 2 * DAY_S), Change.TRUSTED),
        (Trust(4, NOW - 60), Change.BEGIN),
        (Trust(99, NOW - 36 * DAY_S), Change.BEGIN),
    ],
)
def test_servers_whose_mail_came_again_often_wait_no_more(trust: Trust, change: Change) -> None:
    standing, found = stand(None, trust, NOW, SETTINGS)
    assert found is change
    assert standing.is_trusted is (change is not Change.BEGIN)
    assert (standing.until is None) is standing.is_trusted


def test_with_no_passes_enough_nobody_is_trusted() -> None:
    settings = GreylistSettings(passes_enough=0)
    assert stand(None, Trust(99, NOW), NOW, settings) == (WAITS, Change.BEGIN)
