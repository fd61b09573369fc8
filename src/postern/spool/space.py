"""The disk: when to stop accepting, and the ballast that lets the queue drain when it is full."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import structlog

from postern.runtime.clock import Clock

log = structlog.get_logger("postern.spool")

CHECK_S = 1.0
BALLAST_NAME = "ballast"


class Space:
    """Free space on the spool's disk, looked at once a second at most."""

    def __init__(self, folder: Path, reserve_bytes: int, clock: Clock) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._checked_at = -CHECK_S
        self.free_bytes = 0

    def may_accept(self) -> bool:
        """False while accepting one more message could fill the disk."""
        now = self._clock.monotonic()
        if now - self._checked_at >= CHECK_S:
            self._checked_at = now
            try:
                self.free_bytes = shutil.disk_usage(self._folder).free
            except OSError as error:
                # A disk that can't be asked can't be trusted with new mail either.
                log.warning("spool.disk_unreadable", error=str(error))
                self.free_bytes = 0
        return self.free_bytes >= self._reserve_bytes


class Ballast:
    """A file that only takes room, to be given up when the disk is full.

    An outcome needs a few kilobytes of write-ahead log even to delete; the ballast is that room.
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.path = folder / BALLAST_NAME
        self._size_bytes = size_bytes

    @property
    def is_there(self) -> bool:
        """True while the room is still held."""
        return self.path.exists()

    def lay(self, reserve_bytes: int) -> None:
        """Take the room, if ``reserve_bytes`` stay free beside it and it is not taken yet."""
        part = self.path.with_suffix(".part")
        try:
            free_bytes = shutil.disk_usage(self.path.parent).free
            if self.is_there or free_bytes < reserve_bytes + self._size_bytes:
                return
            with part.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
            part.rename(self.path)
        except OSError as error:
            log.warning("spool.no_ballast", error=str(error))
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def drop(self) -> bool:
        """Give the room up; True when there was some."""
        try:
            self.path.unlink()
        except OSError:
            return False
        log.error("spool.ballast_dropped", text="the disk is full: mail goes out, none comes in")
        return True
