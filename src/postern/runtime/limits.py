"""Limits the system sets us: raised where we may, read where we may not."""

import contextlib
import resource
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 1_048_576
"""More descriptors than this only make some libraries slow; containers may offer 2^30."""

_UNLIMITED = resource.RLIM_INFINITY


def raise_open_files() -> int:
    """Raise the limit of open files as far as allowed; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = MOST_FILES if hard == _UNLIMITED else min(hard, MOST_FILES)
    if soft == _UNLIMITED or soft >= ceiling:
        return int(soft)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
    return int(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, how much of it is in use, and what sets it; None where it could not be read."""

    name: str
    used: int | None
    limit: int | None
    source: str


def open_files_limit() -> Limit:
    """Most descriptors a process of ours may open; hard limit, because we raise the soft one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Limit("open files", None, _finite(hard), "LimitNOFILE=")


def process_limit(
    uid: int,
    proc: Path = Path("/proc"),
    pid: int | None = None,
    there: "Population | None" = None,
) -> Limit:
    """Most processes and threads of this user (RLIMIT_NPROC), and how many there are.

    The limit is ours, or that of the process ``pid``: each has its own, the count is the user's.
    ``there``: the user's population, where it is known already.
    """
    if pid is None:
        limit = _finite(resource.getrlimit(resource.RLIMIT_NPROC)[0])
    else:
        limit = _limit_of(proc / str(pid) / "limits", "Max processes")
    folder = proc / ("self" if pid is None else str(pid))
    source = "LimitNPROC=" if _is_service(folder / "cgroup") else "LimitNPROC= or ulimit -u"
    there = there or population(uid, proc)
    return Limit("processes of our user", there.tasks, limit, source)


def _is_service(membership: Path) -> bool:
    """True for what systemd started: its unit sets the limits."""
    try:
        return ".service" in membership.read_text()
    except OSError:
        return False


def open_files_of(pid: int, proc: Path = Path("/proc")) -> Limit:
    """How many descriptors a process has open, and may have."""
    folder = proc / str(pid)
    try:
        used = sum(1 for _ in (folder / "fd").iterdir())
    except OSError:
        used = None
    return Limit("open files", used, _limit_of(folder / "limits", "Max open files"), "LimitNOFILE=")


def _limit_of(limits: Path, name: str) -> int | None:
    """The soft limit in a process's own list of them; None for none, and when it can't be read."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in limits.read_text().splitlines():
            if line.startswith(name):
                return int(line.removeprefix(name).split()[0])
    return None


def _finite(limit: int) -> int | None:
    return None if limit == _UNLIMITED or limit < 0 else limit


@dataclass(frozen=True, slots=True)
class Population:
    """A user's processes: how many tasks they are (each thread is one), and who left defunct ones.

    ``tasks`` None: /proc does not tell. ``defunct`` counts by the parent that has not reaped them,
    as ``NAME (PID)``; the kernel counts them like any other.
    """

    tasks: int | None
    defunct: Mapping[str, int]

    @property
    def defunct_in_all(self) -> int:
        """Processes that have ended and were not reaped."""
        return sum(self.defunct.values())


def population(uid: int, proc: Path = Path("/proc")) -> Population:
    """Who runs as ``uid`` now; some 20 microseconds a process, so ask seldom."""
    tasks = 0
    parents: Counter[str] = Counter()
    try:
        for folder in proc.iterdir():
            if not folder.name.isdigit():
                continue
            fields = _status(folder / "status")
            if _number_in(fields, "Uid") != uid:
                continue
            tasks += _number_in(fields, "Threads") or 0
            if fields.get("State", "").strip().startswith("Z"):
                parents[fields.get("PPid", "").strip()] += 1
    except OSError:
        return Population(None, {})
    named = {f"{_status(proc / pid / 'status').get('Name', '?').strip()} ({pid})": count
             for pid, count in parents.most_common()}  # fmt: skip
    return Population(tasks or None, named)


def _status(path: Path) -> dict[str, str]:
    """A process's own page; empty when it ended while we looked."""
    try:
        return dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    except (OSError, ValueError):
        return {}


def _number_in(fields: Mapping[str, str], name: str) -> int | None:
    try:
        return int(fields[name].split()[0])
    except (KeyError, ValueError, IndexError):
        return None  # it ended while we looked, or is a kernel thread


def cgroup_limits(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> list[Limit]:
    """The control group's limits of processes and memory (cgroup v2, else v1); only those set."""
    return [
        limit
        for limit in (
            _cgroup(root, membership, "pids", ("pids.current", "pids.max")),
            _cgroup(root, membership, "memory", ("memory.current", "memory.max")),
        )
        if limit is not None
    ]


_V1_FILES = {
    "pids": ("pids.current", "pids.max"),
    "memory": ("memory.usage_in_bytes", "memory.limit_in_bytes"),
}
_NAMES = {
    "pids": ("processes of our control group", "TasksMax="),
    "memory": ("memory", "MemoryMax="),
}
_V1_UNLIMITED = 1 << 60


def _cgroup(root: Path, membership: Path, controller: str, files: tuple[str, str]) -> Limit | None:
    v2, v1 = _memberships(membership, controller)
    candidates = []
    if v2 is not None:
        candidates.append((root / v2, files))
    if v1 is not None:
        candidates += [(root / controller / v1, _V1_FILES[controller])]
    candidates.append((root / controller, _V1_FILES[controller]))
    for folder, (current, most) in candidates:
        limit = _number(folder / most)
        if limit is not None and limit < _V1_UNLIMITED:
            name, source = _NAMES[controller]
            return Limit(name, _number(folder / current), limit, source)
    return None


def _memberships(membership: Path, controller: str) -> tuple[str | None, str | None]:
    """Our folder below the mount of cgroup v2, and below that of the v1 controller."""
    v2 = v1 = None
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = [*line.split(":", 2), "", ""][:3]
            if not controllers:
                v2 = path.lstrip("/")
            elif controller in controllers.split(","):
                v1 = path.lstrip("/")
    return v2, v1


def _number(path: Path) -> int | None:
    """The number in a file; None for ``max``, and when there is no such file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
