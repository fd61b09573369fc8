import os
import pwd
from collections.abc import Callable

import pytest

from postern.runtime.privileges import Account, become, die_with_parent, find_account


def in_child(body: Callable[[], int]) -> int:
    """The exit code of ``body``, run in a forked child."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = body()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_unknown_user_is_not_found() -> None:
    assert find_account("no-such-user-here") is None


def test_becoming_ourselves_changes_nothing_and_needs_no_root() -> None:
    entry = pwd.getpwuid(os.getuid())
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)

    def body() -> int:
        become(account)
        return int(os.getuid() != account.uid)

    assert in_child(body) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_there_is_no_way_back_to_root() -> None:
    account = find_account("nobody")
    assert account is not None

    def body() -> int:
        become(account)
        try:
            os.setuid(0)
        except PermissionError:
            return 0 if os.getgroups() != [0] and os.getgid() == account.gid else 2
        return 1

    assert in_child(body) == 0


def test_child_of_a_parent_that_is_gone_ends_at_once() -> None:
    def body() -> int:
        die_with_parent(os.getppid() + 1_000_000)
        return 0

    assert in_child(body) == -9
