import os
import resource
from pathlib import Path

import pytest

from postern.runtime.limits import (
    cgroup_limits,
    open_files_of,
    population,
    process_limit,
    raise_open_files,
)


def test_open_files_are_raised_to_the_hard_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowered = min(256, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowered, hard))
        assert raise_open_files() == min(hard, 1_048_576)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_threads_of_our_user_are_counted() -> None:
    limit = process_limit(os.getuid())
    assert limit.used is not None
    assert limit.used >= 1


def test_processes_are_unknown_without_proc(tmp_path: Path) -> None:
    assert process_limit(0, tmp_path / "none").used is None


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_cgroup_v2_limits_are_read_in_our_group(tmp_path: Path) -> None:
    write(tmp_path / "membership", "0::/system.slice/postern.service\n")
    group = tmp_path / "cgroup" / "system.slice" / "postern.service"
    write(group / "pids.current", "12\n")
    write(group / "pids.max", "4096\n")
    write(group / "memory.current", "1000\n")
    write(group / "memory.max", "max\n")
    (limit,) = cgroup_limits(tmp_path / "cgroup", tmp_path / "membership")
    assert (limit.used, limit.limit, limit.source) == (12, 4096, "TasksMax=")


def test_cgroup_v1_memory_without_a_limit_is_none(tmp_path: Path) -> None:
    write(tmp_path / "membership", "4:memory:/box\n0::/\n")
    group = tmp_path / "cgroup" / "memory" / "box"
    write(group / "memory.usage_in_bytes", "5\n")
    write(group / "memory.limit_in_bytes", "9223372036854771712\n")
    assert cgroup_limits(tmp_path / "cgroup", tmp_path / "membership") == []


@pytest.mark.parametrize("text", ["", "nonsense\n", "1:\n"])
def test_strange_membership_is_no_error(tmp_path: Path, text: str) -> None:
    write(tmp_path / "membership", text)
    assert cgroup_limits(tmp_path, tmp_path / "membership") == []


def test_population_counts_threads_and_the_dead_by_their_parents(tmp_path: Path) -> None:
    def process(pid: int, name: str, state: str, parent: int, uid: int, threads: int) -> None:
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "status").write_text(
            f"Name:\t{name}\nState:\t{state}\nPPid:\t{parent}\n"
            f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nThreads:\t{threads}\n"
        )

    process(10, "postern", "S (sleeping)", 1, 7, 12)
    process(11, "simscan", "S (sleeping)", 1, 7, 1)
    process(12, "ripmime", "Z (zombie)", 11, 7, 1)
    process(13, "ripmime", "Z (zombie)", 11, 7, 1)
    process(14, "other", "Z (zombie)", 11, 8, 1)
    (tmp_path / "15").mkdir()  # it ended while we looked
    (tmp_path / "self").mkdir()
    there = population(7, tmp_path)
    assert there.tasks == 15
    assert there.defunct == {"simscan (11)": 2}
    assert population(7, tmp_path / "none").tasks is None


def test_limits_of_another_process_and_who_sets_them(tmp_path: Path) -> None:
    folder = tmp_path / "10"
    (folder / "fd").mkdir(parents=True)
    (folder / "fd" / "0").touch()
    (folder / "limits").write_text(
        "Limit                     Soft Limit           Hard Limit           Units\n"
        "Max processes             2047                 4096                 processes\n"
        "Max open files            1024                 1048576              files\n"
    )
    (folder / "cgroup").write_text("0::/system.slice/postern.service\n")
    limit = process_limit(7, tmp_path, 10)
    assert (limit.limit, limit.source) == (2047, "LimitNPROC=")
    files = open_files_of(10, tmp_path)
    assert (files.used, files.limit) == (1, 1024)
    (folder / "cgroup").write_text("0::/user.slice\n")
    assert process_limit(7, tmp_path, 10).source == "LimitNPROC= or ulimit -u"
