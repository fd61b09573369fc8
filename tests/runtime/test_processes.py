import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from postern.runtime.processes import (
    PortStatus,
    WorkerStatus,
    metric_key,
    parse_metric_key,
    read_status,
    read_statuses,
    report_ready,
    stale_workers,
    status_path,
    worker_count,
    write_status,
)


def status(number: int, at: float = 100.0) -> WorkerStatus:
    return WorkerStatus(pid=1, number=number, started_at=50.0, at=at)


def test_status_comes_back_as_it_was_written(tmp_path: Path) -> None:
    told = WorkerStatus(
        pid=7,
        number=0,
        started_at=1.0,
        at=2.5,
        ports=(PortStatus("mx", "127.0.0.1:0", 2525),),
        counters={metric_key("postern_smtp_refusals_total", {"check": "spf.fail"}): 3.0},
        spool_writable=False,
        reason="disk full",
    )
    write_status(status_path(tmp_path, 0), told)
    assert read_status(status_path(tmp_path, 0)) == told
    assert [path.name for path in tmp_path.iterdir()] == ["worker-0.json"]


def test_damaged_status_is_none_and_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "worker-0.json").write_text("{")
    write_status(status_path(tmp_path, 1), status(1))
    assert read_status(tmp_path / "worker-0.json") is None
    assert [found.number for found in read_statuses(tmp_path)] == [1]


def test_workers_that_are_old_or_never_reported_are_stale() -> None:
    found = dict(stale_workers([status(0, at=99.0), status(1, at=90.0)], 3, now=100.0))
    assert found == {1: 10.0, 2: None}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(), max_size=3))
def test_labels_survive_their_key_whatever_they_hold(labels: dict[str, str]) -> None:
    assert parse_metric_key(metric_key("postern_x_total", labels)) == ("postern_x_total", labels)


def test_ready_to_a_supervisor_that_is_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    report_ready(writing)


def test_zero_workers_means_one_per_core() -> None:
    assert worker_count(0) == len(os.sched_getaffinity(0))
    assert worker_count(3) == 3
