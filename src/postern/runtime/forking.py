"""Forks one child of the supervisor and prepares it: signals, user, death with the parent."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from postern.runtime.allocator import keep_large_blocks_apart
from postern.runtime.privileges import Account, become, die_with_parent

EX_SOFTWARE = 70

PRIVATE_UMASK = 0o077
"""Mail is private: what a worker creates, only its user reads."""


@dataclass(frozen=True, slots=True)
class Started:
    """A child that was just forked; one byte comes out of ``ready_fd`` when it is ready."""

    pid: int
    ready_fd: int


@dataclass(frozen=True, slots=True)
class Birth:
    """How a child comes to be.

    Attributes:
        body: what the child runs, given the descriptor for ``report_ready``; returns its exit code.
        shed: closes, in the child, what belongs to the parent and to other children.
        account: the user to become; None stays.
    """

    body: Callable[[int], int]
    shed: Callable[[], None]
    account: Account | None


def fork_child(birth: Birth) -> Started:
    """Fork a child that never returns from here; call from a single-threaded process only.

    All signals are blocked around the fork: one that reached the child while it still had the
    parent's handlers would be told to the parent through their common pipe.
    """
    parent_pid = os.getpid()
    ready_out, ready_in = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            os.close(ready_out)
            _live(birth, ready_in, parent_pid, old_mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
    os.close(ready_in)
    os.set_blocking(ready_out, False)
    return Started(pid, ready_out)


def _live(birth: Birth, ready_in: int, parent_pid: int, mask: set[signal.Signals | int]) -> None:
    """The child's whole life; ends the process."""
    code = EX_SOFTWARE
    try:
        _reset_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        birth.shed()
        os.umask(PRIVATE_UMASK)
        if birth.account is not None:
            become(birth.account)
        die_with_parent(parent_pid)
        keep_large_blocks_apart()
        code = birth.body(ready_in)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else EX_SOFTWARE
    except BaseException:  # noqa: BLE001 - nothing of the parent's stack may run in the child
        # One line, as all others: a traceback of many would mix with what other processes say.
        structlog.get_logger().exception("process.crashed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)


def _reset_signals() -> None:
    """SIGTERM ends us until the body says otherwise; the rest of the group's signals do not.

    SIGINT from a terminal reaches the whole process group, but it is the supervisor that decides
    how to stop. SIGHUP before the body listens for it is answered by the supervisor's second one.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def how_it_ended(code: int) -> str:
    """``was killed by SIGSEGV`` or ``ended with exit status 1``."""
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
