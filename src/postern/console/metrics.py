"""``/metrics``: what all workers counted, added up, in Prometheus's text format.

Names are documented here once; a worker may report others, which are then shown by what their name
says (``_total`` is a counter).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from platform import python_version

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from postern import __version__
from postern.runtime.processes import WorkerStatus, parse_metric_key

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Join(Enum):
    """How one number is made of several workers'."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its type in Prometheus's words, how workers' values are joined, its help."""

    kind: str
    join: Join
    text: str


FAMILIES = {
    "postern_smtp_refusals": Family("counter", Join.SUM, "Recipients refused, by check."),
    "postern_smtp_sessions": Family("counter", Join.SUM, "Connections that came in."),
    "postern_smtp_connections": Family("gauge", Join.SUM, "Connections open now."),
    "postern_messages_accepted": Family("counter", Join.SUM, "Messages answered 250."),
    "postern_check_duration_seconds": Family("summary", Join.SUM, "Time that checks took."),
    "postern_check_unknown": Family("counter", Join.SUM, "Checks that couldn't tell."),
    "postern_scanner_up": Family("gauge", Join.MIN, "0 while a worker leaves the scanner alone."),
    "postern_scans": Family("counter", Join.SUM, "Messages shown to scanners, by result."),
    "postern_scan_duration_seconds": Family("summary", Join.SUM, "Time that scans took."),
    "postern_queue_messages": Family("gauge", Join.SUM, "Deliveries in the spool, by state."),
    "postern_queue_oldest_age_seconds": Family("gauge", Join.MAX, "Age of the oldest delivery."),
    "postern_quarantine_messages": Family("gauge", Join.SUM, "Messages held for their owners."),
    "postern_quarantine_bytes": Family("gauge", Join.SUM, "Octets held for their owners."),
    "postern_quarantine_untold": Family(
        "gauge", Join.SUM, "Messages held whose owners were not told yet."
    ),
    "postern_quarantine_oldest_age_seconds": Family(
        "gauge", Join.MAX, "Age of the oldest message that is held for its owner."
    ),
    "postern_quarantine_untold_age_seconds": Family(
        "gauge", Join.MAX, "Age of the oldest of these whose owner was not told yet."
    ),
    "postern_delivery_attempts": Family("counter", Join.SUM, "Attempts to deliver, by result."),
    "postern_delivery_slots": Family("gauge", Join.SUM, "Connections out: used, and all."),
    "postern_mx_groups": Family("gauge", Join.MAX, "MX groups that are not well, by state."),
    "postern_mx_group_up": Family(
        "gauge", Join.MAX, "Of MX groups that are not well: 0 while nothing reaches one."
    ),
    "postern_delivery_lane_slots": Family(
        "gauge", Join.SUM, "The same for the fast lane, and for sessions that take long."
    ),
    "postern_queue_groups": Family(
        "gauge", Join.MAX, "MX groups that are slow, shut, suspended, at their cap or draining."
    ),
    "postern_certificate_expiry_timestamp_seconds": Family(
        "gauge", Join.MAX, "When each certificate ends."
    ),
    "postern_worker_up": Family("gauge", Join.MAX, "1 while the worker reports."),
    "postern_spool_writable": Family("gauge", Join.MAX, "0 while the worker cannot take mail."),
    "postern_build_info": Family("gauge", Join.MAX, "Version of the program."),
}

_SUFFIXES = ("_total", "_sum", "_count", "_bucket")


@dataclass(frozen=True, slots=True)
class Sample:
    """One number with its name as shown and its labels."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


def exposition(
    statuses: Sequence[WorkerStatus], fresh: set[int], extra: Iterable[Sample] = ()
) -> bytes:
    """The whole page.

    Args:
        statuses: what workers reported last; counters of a worker that hangs still count.
        fresh: numbers of the workers that reported lately.
        extra: samples that no worker reports.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(lambda: metrics(statuses, fresh, extra)))
    return generate_latest(registry)


class _Collector:
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()


def metrics(
    statuses: Sequence[WorkerStatus], fresh: set[int], extra: Iterable[Sample] = ()
) -> Iterator[Metric]:
    """All samples grouped by metric, each joined over the workers."""
    joined: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in (*_of_workers(statuses, fresh), *extra, _build_info()):
        key = (sample.name, sample.labels)
        present = joined.get(key)
        family = FAMILIES.get(_family_name(sample.name))
        if present is None:
            joined[key] = sample.value
        elif family is not None and family.join is Join.MAX:
            joined[key] = max(present, sample.value)
        elif family is not None and family.join is Join.MIN:
            joined[key] = min(present, sample.value)
        else:
            joined[key] = present + sample.value
    yield from _grouped(joined)


def _of_workers(statuses: Sequence[WorkerStatus], fresh: set[int]) -> Iterator[Sample]:
    for status in statuses:
        for key, value in (*status.counters.items(), *status.gauges.items()):
            name, labels = parse_metric_key(key)
            yield Sample(name, tuple(sorted(labels.items())), value)
        worker = (("worker", str(status.number)),)
        yield Sample("postern_worker_up", worker, float(status.number in fresh))
        yield Sample("postern_spool_writable", worker, float(status.spool_writable))
        for state, slots in (("used", status.slots_used), ("all", status.slots_all)):
            yield Sample("postern_delivery_slots", (("state", state),), float(slots))
        for lane in status.lanes:
            for state, slots in (("used", lane.used), ("all", lane.all)):
                of_lane = (("lane", lane.name), ("state", state))
                yield Sample("postern_delivery_lane_slots", of_lane, float(slots))


def _build_info() -> Sample:
    labels = (("python", python_version()), ("version", __version__))
    return Sample("postern_build_info", labels, 1.0)


def _family_name(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _grouped(
    joined: dict[tuple[str, tuple[tuple[str, str], ...]], float],
) -> Iterator[Metric]:
    groups: dict[str, list[Sample]] = {}
    for (name, labels), value in joined.items():
        groups.setdefault(_family_name(name), []).append(Sample(name, labels, value))
    for family_name in sorted(groups):
        samples = groups[family_name]
        family = FAMILIES.get(family_name) or _guess(samples[0].name)
        metric = Metric(family_name, family.text, family.kind)
        for sample in sorted(samples, key=lambda s: (s.name, s.labels)):
            metric.add_sample(sample.name, dict(sample.labels), sample.value)
        yield metric


def _guess(name: str) -> Family:
    kind = "counter" if name.endswith("_total") else "gauge"
    return Family(kind, Join.SUM, "Reported by the workers.")
