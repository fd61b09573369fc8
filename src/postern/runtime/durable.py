"""Small files that survive a power cut, and the lock that keeps two servers off one data folder.

A rename is atomic but not durable: without fsync of the new file, the name may come back after a
crash with nothing behind it; without fsync of the folder, the old name may come back instead.
"""

import contextlib
import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

MAX_OWNER_BYTES = 64


def fsync_directory(folder: Path) -> None:
    """Make names added to or removed from ``folder`` survive a power cut.

    Raises:
        OSError: the folder is not there or the disk fails.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(folder: Path, mode: int = 0o750) -> None:
    """Make ``folder`` and what is missing above it, durably; one that exists is left as it is.

    Raises:
        OSError: a file is in the way, or the disk fails.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_directory(folder.parent, mode)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    fsync_directory(folder.parent)


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put ``data`` at ``path``: afterwards the file is whole, and before it is the old one.

    A reader sees the old content or the new, never a part. On an error the old file stays and
    nothing is left beside it.

    Raises:
        OSError: no space, no permission, disk failure.
    """
    # The process id keeps two writers apart; whoever renames last wins, as with any plain write.
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        try:
            os.fchmod(handle, mode)
            _write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def remove_file(path: Path) -> bool:
    """Remove ``path`` durably; False when it was not there.

    Raises:
        OSError: no permission, disk failure.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    fsync_directory(path.parent)
    return True


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


@dataclass(frozen=True, slots=True)
class LockedBy:
    """Somebody else holds the lock. ``owner`` is what they wrote in it, a process id or empty."""

    path: Path
    owner: str


class FileLock:
    """An advisory lock (flock) on a file, held until released or until its last holder is gone.

    Forked children hold it too: after the parent was killed the lock stays while a child still
    works on the data, which is what it is for. The file itself stays; removing it would let a
    third process lock a new file of the same name.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle: int | None = handle

    @classmethod
    def take(cls, path: Path, owner: str = "") -> "FileLock | LockedBy":
        """Take the lock at once, or say who has it; never waits.

        Args:
            path: the lock file, made when missing.
            owner: a short word for the next one who asks; this process's id when empty.

        Raises:
            OSError: the file cannot be made or the file system has no locks.
        """
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            written = os.pread(handle, MAX_OWNER_BYTES, 0).decode("ascii", "replace").strip()
            os.close(handle)
            return LockedBy(path, written)
        except BaseException:
            os.close(handle)
            raise
        os.ftruncate(handle, 0)
        os.pwrite(handle, (owner or str(os.getpid())).encode()[: MAX_OWNER_BYTES - 1] + b"\n", 0)
        return cls(path, handle)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
