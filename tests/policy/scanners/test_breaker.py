from postern.policy.scanners.breaker import Breaker, State


def test_opens_after_so_many_in_a_row_and_a_success_between_starts_anew() -> None:
    breaker = Breaker(3, 10)
    assert not breaker.failed("a", 0)
    assert not breaker.failed("b", 0)
    breaker.succeeded()
    assert not breaker.failed("c", 0)
    assert not breaker.failed("d", 0)
    assert breaker.may_pass(0)
    assert breaker.failed("e", 0)
    assert breaker.state is State.OPEN
    assert breaker.cause == "e"
    assert not breaker.may_pass(9.9)


def test_one_finds_out_for_all_others() -> None:
    breaker = Breaker(1, 10)
    breaker.failed("a", 0)
    assert breaker.may_pass(10)
    assert breaker.is_probing
    assert not breaker.may_pass(10)
    assert breaker.succeeded()
    assert breaker.may_pass(10)
    assert breaker.cause == ""


def test_each_probe_that_fails_doubles_the_pause_up_to_a_minute() -> None:
    breaker, now, pauses = Breaker(1, 10), 0.0, []
    breaker.failed("a", now)
    for _ in range(5):
        pauses.append(breaker.left_s(now))
        now += pauses[-1]
        assert breaker.may_pass(now)
        breaker.failed("a", now)
    assert pauses == [10, 20, 40, 60, 60]


def test_late_news_of_before_do_not_move_the_next_try() -> None:
    breaker = Breaker(1, 10)
    breaker.failed("a", 0)
    assert not breaker.failed("b", 5)
    assert breaker.left_s(5) == 5
