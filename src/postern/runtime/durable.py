"""Small files and folders that survive a power cut.

A rename is atomic but not durable: without fsync of the new file, the name may come back after a
crash with nothing behind it; without fsync of the folder, the old name may come back instead.
"""

import contextlib
import errno
import os
from pathlib import Path


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


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
