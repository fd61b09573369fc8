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


@pytest.mark.peers("clamd")
@pytest.mark.parametrize("tells_excess", [True, False], ids=["told", "silent"])
def test_clamd_that_calls_clean_what_it_saw_in_part_is_a_warning(
    tmp_path: Path, *, tells_excess: bool
) -> None:
    with clamd(tells_excess=tells_excess) as peer:
        asked = replace(CLAMD, place=Place(peer.socket))
        found = {one.check: one for one in examine_scanners(site(tmp_path, asked), SystemClock())}
    assert found["scanner.clamd"].grade is Grade.OK
    assert ("scanner.clamd.limits" in found) is not tells_excess
    if not tells_excess:
        assert found["scanner.clamd.limits"].grade is Grade.WARNING
        assert "`AlertExceedsMax yes`" in found["scanner.clamd.limits"].fix


def test_mail_that_is_taken_and_too_large_for_a_scanner_is_a_warning(tmp_path: Path) -> None:
    asked = (
        ScannerSettings("small", Kind.COMMAND, argv=("/bin/true",), max_bytes=999),
        ScannerSettings("enough", Kind.COMMAND, argv=("/bin/true",), max_bytes=1000),
        ScannerSettings("any", Kind.COMMAND, argv=("/bin/true",)),
    )
    told = replace(site(tmp_path, *asked), largest_bytes=1000)
    found = [one for one in examine_scanners(told, FakeClock()) if one.grade is not Grade.OK]
    assert [(one.check, one.grade) for one in found] == [("scanner.small.size", Grade.WARNING)]
    assert "[scanner.small] max_bytes" in found[0].fix


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
