"""Mail that lies in another file: of a worker that is no longer configured, or of a damaged spool.

Adopting copies rows that are not here yet and then removes the other file, so a crash at any moment
leaves the mail in one place or in both, and taking it over again changes nothing.
"""

import sqlite3
import time
from pathlib import Path

import msgspec
import structlog

from postern.spool.body import BodyFolder, sync_folder
from postern.spool.store.file import SpoolFile

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
    numbers = [int(path.stem) for path in folder.glob("*.db") if path.stem.isdigit()]
    return sorted(number for number in numbers if number >= workers)


def adopt(spool: SpoolFile, folder: Path, worker: int) -> int:
    """Take over everything worker ``worker`` left; returns how many messages came."""
    path = database_path(folder, worker)
    bodies = BodyFolder(bodies_path(folder, worker))
    other = SpoolFile(path, bodies)
    try:
        for number in other.ids():
            if other.has_file_body(number) and bodies.path_of(number).exists():
                bodies.path_of(number).rename(spool.bodies.path_of(number))
    finally:
        other.close()
    sync_folder(spool.bodies.folder)
    came = spool.take_rows_of(path)
    for suffix in ("", *SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    log.info("spool.adopted", worker=worker, messages=came)
    return came


def open_or_salvage(path: Path, bodies: BodyFolder, corrupt: Path) -> SpoolFile:
    """The worker's spool file; a damaged one is set aside and what it still tells is saved."""
    try:
        spool = SpoolFile(path, bodies)
        spool.probe()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        log.exception("spool.damaged", file=str(path), text="set aside, saving what can be read")
        return _salvage(path, bodies, corrupt)
    return spool


def _salvage(path: Path, bodies: BodyFolder, corrupt: Path) -> SpoolFile:
    corrupt.mkdir(parents=True, exist_ok=True)
    aside = corrupt / f"{path.stem}-{time.monotonic_ns():x}.db"
    for suffix in ("", *SIDE_FILES):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    spool = SpoolFile(path, bodies)
    try:
        saved, lost = spool.save_rows_of(aside)
    except sqlite3.DatabaseError as error:
        log.error("spool.salvage_failed", file=str(aside), error=str(error))  # noqa: TRY400 - the cause is one line
    else:
        log.error("spool.salvaged", file=str(aside), saved=saved, unreadable=lost)
    return spool


def set_aside(spool: SpoolFile, number: int, corrupt: Path, reason: str) -> None:
    """Move one unreadable message out of the way, whole, where a person can look at it."""
    corrupt.mkdir(parents=True, exist_ok=True)
    message, deliveries = spool.raw(number)
    body = message.pop() if message else None
    (corrupt / f"{number:010x}.msgpack").write_bytes(
        msgspec.msgpack.encode({"reason": reason, "message": message, "deliveries": deliveries})
    )
    if isinstance(body, bytes):
        (corrupt / f"{number:010x}.eml").write_bytes(body)
    elif spool.bodies.path_of(number).exists():
        spool.bodies.path_of(number).rename(corrupt / f"{number:010x}.eml")
    sync_folder(corrupt)
    with spool.transaction():
        spool.forget([number])
    log.error("spool.message_set_aside", message=f"{number:010x}", reason=reason)
