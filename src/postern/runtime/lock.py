"""One server per data folder: a lock that dies with its holders, however they die.

The lock is the kernel's (flock(2)), the pid in the file is only for people: a file left by a
killed server locks nobody out. Forked workers share the lock, so that a second server cannot start
on the data while a worker of a killed supervisor still writes to it.
"""

import fcntl
import os
import time
from pathlib import Path

LOCK_NAME = "postern.lock"
_POLL_S = 0.02


class AlreadyServedError(Exception):
    """Another server holds the data; ``pid`` is its supervisor, or 0 when unknown."""

    def __init__(self, data_dir: Path, pid: int) -> None:
        who = f"pid {pid}" if pid else "its pid is not known"
        super().__init__(f"{data_dir} is being served already ({who})")
        self.pid = pid


def lock_data(data_dir: Path, wait_s: float = 3.0) -> int:
    """Take the lock and write our pid; returns the descriptor that holds it.

    Args:
        data_dir: the folder; must exist.
        wait_s: how long to wait when the holder's supervisor is gone and its workers are dying.

    Raises:
        AlreadyServedError: a living server holds it.
        OSError: the folder cannot be written to.
    """
    descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = holder(data_dir)
            if _is_alive(pid) or time.monotonic() > deadline:
                os.close(descriptor)
                raise AlreadyServedError(data_dir, pid) from None
            time.sleep(_POLL_S)  # the supervisor's own start, before any event loop
            continue
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor


def holder(data_dir: Path) -> int:
    """The pid that the lock file names, 0 when it names none; it may have ended since."""
    try:
        return int((data_dir / LOCK_NAME).read_text())
    except (OSError, ValueError):
        return 0


def is_served(data_dir: Path) -> bool:
    """Whether a server holds the data now."""
    try:
        descriptor = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not fetched yet (a zombie) does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
