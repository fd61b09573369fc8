"""Limits the system sets us: raised where we may, read where we may not."""

import contextlib
import resource
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


def process_limit(uid: int, proc: Path = Path("/proc")) -> Limit:
    """Most processes and threads of this user (RLIMIT_NPROC), and how many there are."""
    limit = _finite(resource.getrlimit(resource.RLIMIT_NPROC)[0])
    return Limit("processes of our user", _threads_of(uid, proc), limit, "LimitNPROC=")


def _finite(limit: int) -> int | None:
    return None if limit == _UNLIMITED or limit < 0 else limit


def _threads_of(uid: int, proc: Path) -> int | None:
    """How many threads the user runs; None when /proc is not readable."""
    total = 0
    try:
        for folder in proc.iterdir():
            if folder.name.isdigit():
                total += _threads(folder / "status", uid)
    except OSError:
        return None
    return total or None


def _threads(status: Path, uid: int) -> int:
    try:
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(fields["Threads"]) if int(fields["Uid"].split()[0]) == uid else 0
    except (OSError, KeyError, ValueError):
        return 0  # it ended while we looked, or is a kernel thread


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
