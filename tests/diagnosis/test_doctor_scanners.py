"""The doctor on scanners: asked by us now, and as the workers see them."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.peers.scanners import clamd, rspamd, spamd

from postern.diagnosis.doctor_results import Grade, Site
from postern.diagnosis.doctor_scanners import examine_scanners, judge_scanner
from postern.policy.scanners.place import Place
from postern.policy.scanners.scan import Untold
from postern.policy.scanners.settings import Kind, ScannerSettings
from postern.runtime.clock import FakeClock, SystemClock
from postern.runtime.processes import ScannerStatus, WorkerStatus

CLAMD = ScannerSettings("clamd", Kind.CLAMD, Place("/run/clamd.ctl"))


def site(tmp_path: Path, *scanners: ScannerSettings) -> Site:
    return Site(
        "mx.here.test", tmp_path, tmp_path, "", 1, (), (), (), 0, 0,
        has_ballast=False, scanners=scanners,
    )  # fmt: skip


def status(state: str, cause: str = "", waiting: int = 0) -> WorkerStatus:
    scanners = (ScannerStatus("clamd", state, cause, 0, waiting),)
    return WorkerStatus(1, 0, 0.0, 0.0, scanners=scanners)


def test_what_answers_nobody_is_a_problem_with_its_cause() -> None:
    result = judge_scanner(CLAMD, Untold("it could not be reached", "ENOENT: there is none"), ())
    assert result.grade is Grade.PROBLEM
    assert result.what == "it could not be reached: ENOENT: there is none"


def test_what_answers_us_but_not_the_workers_is_a_problem_too() -> None:
    down = judge_scanner(CLAMD, None, [status("down", "it did not answer in time")])
    assert down.grade is Grade.PROBLEM
    assert "worker 0 leaves clamd alone: it did not answer in time" in down.what
    fine = judge_scanner(CLAMD, None, [status("up", "", 3)])
    assert (fine.grade, fine.what) == (Grade.OK, "/run/clamd.ctl answers; 3 messages wait")


def test_without_scanners_nothing_is_said(tmp_path: Path) -> None:
    assert list(examine_scanners(site(tmp_path), FakeClock())) == []


@pytest.mark.peers("clamd", "rspamd", "spamd")
def test_real_ones_answer_and_a_program_is_looked_for(tmp_path: Path) -> None:
    with clamd() as virus, rspamd() as spam, spamd() as other:
        asked = (
            replace(CLAMD, place=Place(virus.socket)),
            ScannerSettings("rspamd", Kind.RSPAMD, Place("", "127.0.0.1", spam.port)),
            ScannerSettings("spamd", Kind.SPAMD, Place("", "127.0.0.1", other.port)),
            ScannerSettings("own", Kind.COMMAND, argv=("/bin/true",)),
            ScannerSettings("gone", Kind.COMMAND, argv=("/nowhere/scan",)),
        )
        found = list(examine_scanners(site(tmp_path, *asked), SystemClock()))
    grades = {result.check: result.grade for result in found}
    assert grades.pop("scanner.gone") is Grade.PROBLEM
    assert set(grades.values()) == {Grade.OK}
    assert list(grades) == ["scanner.clamd", "scanner.rspamd", "scanner.spamd", "scanner.own"]
