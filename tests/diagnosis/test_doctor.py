from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.diagnosis import doctor
from postern.diagnosis.doctor_results import (
    Door,
    Grade,
    NamedServer,
    Result,
    Site,
    couldnt_tell,
    exit_code,
    ok,
    problem,
    warning,
)
from postern.runtime.clock import SystemClock


def site(folder: Path) -> Site:
    return Site(
        hostname="mx.postern.test",
        data_dir=folder / "data",
        run_dir=folder / "data" / "run",
        user="",
        workers=1,
        doors=(Door("listener[1].bind", "127.0.0.1:0", "127.0.0.1", 0),),
        resolvers=(NamedServer("home", "127.0.0.1", 1, "udp", 0.2),),
        certificates=(),
        need_bytes=1,
        need_files=10,
        has_ballast=True,
    )


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([], 0),
        ([ok("a", "x")], 0),
        ([ok("a", "x"), couldnt_tell("b", "x")], 3),
        ([couldnt_tell("b", "x"), warning("c", "x", "y")], 1),
        ([warning("c", "x", "y"), problem("d", "x", "y"), couldnt_tell("b", "x")], 2),
    ],
)
def test_exit_code_is_the_worst(results: list[Result], code: int) -> None:
    assert exit_code(results) == code


def test_everything_is_looked_at_before_the_first_start(tmp_path: Path) -> None:
    results = doctor.examine(site(tmp_path), SystemClock())
    families = {result.check.partition(".")[0] for result in results}
    assert families >= {
        "server", "port", "user", "disk", "data", "limits", "memory", "clock", "certificate",
        "resolver",
    }  # fmt: skip
    assert not any(result.check.endswith(".failed") for result in results)


def test_whatever_is_not_well_says_what_to_do(tmp_path: Path) -> None:
    for result in doctor.examine(site(tmp_path), SystemClock()):
        assert result.what
        if result.grade in {Grade.WARNING, Grade.PROBLEM}:
            assert result.fix, result


def test_check_that_breaks_is_couldnt_tell_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_site: Site) -> Iterator[Result]:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "examine_disk", broken)
    results = doctor.examine(site(tmp_path), SystemClock())
    (failed,) = [result for result in results if result.check == "disk.failed"]
    assert failed.grade is Grade.COULDNT_TELL
    assert "no such thing" in failed.what
    assert any(result.check.startswith("limits.") for result in results)
