"""Becoming an ordinary user, dying with the parent, and taking orphans in."""

import ctypes
import os
import pwd
import signal
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def find_account(name: str) -> Account | None:
    """The user of this name, or None when there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def become(account: Account) -> None:
    """Give up root for good: groups, group, user, and no way back through set-uid programs.

    Does nothing when we are this user already.

    Raises:
        PermissionError: we are another ordinary user and may not change.
    """
    if os.getuid() != account.uid or os.geteuid() != account.uid:
        os.initgroups(account.name, account.gid)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
        if account.uid != 0 and os.getresuid() != (account.uid,) * 3:
            raise PermissionError(f"could not become {account.name}")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill us when the parent ends, however it ends.

    Call after ``become``: a change of user clears the wish (prctl(2)). A parent that ended just
    before is found by its pid, and then we end at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every process below us whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl")
