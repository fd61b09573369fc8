"""Mail that lies in another file: of a worker that is no longer configured, or of a damaged spool.

Adopting copies rows that are not here yet and then removes the other file, so a crash at any moment
leaves the mail in one place or in both, and taking it over again changes nothing. Large bodies are
linked, not moved: until the other file is gone its rows have theirs, too.
"""

import shutil
import time
from pathlib import Path

import msgspec
import structlog

from postern.runtime.durable import fsync_directory, make_directory, write_file
from postern.spool.body import BodyFolder
from postern.spool.store.file import SpoolFile
from postern.spool.store.trouble import NewerSpoolError, Trouble, trouble_of

log = structlog.get_logger("postern.spool")

SIDE_FILES = ("-wal", "-shm")


def database_path(folder: Path, worker: int) -> Path:
    """The spool file of one worker."""
    return folder / f"{worker}.db"


def bodies_path(folder: Path, worker: int) -> Path:
    """The folder of one worker's large bodies."""
    return folder / f"{worker}"


def orphans(folder: Path, workers: int) -> list[int]:
    """Numbers of spool files that no configured worker owns."""
    numbers = [int(path.stem) for path in folder.glob("*.db") if path.stem.isdecimal()]
    return sorted(number for number in numbers if number >= workers)


def adopt_all(spool: SpoolFile, folder: Path, workers: int, worker: int, corrupt: Path) -> None:
    """Take over every orphan that falls to ``worker``; one that can't be read holds up nobody."""
    for number in orphans(folder, workers):
        if number % workers != worker:
            continue
        try:
            adopt(spool, folder, number, corrupt)
        except NewerSpoolError as error:
            log.error("spool.not_adopted", worker=number, error=str(error))  # noqa: TRY400 - the text is the cause
        except Exception:
            log.exception("spool.not_adopted", worker=number, text="tried again at the next start")


def adopt(spool: SpoolFile, folder: Path, worker: int, corrupt: Path) -> int:
    """Take over everything worker ``worker`` left; returns how many messages came."""
    path = database_path(folder, worker)
    bodies = BodyFolder(bodies_path(folder, worker))
    other = open_or_salvage(path, bodies, corrupt)
    try:
        for number in other.ids():
            if other.has_file_body(number):
                _link(bodies.path_of(number), spool.bodies.path_of(number))
    finally:
        other.close()
    fsync_directory(spool.bodies.folder)
    came = spool.take_rows_of(path)
    for left in _with_side_files(path):
        left.unlink(missing_ok=True)
    # Durable before anything is delivered: the old file must not come back after a power cut.
    fsync_directory(folder)
    shutil.rmtree(bodies.folder, ignore_errors=True)
    log.info("spool.adopted", worker=worker, messages=came)
    return came


def _link(source: Path, target: Path) -> None:
    """Give a body its second name; without a source the row tells of the damage when it is read."""
    if source.exists() and not target.exists():
        target.hardlink_to(source)


def open_or_salvage(path: Path, bodies: BodyFolder, corrupt: Path) -> SpoolFile:
    """The worker's spool file; a damaged one is set aside and what it still tells is saved.

    Raises:
        NewerSpoolError: a newer Postern wrote it.
        Exception: the disk can't be read or written; nothing was changed.
    """
    if not path.exists() and mending_path(path).exists():
        _put_in_place(path, corrupt)
    spool: SpoolFile | None = None
    try:
        spool = SpoolFile(path, bodies)
        spool.probe()
    except Exception as error:
        if spool is not None:
            spool.close()
        if trouble_of(error) is not Trouble.DAMAGE:
            raise
        return salvage(path, bodies, corrupt)
    return spool


def mending_path(path: Path) -> Path:
    """Where the replacement of a damaged file is built."""
    return path.with_suffix(".mending")


def salvage(path: Path, bodies: BodyFolder, corrupt: Path) -> SpoolFile:
    """Set a damaged file aside, whole, and go on with what can be read of it.

    Its connection must be closed. The new file is complete before the old one is moved, so a crash
    at any moment leaves one or the other to start from.
    """
    log.error("spool.damaged", file=str(path), text="set aside, saving what can be read")
    new = mending_path(path)
    for leftover in _with_side_files(new):
        leftover.unlink(missing_ok=True)
    spool = SpoolFile(new, bodies)
    try:
        saved, lost = spool.save_rows_of(path)
    except Exception as error:
        if trouble_of(error) is not Trouble.DAMAGE:
            raise
        log.error("spool.salvage_failed", file=str(path), error=str(error))  # noqa: TRY400 - the cause is one line
    else:
        log.error("spool.salvaged", file=str(path), saved=saved, unreadable=lost)
    finally:
        spool.close()
    _put_in_place(path, corrupt)
    return SpoolFile(path, bodies)


def _put_in_place(path: Path, corrupt: Path) -> None:
    make_directory(corrupt, 0o700)
    aside = corrupt / f"{path.stem}-{time.time_ns():x}.db"
    for old, kept in zip(_with_side_files(path), _with_side_files(aside), strict=True):
        if old.exists():
            shutil.move(old, kept)
    mending_path(path).rename(path)
    fsync_directory(path.parent)


def _with_side_files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", *SIDE_FILES)]


def set_aside(spool: SpoolFile, number: int, corrupt: Path, reason: str) -> None:
    """Move one unreadable message out of the way, whole, where a person can look at it."""
    make_directory(corrupt, 0o700)
    message, deliveries = spool.raw(number)
    body = message.pop() if message else None
    what = {"reason": reason, "message": message, "deliveries": deliveries}
    write_file(corrupt / f"{number:010x}.msgpack", msgspec.msgpack.encode(what))
    aside = corrupt / f"{number:010x}.eml"
    source = spool.bodies.path_of(number)
    if isinstance(body, bytes):
        write_file(aside, body)
    elif source.exists():
        shutil.copyfile(source, aside)
        fsync_directory(corrupt)
    with spool.transaction():
        spool.forget([number])
    source.unlink(missing_ok=True)
    log.error("spool.message_set_aside", message=f"{number:010x}", reason=reason)
