"""What went wrong with the spool's file, in the words its users act on."""

import errno
import sqlite3
from enum import Enum

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_CODES = frozenset({sqlite3.SQLITE_FULL})
_SHM_SIZE = 4874
"""SQLITE_IOERR_SHMSIZE: the shared index beside the file can't grow; a full disk says it so."""
_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Trouble(Enum):
    """What to do about an error."""

    FULL = "full"  # no room: give up the ballast, take no mail, try again
    DISK = "disk"  # read-only, locked, failing: take no mail, try again
    DAMAGE = "damage"  # the file is not what we wrote: set it aside, save what can be read
    BUG = "bug"  # it will not work the next time either


class SpoolUnavailableError(Exception):
    """Outcomes wait for the disk, so what is on it is not how deliveries stand: ask again later."""


class NewerSpoolError(Exception):
    """The file was written by a newer Postern; it is left exactly as it is."""


def trouble_of(error: Exception) -> Trouble:
    """What kind of trouble an error of the disk or the database is."""
    if isinstance(error, OSError):
        return Trouble.FULL if error.errno in _FULL_ERRNOS else Trouble.DISK
    if not isinstance(error, sqlite3.Error):
        return Trouble.BUG
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        if code & 0xFF in _FULL_CODES or code == _SHM_SIZE:
            return Trouble.FULL
        if code & 0xFF in _DAMAGE_CODES:
            return Trouble.DAMAGE
    # ProgrammingError: "closed database", while a damaged file is being replaced.
    is_disk = isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError)
    return Trouble.DISK if is_disk else Trouble.BUG
