"""What the doctor says of relays."""

from postern.diagnosis.doctor_relays import judge_relays
from postern.diagnosis.doctor_results import Grade
from postern.mail.paths import Path, Sign
from postern.routing.paths.health import PathCondition, PathState

NOW = 1_750_000_000.0


def state(sign: Sign, condition: PathCondition, text: str) -> PathState:
    path = Path("us1", "198.51.100.5", 587, encrypted=True)
    return PathState(
        path, "relay:us1", "us1.example", condition, NOW - 60, sign, text, None, 2, 0.0,
        0, NOW - 60, NOW - 60, NOW - 60,
    )  # fmt: skip


def test_a_relay_that_does_not_take_our_login_is_a_problem() -> None:
    locked = state(Sign.LOCKED_OUT, PathCondition.BLOCKED, "535 5.7.8 authentication failed")
    (result,) = judge_relays(["us1"], [locked], NOW)
    assert (result.check, result.grade) == ("relay.us1", Grade.PROBLEM)
    assert "535 5.7.8" in result.what
    assert "password_file" in result.fix


def test_one_that_does_not_answer_is_a_warning_and_the_others_are_well() -> None:
    dead = state(Sign.REFUSED, PathCondition.BLOCKED, "refused the connection")
    us1, de1 = judge_relays(["us1", "de1"], [dead], NOW)
    assert (us1.grade, de1.grade) == (Grade.WARNING, Grade.OK)
    assert us1.fix == "see: postern paths relay:us1"
