"""Why the system would not give us something, with the limit that was met and how full it is.

``errno`` alone has cost people nights: "resource temporarily unavailable" may be a user's
processes, a control group's, or somebody's dead children. Here the numbers are read while they are
still true.
"""

import errno
import os
import pwd
import resource
from pathlib import Path

from postern.runtime.limits import cgroup_limits, population, process_limit

_MB = 1_000_000


def no_process(error: OSError) -> str:
    """Why no process (or thread) could be started. Reads all of /proc: not for the loop.

    ``EAGAIN: 2047 of 2047 processes for uid postern (LimitNPROC=), 312 defunct``.
    """
    if error.errno == errno.EAGAIN:
        return f"EAGAIN: {_processes()}"
    return _other(error)


def no_connection(error: OSError, where: str) -> str:
    """Why ``where`` could not be connected to."""
    number = error.errno
    if number == errno.EAGAIN:
        return f"EAGAIN: the backlog of {where} is full"
    if number == errno.ENOENT:
        return f"ENOENT: there is no {where}; does it run?"
    if number == errno.ECONNREFUSED:
        return f"ECONNREFUSED: nobody listens at {where}"
    if number in {errno.EACCES, errno.EPERM}:
        return f"{errno.errorcode[number]}: {_user(os.geteuid())} may not connect to {where}"
    return _other(error)


def _other(error: OSError) -> str:
    number = error.errno
    if number is None:
        return str(error) or type(error).__name__
    name = errno.errorcode.get(number, str(number))
    if number == errno.EMFILE:
        return f"EMFILE: {_open_files()}"
    if number == errno.ENOMEM:
        return f"ENOMEM: {_memory()}"
    if number in {errno.EACCES, errno.ENOENT, errno.EPERM, errno.ENOEXEC} and error.filename:
        return f"{name}: {_text(error.filename)}: {os.strerror(number)} for {_user(os.geteuid())}"
    return f"{name}: {os.strerror(number)}"


def _text(name: str | bytes | object) -> str:
    return os.fsdecode(name) if isinstance(name, str | bytes) else str(name)


def _processes() -> str:
    uid = os.getuid()
    there = population(uid)
    limit = process_limit(uid, there=there)
    told = [
        f"{limit.used if limit.used is not None else '?'}"
        f"{'' if limit.limit is None else f' of {limit.limit}'} processes for uid {_user(uid)}"
        f" ({limit.source})",
        f"{there.defunct_in_all} defunct",
    ]
    told += [
        f"{group.source}{group.limit} ({group.used} used)"
        for group in cgroup_limits()
        if group.name != "memory"
    ]
    return ", ".join(told)


def _open_files() -> str:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        used = str(sum(1 for _ in Path("/proc/self/fd").iterdir()))
    except OSError:  # there is no file left to look with
        used = str(limit)
    return f"{used} of {limit} open files (LimitNOFILE=)"


def _memory() -> str:
    for group in cgroup_limits():
        if group.name == "memory" and group.limit is not None:
            used = "?" if group.used is None else str(group.used // _MB)
            return f"{used} of {group.limit // _MB} MB of memory ({group.source})"
    return f"{_available()} MB of memory are left on this machine"


def _available() -> str:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return str(int(line.split()[1]) // 1000)
    except (OSError, ValueError, IndexError):
        pass
    return "?"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
