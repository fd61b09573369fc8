"""What the processes of one tree tell each other: how a worker starts, and how it is doing."""

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from postern.runtime.clock import Instant
from postern.runtime.headcount import Headcount
from postern.runtime.ratetable import RateTable

FRESH_S = 5.0
"""A status older than this comes from a worker that hangs or is gone."""

STATUS_PATTERN = "worker-*.json"


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is born with.

    Attributes:
        number: 0 and up; a restarted worker has its predecessor's number.
        of: how many workers there are.
        listeners: (index of the listener in the configuration, its listening socket, from which
            all workers accept).
        status_path: where ``write_status`` goes, once a second.
        ready_fd: pipe of ``report_ready``.
        headcount: the connections of all workers.
        rates: what clients sent to all workers lately.
    """

    number: int
    of: int
    listeners: tuple[tuple[int, socket.socket], ...]
    status_path: Path
    ready_fd: int
    headcount: Headcount
    rates: RateTable

    def report_ready(self) -> None:
        """Tell the supervisor, once, that connections are being accepted."""
        report_ready(self.ready_fd)


@dataclass(frozen=True, slots=True)
class ConsoleSetup:
    """What the console is born with: its listening sockets and the folder of status files."""

    sockets: tuple[socket.socket, ...]
    run_dir: Path
    workers: int
    ready_fd: int

    def report_ready(self) -> None:
        """Tell the supervisor, once, that requests are being answered."""
        report_ready(self.ready_fd)


def report_ready(ready_fd: int) -> None:
    """Write the one byte the supervisor waits for; a supervisor that is gone is no error."""
    try:
        os.write(ready_fd, b"R")
        os.close(ready_fd)
    except OSError:
        return


class PortStatus(msgspec.Struct, frozen=True):
    """One listener as it really is; ``port`` is the number behind port 0, 0 for a unix socket."""

    kind: str
    bind: str
    port: int


class ScannerStatus(msgspec.Struct, frozen=True):
    """One scanner as a worker sees it: ``up``, ``down`` or ``probing``, and why; what waits."""

    name: str
    state: str
    cause: str = ""
    running: int = 0
    waiting: int = 0


class LaneStatus(msgspec.Struct, frozen=True):
    """The slots of one lane: ``fast`` or ``slow``."""

    name: str
    used: int
    all: int


class GroupStatus(msgspec.Struct, frozen=True):
    """An MX group that is not simply well, as a worker sees it.

    ``condition``: ``suspended``, ``shut`` (nothing answers), ``draining`` (open again), ``slow``
    or ``capped``; ``until``: it may go on then, or is tried again; ``because`` in words; ``label``
    of the temporary a person made. ``used`` of ``most`` sessions it may have now, ``slow_used`` of
    them in the slow lane; ``busy`` deliveries in memory.
    """

    name: str
    condition: str
    since: Instant
    until: Instant | None = None
    because: str = ""
    label: str = ""
    used: int = 0
    most: int = 0
    slow_used: int = 0
    busy: int = 0


class WorkerStatus(msgspec.Struct, frozen=True):
    """How one worker is doing, as of ``at`` (seconds since 1970 UTC).

    ``counters`` only ever grow, ``gauges`` go up and down; their keys are written by
    ``metric_key``. ``spool_writable`` is False while mail is answered 451 or 452 because of the
    disk; ``reason`` then says why in one sentence.
    """

    pid: int
    number: int
    started_at: Instant
    at: Instant
    ports: tuple[PortStatus, ...] = ()
    slots_used: int = 0
    slots_all: int = 0
    counters: dict[str, float] = {}
    gauges: dict[str, float] = {}
    spool_writable: bool = True
    reason: str = ""
    scanners: tuple[ScannerStatus, ...] = ()
    lanes: tuple[LaneStatus, ...] = ()
    groups: tuple[GroupStatus, ...] = ()


def status_path(run_dir: Path, number: int) -> Path:
    """The status file of one worker."""
    return run_dir / f"worker-{number}.json"


def write_status(path: Path, status: WorkerStatus) -> None:
    """Replace the status file at once, so that a reader never sees half of it; raises OSError."""
    fresh = path.with_name(f".{path.name}.{status.pid}")
    try:
        fresh.write_bytes(msgspec.json.encode(status))
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def read_status(path: Path) -> WorkerStatus | None:
    """The status in a file, or None when there is none or it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkerStatus)
    except (OSError, msgspec.DecodeError):
        return None


def is_alive(pid: int) -> bool:
    """True while there is a process of that number, whoever's it is."""
    return Path(f"/proc/{pid}").exists()


def read_statuses(run_dir: Path) -> list[WorkerStatus]:
    """The status of every worker that left one, by number."""
    found = (read_status(path) for path in run_dir.glob(STATUS_PATTERN))
    return sorted((s for s in found if s is not None), key=lambda status: status.number)


_UNQUOTED = re.compile(r'[\\"\n]')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


def metric_key(name: str, labels: Mapping[str, str] | None = None) -> str:
    """The key of one sample: ``postern_smtp_refusals_total{check="spf.fail"}``.

    Labels must come from a closed set (check ids, states), never from a client: every new value is
    a new sample for ever.
    """
    if not labels:
        return name
    pairs = ",".join(
        f'{key}="{_UNQUOTED.sub(lambda m: _ESCAPES[m.group()], value)}"'
        for key, value in sorted(labels.items())
    )
    return f"{name}{{{pairs}}}"


def parse_metric_key(key: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a key that ``metric_key`` made."""
    name, _, rest = key.partition("{")
    plain = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    labels = {
        label: re.sub(r"\\.", lambda m: plain.get(m.group(), m.group()), value)
        for label, value in _LABEL.findall(rest)
    }
    return name, labels


def stale_workers(
    statuses: Iterable[WorkerStatus], workers: int, now: Instant
) -> Iterator[tuple[int, float | None]]:
    """The workers below ``workers`` that are not fresh, with the age of their status in seconds.

    The age is None for a worker that never wrote one.
    """
    ages = {status.number: now - status.at for status in statuses}
    for number in range(workers):
        age = ages.get(number)
        if age is None or age > FRESH_S:
            yield number, age


def worker_count(wanted: int) -> int:
    """How many workers to run: as many as wanted, or one per core we may use for 0."""
    return wanted or max(1, len(os.sched_getaffinity(0)))
