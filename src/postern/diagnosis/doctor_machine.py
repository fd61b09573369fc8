"""The doctor looks at the machine: limits, memory, disk, clock."""

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from postern.diagnosis.doctor_results import Result, Site, couldnt_tell, ok, problem, warning
from postern.runtime.clock import Instant
from postern.runtime.limits import (
    Limit,
    Population,
    cgroup_limits,
    open_files_limit,
    open_files_of,
    population,
    process_limit,
)
from postern.runtime.privileges import find_account
from postern.runtime.processes import is_alive, read_statuses

THREADS_PER_PROCESS = 32
LEAST_MEMORY_BYTES = 200_000_000
LEAST_INODES = 10_000
NEARLY = 0.8
"""Of a limit: from here on somebody should know, for what fills it seldom stops there."""
LEAST_ROOM = 4
MANY_DEFUNCT = 10
FIRST_YEAR = 2026
"""This program was not there before; a clock that says so is wrong."""

_TIME_ERROR = 5
_TIMEX_BYTES = 512
_MB = 1_000_000


def examine_limits(site: Site) -> Iterator[Result]:
    """Open files, processes, control group and memory, against what we would use."""
    account = find_account(site.user) if site.user else None
    uid = account.uid if account else os.getuid()
    pids = [status.pid for status in read_statuses(site.run_dir) if is_alive(status.pid)]
    yield judge_open_files(open_files_limit(), site.need_files)
    for worker in pids:
        yield judge_files_in_use(open_files_of(worker), worker)
    # A running server has limits of its own, which need not be ours.
    pid = pids[0] if pids else None
    wanted = 0 if pids else (site.workers + 1) * THREADS_PER_PROCESS
    there = population(uid)
    yield judge_room("limits.processes", process_limit(uid, pid=pid, there=there), wanted)
    yield judge_defunct(there)
    member_of = Path("/proc/self/cgroup" if pid is None else f"/proc/{pid}/cgroup")
    for limit in cgroup_limits(membership=member_of):
        if limit.name == "memory":
            yield judge_memory_limit(limit)
        else:
            yield judge_room("limits.tasks", limit, wanted)
    yield judge_memory(available_memory_bytes())


def judge_open_files(limit: Limit, need: int) -> Result:
    """Whether one worker gets the descriptors it may want."""
    check = "limits.open-files"
    if limit.limit is None or limit.limit >= need:
        return ok(check, f"{_shown(limit.limit)} open files a process, {need} wanted at most")
    return warning(
        check,
        f"only {limit.limit} open files a process; {need} are wanted when all is busy",
        f"raise {limit.source} (or 'ulimit -Hn') to {need}, or lower [limits] connections",
    )


def judge_files_in_use(limit: Limit, pid: int) -> Result:
    """How near one worker is to its limit of open files."""
    check = "limits.open-files"
    if limit.used is None or limit.limit is None:
        return couldnt_tell(check, f"how many files worker {pid} has open is not told")
    told = f"worker {pid} has {limit.used} of {limit.limit} files open"
    if limit.used >= NEARLY * limit.limit:
        fix = f"raise {limit.source}, or lower [limits] connections and [delivery] slots"
        return warning(check, told, fix)
    return ok(check, told)


def judge_defunct(there: Population) -> Result:
    """Whether somebody leaves dead children about: they count until they are reaped."""
    check, count = "limits.defunct", there.defunct_in_all
    if there.tasks is None:
        return couldnt_tell(check, "the system does not tell who runs")
    if count < MANY_DEFUNCT:
        return ok(check, f"{count} defunct processes of our user")
    parents = ", ".join(f"{number} by {name}" for name, number in there.defunct.items())
    name = next(iter(there.defunct))
    return warning(
        check,
        f"{count} defunct processes of our user count against its limit: {parents}",
        f"restart {name}, which does not reap its children",
    )


def judge_room(check: str, limit: Limit, wanted: int) -> Result:
    """Whether so many more processes and threads can be started."""
    if limit.limit is None:
        return ok(check, f"no limit on {limit.name}")
    if limit.used is None:
        return couldnt_tell(check, f"{limit.limit} {limit.name} allowed; how many run is not told")
    told = f"{limit.used} of {limit.limit} {limit.name}"
    room = limit.limit - limit.used
    fix = f"raise {limit.source}, or end what fills it"
    if room < max(wanted // 4, LEAST_ROOM):
        return problem(check, f"{told}: no room to start anything", fix)
    if limit.used >= NEARLY * limit.limit:
        return warning(check, f"{told}: {room} left", fix)
    if room < wanted:
        return warning(check, f"{told}: {room} left, {wanted} wanted", fix)
    return ok(check, told)


def judge_memory_limit(limit: Limit) -> Result:
    """How near the control group is to the size at which it is killed."""
    check = "limits.memory"
    if limit.limit is None:
        return ok(check, "no limit on memory")
    if limit.used is None:
        return couldnt_tell(check, f"{limit.limit // _MB} MB allowed; how much is used is not told")
    told = f"{limit.used // _MB} of {limit.limit // _MB} MB"
    if limit.used > 0.9 * limit.limit:  # what files take of it can be had back
        return warning(check, f"{told} of memory are used", f"raise {limit.source}")
    return ok(check, f"{told} of memory")


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that can still be had without swapping; None where the system does not tell."""
    try:
        for line in meminfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def judge_memory(available: int | None) -> Result:
    """Whether the machine has memory left."""
    check = "memory.available"
    if available is None:
        return couldnt_tell(check, "the system does not tell how much memory is left")
    if available < LEAST_MEMORY_BYTES:
        return warning(check, f"only {available // _MB} MB of memory left", "end what takes it")
    return ok(check, f"{available // _MB} MB of memory left")


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk under a folder."""

    free_bytes: int
    free_inodes: int | None
    is_read_only: bool


def read_disk(folder: Path) -> Disk:
    """The disk under ``folder``, as an ordinary user may use it; raises OSError."""
    stat = os.statvfs(folder)
    inodes = stat.f_favail if stat.f_files else None  # btrfs counts none
    return Disk(stat.f_bavail * stat.f_frsize, inodes, bool(stat.f_flag & os.ST_RDONLY))


def examine_disk(site: Site) -> Iterator[Result]:
    """Room and permission to write where the data is, or will be."""
    folder = site.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        disk = read_disk(folder)
    except OSError as error:
        yield couldnt_tell("disk.space", f"{folder}: {error.strerror}")
        return
    yield judge_space(disk, site.need_bytes, folder)
    yield judge_writable(
        site.data_dir, is_read_only=disk.is_read_only, may_write=os.access(folder, os.W_OK)
    )


def judge_space(disk: Disk, need_bytes: int, folder: Path) -> Result:
    """Whether mail is accepted with so much room, and whether it stays so."""
    check = "disk.space"
    told = f"{disk.free_bytes // _MB} MB free at {folder}"
    fix = "make room, or lower [limits] max_message_bytes and [spool] reserve_bytes"
    if disk.free_bytes < need_bytes:
        return problem(
            check, f"{told}: below {need_bytes // _MB} MB no mail is accepted (452)", fix
        )
    if disk.free_inodes is not None and disk.free_inodes < LEAST_INODES:
        return warning(check, f"{told}, but only {disk.free_inodes} more files", "remove files")
    if disk.free_bytes < 2 * need_bytes:
        return warning(check, f"{told}: at {need_bytes // _MB} MB accepting stops", fix)
    return ok(check, told)


def judge_writable(data_dir: Path, *, is_read_only: bool, may_write: bool) -> Result:
    """Whether anything can be written at all."""
    check = "disk.writable"
    if is_read_only:
        return problem(
            check, f"{data_dir} is on a disk mounted read-only", "look in dmesg why, then remount"
        )
    if not may_write:
        return problem(check, f"we may not write to {data_dir}", f"chown -R USER {data_dir}")
    return ok(check, f"{data_dir} can be written")


def examine_clock(now: Instant) -> Iterator[Result]:
    """Whether the clock can be right, and whether something keeps it right."""
    year = datetime.fromtimestamp(now, UTC).year
    if year < FIRST_YEAR:
        yield problem(
            "clock.date", f"the clock says it is the year {year}", "set it: timedatectl set-ntp yes"
        )
    else:
        yield ok("clock.date", f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC")
    yield judge_synchronised(kernel_clock_state())


def kernel_clock_state() -> int | None:
    """What adjtimex(2) says of the clock; 5 is "not in step"; None when it does not say."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        return None
    # struct timex, zeroed: modes 0 reads and changes nothing.
    state = int(libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    return None if state < 0 else state


def judge_synchronised(state: int | None) -> Result:
    """Whether the kernel's clock is kept in step by NTP."""
    check = "clock.synchronised"
    if state is None:
        return couldnt_tell(check, "the system does not tell whether the clock is kept in step")
    if state == _TIME_ERROR:
        return warning(
            check,
            "nothing keeps this machine's clock in step",
            "run systemd-timesyncd, chrony or ntpd; in a virtual machine the host may do it",
        )
    return ok(check, "the clock is kept in step")


def _shown(limit: int | None) -> str:
    return "any number of" if limit is None else str(limit)
