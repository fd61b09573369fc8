"""Takes a world down when its test has ended, however it ended.

``python -m tests.lab.guard PREFIX`` waits until its standard input is closed: by the test when it
is done, by the kernel when the test was killed. Then whatever runs in the namespaces of that prefix
is killed and they are removed, with the links and rules in them. Should the guard be killed as
well, the next world sweeps what it finds of tests that are no more.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.lab.namespace import PLACE, run

KIND = "ptlab"
GONE_WITHIN_S = 10.0
_NAME = re.compile(rf"{KIND}-(?P<pid>\d+)-(?P<started>\d+)-\d+-\w+")


def prefix(number: int) -> str:
    """What the names of this process's ``number``-th world begin with. Unique on this machine."""
    pid = os.getpid()
    return f"{KIND}-{pid}-{started(pid)}-{number}-"


def watch(names_prefix: str) -> "subprocess.Popen[bytes]":
    """Start a guard in a session of its own; :func:`dismiss` ends it and with it the world."""
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.lab.guard", names_prefix],
        stdin=subprocess.PIPE,
        cwd=root,
        start_new_session=True,
    )


def dismiss(guard: "subprocess.Popen[bytes]") -> None:
    """Have the guard take its world down now; returns when that is done."""
    assert guard.stdin is not None
    guard.stdin.close()
    guard.wait(2 * GONE_WITHIN_S)


def take_down(names_prefix: str) -> None:
    """Kill what runs in the namespaces of this prefix, and remove them."""
    names = [name for name in namespaces() if name.startswith(names_prefix)]
    give_up = time.monotonic() + GONE_WITHIN_S
    while (pids := [pid for name in names for pid in inhabitants(name)]) and (
        time.monotonic() < give_up
    ):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for name in names:
        with suppress(RuntimeError):  # somebody else sweeps as well
            run("ip", "netns", "delete", name)


def sweep() -> None:
    """Take down the worlds of processes that no longer run."""
    for name in namespaces():
        found = _NAME.fullmatch(name)
        if found and started(int(found["pid"])) != found["started"]:
            take_down(name)


def namespaces() -> list[str]:
    """The names of all network namespaces that tests have made on this machine."""
    if not PLACE.is_dir():
        return []
    return sorted(path.name for path in PLACE.iterdir() if path.name.startswith(f"{KIND}-"))


def inhabitants(name: str) -> list[int]:
    """The ids of the processes in a namespace; none if it is gone."""
    try:
        return [int(pid) for pid in run("ip", "netns", "pids", name).split()]
    except RuntimeError:
        return []


def started(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return ""
    after_name = stat.rpartition(")")[2].split()
    state, started = after_name[0], after_name[19]
    return "" if state == "Z" else started


if __name__ == "__main__":
    sys.stdin.buffer.read()
    take_down(sys.argv[1])
