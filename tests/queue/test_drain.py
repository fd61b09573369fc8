"""How fast waiting mail goes once its group is open again."""

from postern.queue.drain import BURST, MOST_BAD, drain


def sent_within(seconds: int, *, goes_well: bool) -> int:
    """How many go in so many seconds, a look each tenth of one."""
    now = made_at = 1_000.0
    made = drain(made_at, 1.0)
    while now < made_at + seconds:
        for _ in range(made.room(now)):
            made.spend(1)
            if goes_well:
                made.went_well()
        now += 0.1
    return made.sent


def test_it_begins_with_a_message_a_second_and_doubles_every_ten() -> None:
    assert 4 <= sent_within(4, goes_well=True) <= 7
    first, second, third = (sent_within(s, goes_well=True) for s in (10, 20, 30))
    assert 1.7 < (second - first) / first < 2.6
    assert 1.7 < (third - second) / (second - first) < 2.6


def test_ten_thousand_are_gone_in_two_minutes() -> None:
    assert sent_within(120, goes_well=True) > 10_000


def test_without_success_it_stays_as_slow_as_it_began() -> None:
    assert sent_within(60, goes_well=False) in {60, 61}


def test_time_that_nobody_used_is_not_saved_up() -> None:
    made = drain(0.0, 1.0)
    made.room(1.0)
    assert made.room(10_000.0) == BURST


def test_failures_halve_it_and_many_of_them_end_it() -> None:
    made = drain(0.0, 1.0)
    for _ in range(100):
        made.went_well()
    assert made.per_s > 7
    assert not made.went_badly()
    assert 3.5 < made.per_s < 4.5
    assert [made.went_badly() for _ in range(MOST_BAD - 1)] == [False] * (MOST_BAD - 2) + [True]
    assert made.per_s == 1.0


def test_a_few_failures_among_many_that_go_do_not_end_it() -> None:
    made = drain(0.0, 1.0)
    for _ in range(MOST_BAD * 3):
        assert not made.went_badly()
        made.went_well()
