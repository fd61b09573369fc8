from prometheus_client.parser import text_string_to_metric_families

from postern.console.metrics import FAMILIES, Sample, exposition
from postern.runtime.processes import LaneStatus, WorkerStatus, metric_key


def worker(
    number: int,
    counters: dict[str, float] | None = None,
    gauges: dict[str, float] | None = None,
    *,
    spool_writable: bool = True,
) -> WorkerStatus:
    return WorkerStatus(
        pid=1,
        number=number,
        started_at=0.0,
        at=0.0,
        slots_used=3,
        slots_all=10,
        counters=counters or {},
        gauges=gauges or {},
        spool_writable=spool_writable,
        lanes=(LaneStatus("fast", 2, 6), LaneStatus("slow", 1, 4)),
    )


def read(page: bytes) -> dict[tuple[str, str], float]:
    """(name, labels as text) to value, as a Prometheus server reads the page."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


REFUSED = metric_key("postern_smtp_refusals_total", {"check": "spf.fail"})


def test_counters_of_all_workers_are_added_up() -> None:
    found = read(exposition([worker(0, {REFUSED: 2}), worker(1, {REFUSED: 5})], {0, 1}))
    assert found["postern_smtp_refusals_total", "check=spf.fail"] == 7


def test_counters_of_a_worker_that_hangs_still_count() -> None:
    found = read(exposition([worker(0, {REFUSED: 2}), worker(1, {REFUSED: 5})], {0}))
    assert found["postern_smtp_refusals_total", "check=spf.fail"] == 7
    assert found["postern_worker_up", "worker=0"] == 1
    assert found["postern_worker_up", "worker=1"] == 0


def test_oldest_age_is_the_oldest_and_messages_are_added() -> None:
    age = "postern_queue_oldest_age_seconds"
    waiting = metric_key("postern_queue_messages", {"state": "waiting"})
    found = read(
        exposition(
            [worker(0, gauges={age: 10, waiting: 2}), worker(1, gauges={age: 90, waiting: 3})],
            {0, 1},
        )
    )
    assert found[age, ""] == 90
    assert found["postern_queue_messages", "state=waiting"] == 5


def test_slots_spool_and_build_are_told() -> None:
    found = read(exposition([worker(0), worker(1, spool_writable=False)], {0, 1}))
    assert found["postern_delivery_slots", "state=used"] == 6
    assert found["postern_delivery_slots", "state=all"] == 20
    assert found["postern_delivery_lane_slots", "lane=slow,state=used"] == 2
    assert found["postern_delivery_lane_slots", "lane=fast,state=all"] == 12
    assert found["postern_spool_writable", "worker=1"] == 0
    assert any(name == "postern_build_info" for name, _ in found)


def test_scanner_that_one_worker_leaves_alone_is_not_up() -> None:
    up = metric_key("postern_scanner_up", {"scanner": "clamd"})
    found = read(exposition([worker(0, {}, {up: 1}), worker(1, {}, {up: 0})], {0, 1}))
    assert found["postern_scanner_up", "scanner=clamd"] == 0


def test_durations_are_a_summary() -> None:
    labels = {"check": "ptr"}
    name = "postern_check_duration_seconds"
    keys = {metric_key(f"{name}_sum", labels): 1.5, metric_key(f"{name}_count", labels): 3.0}
    page = exposition([worker(0, keys)], {0})
    assert b"# TYPE postern_check_duration_seconds summary" in page
    found = read(page)
    assert found[f"{name}_sum", "check=ptr"] == 1.5
    assert found[f"{name}_count", "check=ptr"] == 3


def test_names_nobody_documented_are_shown_by_what_they_say() -> None:
    page = exposition([worker(0, {"postern_new_total": 1}, {"postern_other": 2})], {0})
    assert b"# TYPE postern_new_total counter" in page
    assert b"# TYPE postern_other gauge" in page


def test_extra_samples_and_strange_labels_are_shown() -> None:
    name = "postern_certificate_expiry_timestamp_seconds"
    path = 'a "quoted"\\path\n'
    found = read(exposition([], set(), [Sample(name, (("certificate", path),), 1.75e9)]))
    assert found[name, f"certificate={path}"] == 1.75e9


def test_every_documented_metric_has_a_name_of_ours_and_a_help() -> None:
    for name, family in FAMILIES.items():
        assert name.startswith("postern_")
        assert family.text.endswith(".")
