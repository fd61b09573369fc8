"""The doctor looks at the data and at who serves it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from postern.diagnosis.doctor_results import Result, Site, couldnt_tell, ok, problem, warning
from postern.runtime.clock import Instant
from postern.runtime.folders import closed_on_the_way
from postern.runtime.lock import holder, is_served
from postern.runtime.processes import WorkerStatus, read_statuses, stale_workers

BALLAST = Path("spool") / "ballast"
SPOOL = Path("spool")
CORRUPT = Path("corrupt")


def examine_workers(site: Site, now: Instant) -> Iterator[Result]:
    """Whether the server runs, and every worker of it."""
    if not is_served(site.data_dir):
        yield warning("server.running", "the server is not running", "postern serve")
        return
    pid = holder(site.data_dir)
    statuses = read_statuses(site.run_dir)
    yield ok("server.running", f"the server runs (pid {pid})")
    yield from judge_workers(statuses, site.workers, now)


def judge_workers(statuses: list[WorkerStatus], workers: int, now: Instant) -> Iterator[Result]:
    """One result for the workers that report, one for each that does not or cannot write."""
    stale = dict(stale_workers(statuses, workers, now))
    for number, age_s in stale.items():
        last = "has never reported" if age_s is None else f"last reported {age_s:.0f} s ago"
        yield problem(
            "server.workers",
            f"worker {number} {last}",
            "look in the log why it hangs or crashes; a restart loses no mail",
        )
    for status in statuses:
        if status.number not in stale and not status.spool_writable:
            yield problem(
                "spool.writable",
                f"worker {status.number} cannot write its spool: {status.reason}",
                "make room or mend the disk; mail is refused for now, none is lost",
            )
    if not stale:
        yield ok("server.workers", f"{workers} of {workers} workers report")


def examine_user(site: Site) -> Iterator[Result]:
    """Whether root is given up."""
    if site.user:
        yield ok("user.set", f"the server becomes {site.user} after binding")
    elif os.geteuid() == 0:
        yield warning(
            "user.set",
            "the server stays root: a hole in it would be a hole in the machine",
            'useradd --system postern, then user = "postern" in postern.toml',
        )
    else:
        yield ok("user.set", "the server does not run as root")


def examine_data(site: Site) -> Iterator[Result]:
    """What was set aside, what nobody owns, what is missing."""
    yield judge_corrupt(site.data_dir / CORRUPT)
    yield from judge_orphans(site.data_dir / SPOOL, site.workers)
    ballast = site.data_dir / BALLAST
    if site.has_ballast and is_served(site.data_dir):
        if ballast.exists():
            yield ok("spool.ballast", f"{ballast} is there for a full disk")
        else:
            yield warning(
                "spool.ballast",
                f"{ballast} is not there: the queue could not drain on a full disk",
                "make room on the disk; it is laid again within a minute",
            )
    for door in site.doors:
        if door.path is not None:
            yield judge_way(door.path)
    for secret in site.secrets:
        yield from judge_secret(secret)


def judge_way(socket: Path) -> Result:
    """Whether programs of other users can reach the socket that mail is handed in through."""
    check = "socket.reachable"
    try:
        closed = closed_on_the_way(socket)
    except FileNotFoundError:
        return ok(check, f"{socket} is made when the server starts")
    except OSError as error:
        return couldnt_tell(check, f"{socket}: {error.strerror}", "run doctor as root")
    if closed is None:
        return ok(check, f"every user can reach {socket}")
    return warning(
        check,
        f"only its owner can pass through {closed}: sendmail of other users cannot reach {socket}",
        f"chmod o+x {closed}",
    )


def judge_corrupt(folder: Path) -> Result:
    """Whether something damaged waits for a person."""
    check = "data.corrupt"
    try:
        found = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        found = []
    except OSError as error:
        return warning(check, f"{folder}: {error.strerror}", "run doctor as root")
    if not found:
        return ok(check, "nothing was set aside as damaged")
    return problem(
        check,
        f"{len(found)} damaged files were set aside in {folder}: {', '.join(found[:3])}"
        f"{' …' if len(found) > 3 else ''}",
        "look at them, save what is wanted, then remove them; check the disk (smartctl, dmesg)",
    )


def judge_orphans(spool: Path, workers: int) -> Iterator[Result]:
    """Spools of workers that are no longer configured; a start adopts them."""
    check = "spool.adopted"
    try:
        numbers = sorted(int(p.stem) for p in spool.glob("*.db") if p.stem.isdigit())
    except OSError:
        return
    orphans = [number for number in numbers if number >= workers]
    if orphans:
        names = ", ".join(f"{number}.db" for number in orphans)
        yield warning(
            check,
            f"mail of workers that are no longer configured waits in {spool}: {names}",
            "restart the server: it takes them over",
        )
    elif numbers:
        yield ok(check, "every spool has its worker")


def judge_secret(path: Path) -> Iterator[Result]:
    """Whether others can read a password or a private key."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield problem("secrets.readable", f"{path}: {error.strerror}", "correct the path")
        return
    if mode & stat.S_IROTH:
        yield warning("secrets.readable", f"everybody can read {path}", f"chmod o-rwx {path}")
