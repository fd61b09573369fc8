"""What a process and all its children cost, read from /proc."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of ``/proc/PID/stat`` that matter here."""

    pid: int
    parent: int
    state: str
    cpu_s: float


def read_stat(pid: int) -> Stat | None:
    """One process, or None when it is gone.

    ``cpu_s`` includes children that ended and were waited for: a server that renews its processes
    is charged for all of them.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return Stat(pid, int(fields[1]), fields[0], ticks / TICKS_PER_S)


def tree(root: int) -> list[Stat]:
    """The process and everything below it, the process first; empty when it is gone."""
    first = read_stat(root)
    if first is None:
        return []
    stats = [read_stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()]
    below: dict[int, list[Stat]] = {}
    for stat in stats:
        if stat is not None:
            below.setdefault(stat.parent, []).append(stat)
    found = [first]
    for stat in found:  # grows while it is walked
        found += below.get(stat.pid, [])
    return found


def cpu_s(root: int) -> float:
    """CPU seconds of the tree since it began, ended children included."""
    return sum(stat.cpu_s for stat in tree(root))


def pss_bytes(pids: Iterable[int]) -> int:
    """Memory of the processes, shared pages divided by those who share them."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # ended meanwhile
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def tree_pss_bytes(root: int) -> int:
    """Memory of the whole tree."""
    return pss_bytes(stat.pid for stat in tree(root))


def wait_gone(pids: Iterable[int], within_s: float = 5.0) -> list[int]:
    """Wait until the processes have ended (zombies count as ended); returns those that have not."""
    left = list(pids)
    give_up = time.monotonic() + within_s
    while left and time.monotonic() < give_up:
        left = [pid for pid in left if (stat := read_stat(pid)) is not None and stat.state != "Z"]
        if left:
            time.sleep(0.02)
    return left
