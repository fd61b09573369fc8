"""Errors of the system in words, with the numbers that were met."""

import errno
import os
import subprocess
import sys

import pytest

from postern.runtime.shortage import no_connection, no_process


def test_no_process_tells_user_limit_and_the_dead() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped
        text = no_process(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"))
    assert text.startswith("EAGAIN: ")
    assert " processes for uid " in text
    assert "ulimit -u" in text or "LimitNPROC=" in text
    count = int(text.split(" defunct")[0].rsplit(" ", 1)[1])
    assert count >= 1


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(errno.ENOENT, "", "/opt/scan"), "ENOENT: /opt/scan: No such file"),
        (PermissionError(errno.EACCES, "", "/opt/scan"), "EACCES: /opt/scan: Permission denied"),
        (OSError(errno.EMFILE, ""), "EMFILE: "),
        (OSError(errno.ENOMEM, ""), "ENOMEM: "),
        (OSError("odd"), "odd"),
        (OSError(errno.ENOSPC, ""), "ENOSPC: No space left on device"),
    ],
)
def test_no_process_for_other_reasons(error: OSError, text: str) -> None:
    assert no_process(error).startswith(text)


def test_no_connection_says_what_to_look_at() -> None:
    where = "/run/clamd.ctl"
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "")
    assert no_connection(refused, where) == f"ECONNREFUSED: nobody listens at {where}"
    gone = FileNotFoundError(errno.ENOENT, "")
    assert no_connection(gone, where) == f"ENOENT: there is no {where}; does it run?"
    assert no_connection(BlockingIOError(errno.EAGAIN, ""), where).endswith("is full")
