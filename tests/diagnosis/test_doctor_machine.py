from pathlib import Path

import pytest

from postern.diagnosis.doctor_machine import (
    Disk,
    available_memory_bytes,
    examine_clock,
    judge_defunct,
    judge_files_in_use,
    judge_memory,
    judge_memory_limit,
    judge_open_files,
    judge_room,
    judge_space,
    judge_synchronised,
    judge_writable,
    kernel_clock_state,
    read_disk,
)
from postern.diagnosis.doctor_results import Grade
from postern.runtime.limits import Limit, Population

OK, WARNING, PROBLEM, UNKNOWN = Grade.OK, Grade.WARNING, Grade.PROBLEM, Grade.COULDNT_TELL


@pytest.mark.parametrize(("limit", "grade"), [(None, OK), (5000, OK), (4999, WARNING)])
def test_open_files_are_measured_against_the_need(limit: int | None, grade: Grade) -> None:
    assert judge_open_files(Limit("open files", None, limit, "LimitNOFILE="), 5000).grade is grade


@pytest.mark.parametrize(
    ("used", "limit", "grade"),
    [
        (100, None, OK),
        (None, 4096, UNKNOWN),
        (100, 4096, OK),
        (4000, 4096, WARNING),
        (4090, 4096, PROBLEM),
    ],
)
def test_room_for_processes_names_the_limit(
    used: int | None, limit: int | None, grade: Grade
) -> None:
    result = judge_room("limits.processes", Limit("processes", used, limit, "LimitNPROC="), 100)
    assert result.grade is grade
    if grade in {WARNING, PROBLEM}:
        assert f"{used} of {limit} processes" in result.what
        assert "LimitNPROC=" in result.fix


def test_room_warns_before_the_limit_bites_and_names_it() -> None:
    """Of a running server nothing more is wanted than what it has."""
    for used, grade in ((79, OK), (80, WARNING), (96, WARNING), (97, PROBLEM), (100, PROBLEM)):
        limit = Limit("processes", used, 100, "TasksMax=")
        result = judge_room("limits.tasks", limit, 0)
        assert result.grade is grade, used
        assert (grade is OK) == ("TasksMax=" not in result.fix)


def test_dead_children_are_counted_by_who_left_them() -> None:
    assert judge_defunct(Population(None, {})).grade is UNKNOWN
    assert judge_defunct(Population(50, {"scan (7)": 9})).grade is OK
    result = judge_defunct(Population(50, {"simscan (42)": 312, "scan (7)": 9}))
    assert result.grade is WARNING
    assert "312 by simscan (42), 9 by scan (7)" in result.what
    assert result.fix.startswith("restart simscan (42)")


@pytest.mark.parametrize(
    ("used", "limit", "grade"),
    [(79, 100, OK), (80, 100, WARNING), (None, 100, UNKNOWN), (5, None, UNKNOWN)],
)
def test_files_that_a_worker_has_open(used: int | None, limit: int | None, grade: Grade) -> None:
    result = judge_files_in_use(Limit("open files", used, limit, "LimitNOFILE="), 4711)
    assert result.grade is grade


@pytest.mark.parametrize(
    ("used", "limit", "grade"),
    [(1, None, OK), (None, 10, UNKNOWN), (89, 100, OK), (91, 100, WARNING)],
)
def test_memory_of_the_control_group(used: int | None, limit: int | None, grade: Grade) -> None:
    assert judge_memory_limit(Limit("memory", used, limit, "MemoryMax=")).grade is grade


@pytest.mark.parametrize(
    ("available", "grade"), [(None, UNKNOWN), (100_000_000, WARNING), (1_000_000_000, OK)]
)
def test_memory_left(available: int | None, grade: Grade) -> None:
    assert judge_memory(available).grade is grade


def test_memory_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:     2048 kB\n")
    assert available_memory_bytes(tmp_path / "meminfo") == 2048 * 1024
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\n")
    assert available_memory_bytes(tmp_path / "meminfo") is None
    assert available_memory_bytes(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("free", "inodes", "grade"),
    [(99, None, PROBLEM), (150, None, WARNING), (200, 10_000, OK), (500, 9_999, WARNING)],
)
def test_free_space_is_measured_against_what_mail_needs(
    free: int, inodes: int | None, grade: Grade
) -> None:
    disk = Disk(free, inodes, is_read_only=False)
    assert judge_space(disk, 100, Path("/data")).grade is grade


def test_disk_that_cannot_be_written_is_a_problem() -> None:
    where = Path("/data")
    assert judge_writable(where, is_read_only=True, may_write=True).grade is PROBLEM
    assert "read-only" in judge_writable(where, is_read_only=True, may_write=False).what
    assert judge_writable(where, is_read_only=False, may_write=False).grade is PROBLEM
    assert judge_writable(where, is_read_only=False, may_write=True).grade is OK


def test_real_disk_is_read(tmp_path: Path) -> None:
    disk = read_disk(tmp_path)
    assert disk.free_bytes > 0
    assert not disk.is_read_only


def test_clock_of_another_decade_is_a_problem() -> None:
    assert next(iter(examine_clock(86400.0))).grade is PROBLEM
    assert next(iter(examine_clock(1_800_000_000.0))).grade is OK


@pytest.mark.parametrize(("state", "grade"), [(None, UNKNOWN), (0, OK), (5, WARNING)])
def test_clock_that_nothing_keeps_in_step(state: int | None, grade: Grade) -> None:
    assert judge_synchronised(state).grade is grade


def test_kernel_can_be_asked_without_being_root() -> None:
    assert kernel_clock_state() in {None, 0, 1, 2, 3, 4, 5}
