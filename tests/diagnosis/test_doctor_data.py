import os
from pathlib import Path

import pytest

from postern.diagnosis.doctor_data import (
    examine_data,
    examine_user,
    examine_workers,
    judge_corrupt,
    judge_orphans,
    judge_secret,
    judge_way,
    judge_workers,
)
from postern.diagnosis.doctor_results import Grade, Site
from postern.runtime.lock import lock_data
from postern.runtime.processes import WorkerStatus, status_path, write_status

NOW = 1_800_000_000.0


def site(folder: Path, user: str = "") -> Site:
    return Site(
        hostname="mx.postern.test",
        data_dir=folder,
        run_dir=folder / "run",
        user=user,
        workers=1,
        doors=(),
        resolvers=(),
        certificates=(),
        need_bytes=0,
        need_files=0,
        has_ballast=True,
    )


def status(number: int, age_s: float = 0.0, *, writable: bool = True) -> WorkerStatus:
    return WorkerStatus(
        pid=1, number=number, started_at=0.0, at=NOW - age_s, spool_writable=writable, reason="full"
    )


def test_server_that_does_not_run_is_a_warning(tmp_path: Path) -> None:
    (result,) = examine_workers(site(tmp_path), NOW)
    assert (result.check, result.grade) == ("server.running", Grade.WARNING)


def test_running_server_and_its_workers_are_found(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    descriptor = lock_data(tmp_path)
    try:
        write_status(status_path(tmp_path / "run", 0), status(0))
        results = list(examine_workers(site(tmp_path), NOW))
        assert {result.grade for result in results} == {Grade.OK}
        assert str(os.getpid()) in results[0].what
    finally:
        os.close(descriptor)


def test_worker_that_hangs_or_cannot_write_is_a_problem() -> None:
    results = list(judge_workers([status(0, 60), status(1, writable=False)], 3, NOW))
    assert [(r.check, r.grade) for r in results] == [
        ("server.workers", Grade.PROBLEM),
        ("server.workers", Grade.PROBLEM),
        ("spool.writable", Grade.PROBLEM),
    ]
    assert "last reported 60 s ago" in results[0].what
    assert "has never reported" in results[1].what


def test_set_aside_files_are_told_until_somebody_looks(tmp_path: Path) -> None:
    assert judge_corrupt(tmp_path / "corrupt").grade is Grade.OK
    (tmp_path / "corrupt").mkdir()
    assert judge_corrupt(tmp_path / "corrupt").grade is Grade.OK
    for number in range(5):
        (tmp_path / "corrupt" / f"{number}.eml").write_text("x")
    result = judge_corrupt(tmp_path / "corrupt")
    assert result.grade is Grade.PROBLEM
    assert "5 damaged files" in result.what


def test_spool_without_a_worker_is_a_warning(tmp_path: Path) -> None:
    assert list(judge_orphans(tmp_path, 1)) == []
    for name in ("0.db", "0.db-wal", "3.db", "notes.db"):
        (tmp_path / name).write_text("")
    (result,) = judge_orphans(tmp_path, 1)
    assert result.grade is Grade.WARNING
    assert result.what.endswith("3.db")
    assert [r.grade for r in judge_orphans(tmp_path, 4)] == [Grade.OK]


def test_missing_ballast_is_told_only_while_the_server_runs(tmp_path: Path) -> None:
    assert not any(r.check == "spool.ballast" for r in examine_data(site(tmp_path)))
    descriptor = lock_data(tmp_path)
    try:
        grades = [r.grade for r in examine_data(site(tmp_path)) if r.check == "spool.ballast"]
        assert grades == [Grade.WARNING]
        (tmp_path / "spool").mkdir()
        (tmp_path / "spool" / "ballast").write_text("x")
        grades = [r.grade for r in examine_data(site(tmp_path)) if r.check == "spool.ballast"]
        assert grades == [Grade.OK]
    finally:
        os.close(descriptor)


def test_secret_that_everybody_reads_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "us1"
    path.write_text("x")
    path.chmod(0o644)
    assert [r.grade for r in judge_secret(path)] == [Grade.WARNING]
    path.chmod(0o640)
    assert list(judge_secret(path)) == []
    assert [r.grade for r in judge_secret(tmp_path / "none")] == [Grade.PROBLEM]


@pytest.mark.parametrize(
    ("uid", "user", "grade"),
    [(0, "", Grade.WARNING), (0, "postern", Grade.OK), (1000, "", Grade.OK)],
)
def test_staying_root_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, user: str, grade: Grade
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert [r.grade for r in examine_user(site(tmp_path, user))] == [grade]


def test_folder_that_others_cannot_pass_on_the_way_to_the_socket_is_a_warning(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir(0o700)
    result = judge_way(tmp_path / "data" / "submit.sock")
    assert result.grade is Grade.WARNING
    assert result.fix.startswith("chmod o+x /")
    assert judge_way(Path("/submit.sock")).grade is Grade.OK
