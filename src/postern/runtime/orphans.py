"""Programs that a worker ran and could not end, because it was killed itself.

A scanner has a session of its own, so no signal to the tree's process group reaches it. The kernel
kills it when its worker ends (``postern.runtime.program``), but not what it started. So the
supervisor is made the parent of whatever is left without one below it (``PR_SET_CHILD_SUBREAPER``,
prctl(2)), kills that when a worker has ended, and again for as long as killing brings up more.

Who else may be a child of ours: what ran before we did in the place of a shell (``daemon & exec
postern serve``), and as process 1 of a container anybody. Those are spared: processes of sessions
that were there at the start, those of our own session, and those of another user.
"""

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from postern.runtime.privileges import Account, adopt_orphans

PATIENCE_S = 2.0
"""At the end of the tree; a process that is killed and does not go hangs in the kernel."""
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this machine, as ``/proc/PID/stat`` has it (proc(5))."""

    pid: int
    state: str
    parent: int
    group: int
    session: int


class Orphans:
    """Of the supervisor; used by it alone."""

    def __init__(self, account: Account | None) -> None:
        self._uid = os.getuid() if account is None else account.uid
        self._older: frozenset[int] = frozenset()
        self._is_expecting = False

    def adopt(self) -> None:
        """From now on they are ours; call before the first fork."""
        adopt_orphans()
        self._older = frozenset({os.getsid(0), *(one.session for one in _processes())})

    def expect(self) -> None:
        """A worker has ended: what it ran is to be killed."""
        self._is_expecting = True

    def kill(self, living: Collection[int]) -> bool:
        """Kill those of workers that ended; ``living`` are the children that are none.

        Call again whenever one was reaped: its own children are ours only then.

        Returns:
            True while there were any.
        """
        if not self._is_expecting:
            return False
        everybody = {one.pid: one for one in _processes()}
        found = [one for one in everybody.values() if self._is_orphan(one, living, everybody)]
        for one in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one.pid, signal.SIGKILL)
                if one.group not in self._older:
                    os.killpg(one.group, signal.SIGKILL)
        self._is_expecting = bool(found)
        return bool(found)

    def end(self) -> None:
        """The last worker has ended: nothing stays behind."""
        self._is_expecting = True
        deadline = time.monotonic() + PATIENCE_S
        while self.kill(()) and time.monotonic() < deadline:
            for _ in ended_children():
                pass
            time.sleep(_LOOK_S)

    def _is_orphan(
        self, one: Process, living: Collection[int], everybody: dict[int, Process]
    ) -> bool:
        if one.parent != os.getpid() or one.pid in living or one.session in self._older:
            return False
        leader = everybody.get(one.session)
        if leader is not None and leader.parent in living:
            return False  # a worker waits for its program, which left it a child on purpose
        return _uid_of(one.pid) == self._uid


def ended_children() -> Iterator[tuple[int, int]]:
    """Reap every child that has ended: its number and exit code, negative for a signal."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def kill_marked(mark: bytes, uid: int) -> list[int]:
    """Kill the sessions of a user's processes in whose environment ``mark`` stands.

    For the start of a server, when the one before was killed at one blow with all its processes.

    Returns:
        The processes that bore the mark.
    """
    everybody = list(_processes())
    marked = [one for one in everybody if _uid_of(one.pid) == uid and _is_marked(one.pid, mark)]
    sessions = {one.session for one in marked} - {os.getsid(0)}
    for one in everybody:
        if one.session in sessions and _uid_of(one.pid) == uid:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one.pid, signal.SIGKILL)
    return [one.pid for one in marked]


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or we may not look (root without CAP_SYS_PTRACE)
        return False


def _processes() -> Iterator[Process]:
    """All that live."""
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            text = (path / "stat").read_text(errors="replace")
        except OSError:
            continue
        # The name in parentheses may hold spaces and parentheses itself.
        state, parent, group, session, *_ = text.rpartition(")")[2].split()
        if state not in "ZX":
            yield Process(int(path.name), state, int(parent), int(group), int(session))


def _uid_of(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return -1
