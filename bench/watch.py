"""The highest memory of a process tree while something happens."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.proctree import tree, tree_pss_bytes

RESET_HIGHEST = "5"
"""What ``/proc/PID/clear_refs`` takes to begin VmHWM anew (proc(5))."""


@contextmanager
def highest_memory(pid: int, *, every_s: float) -> Iterator[list[int]]:
    """The highest PSS seen, in bytes, as the only item of a list; looked at ``every_s``."""
    peak = [tree_pss_bytes(pid)]
    done = threading.Event()

    def look() -> None:
        while not done.wait(every_s):
            peak[0] = max(peak[0], tree_pss_bytes(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


@contextmanager
def highest_resident(pid: int) -> Iterator[list[int]]:
    """The sum of each process's highest resident memory, in bytes, set at the end.

    The kernel keeps the mark, so no peak is missed; that all peak at once is assumed against us.
    """
    highest = [0]
    for stat in tree(pid):
        Path(f"/proc/{stat.pid}/clear_refs").write_text(RESET_HIGHEST)
    yield highest
    highest[0] = sum(_status_bytes(stat.pid, "VmHWM:") for stat in tree(pid))


def resident_bytes(pid: int) -> int:
    """Resident memory of the tree, shared pages counted in every process."""
    return sum(_status_bytes(stat.pid, "VmRSS:") for stat in tree(pid))


def _status_bytes(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0  # ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
