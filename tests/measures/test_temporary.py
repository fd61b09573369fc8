import pytest

from postern.measures.temporary import IDLE_S, Kind, Standing, Temporary

DAY_S = 86_400.0


def made(**changes: object) -> Temporary:
    plain: dict[str, object] = {"id": "1", "kind": Kind.RULE, "reason": "ticket 812"}
    return Temporary(**{**plain, "author": "wang", "created_at": 0.0, **changes})  # type: ignore[arg-type]  # a test's own words


def test_what_has_an_end_is_over_at_that_very_moment() -> None:
    fortnight = made(until=14 * DAY_S)
    assert fortnight.standing(14 * DAY_S - 0.1) is Standing.ACTIVE
    assert fortnight.standing(14 * DAY_S) is Standing.EXPIRED
    assert not fortnight.is_active(14 * DAY_S)


def test_what_has_no_end_is_asked_about_once_nobody_used_it_for_sixty_days() -> None:
    assert made().standing(IDLE_S - 1) is Standing.ACTIVE
    assert made().standing(IDLE_S) is Standing.IDLE
    assert made(last_used_at=DAY_S).standing(IDLE_S) is Standing.ACTIVE
    assert made().is_active(IDLE_S)


@pytest.mark.parametrize("until", [None, 14 * DAY_S])
def test_what_was_ended_stays_ended(until: float | None) -> None:
    ended = made(until=until, ended_at=DAY_S, ended_by="li")
    assert ended.standing(DAY_S) is Standing.ENDED
    assert not ended.is_active(DAY_S)
