from postern.diagnosis.doctor_quarantine import judge_quarantine
from postern.diagnosis.doctor_results import Result
from postern.runtime.processes import WorkerStatus

DAY_S = 86_400.0


def status(number: int, **gauges: float) -> WorkerStatus:
    return WorkerStatus(
        1, number, 0.0, 0.0, gauges={f"postern_quarantine_{k}": v for k, v in gauges.items()}
    )


def look(*statuses: WorkerStatus) -> list[Result]:
    return list(judge_quarantine(statuses, "mx.host.example"))


def test_nothing_is_said_while_nothing_is_held() -> None:
    assert look() == []
    assert look(status(0, messages=0)) == []


def test_what_all_workers_hold_is_added_up() -> None:
    first = status(0, messages=2, bytes=1_500_000, untold=2, oldest_age_seconds=DAY_S)
    second = status(1, messages=1, bytes=500_000, oldest_age_seconds=5 * DAY_S)
    (result,) = look(first, second)
    assert result.check == "quarantine.held"
    assert result.what == "3 messages are held for their owners (2.0 MB), the oldest for 5 days"


def test_owners_who_do_not_hear_of_it_are_a_warning() -> None:
    young = status(0, messages=3, untold=3, untold_age_seconds=2 * DAY_S)
    assert [result.check for result in look(young)] == ["quarantine.held"]
    old = status(1, messages=1, untold=1, untold_age_seconds=4 * DAY_S)
    _, told = look(young, old)
    assert told.check == "quarantine.told"
    assert told.what.startswith("owners do not hear of 4 that are held for them, of one for 4 days")
    assert "no_digest_for" in told.fix
