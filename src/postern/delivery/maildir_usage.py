"""How much a Maildir holds, by its ``maildirsize``: the Maildir++ quota that Dovecot reads as well.

Source: Maildir++, "Maildir quota definitions", http://www.inter7.com/courierimap/README.maildirquota.html.
The file's first line is the limit, each further one a number of octets and of messages to add.
Whoever delivers appends a line after the message is there; whoever removes appends a negative one.
What is missing after a crash, or after somebody removed files by hand, is found when the mailbox
seems full, or when the file has grown to 5,120 octets: then all messages are counted anew.

All calls block; they belong in a thread. Folders are opened one below the other without following
symbolic links, as in ``maildir_store``.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from postern.runtime.clock import Clock

FILE_NAME = "maildirsize"
MAX_FILE_BYTES = 5_120
"""A longer file is counted anew, says the specification."""
OLD_S = 15 * 60.0
"""A full mailbox is believed no longer than that; the specification's own figure."""

_SIZE_IN_NAME = re.compile(r",S=([0-9]{1,15})(?:[,:]|$)")
_LINE = re.compile(rb" *(-?[0-9]{1,18}) +(-?[0-9]{1,18}) *")
_LIMITS = re.compile(rb"[0-9]{1,19}[SC](?:,[0-9]{1,19}[SC])*")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: whoever may write into the Maildir may put a FIFO there, and opening one waits for its
# other end, for ever.
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ = os.O_RDONLY | _SAFELY
_APPEND = os.O_WRONLY | os.O_APPEND | _SAFELY
# Not O_EXCL: what a crash left behind has the name that the next process of that number chooses.
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _SAFELY

_temporary = count(1)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What ``maildirsize`` says; ``written_at`` is when somebody last wrote to it."""

    limits: bytes
    used_bytes: int
    lines: int
    written_at: float


def note_delivered(maildir: int, size_bytes: int) -> None:
    """Add a message that is there to the account, where there is one.

    Not synced, and nothing is said when it fails: the message is delivered, and the next count
    finds it.

    Args:
        maildir: descriptor of the Maildir itself, not of a folder in it.
        size_bytes: of the message, as its file's name says.
    """
    with suppress(OSError):
        handle = os.open(FILE_NAME, _APPEND, dir_fd=maildir)
        try:
            _write(handle, b"%d 1\n" % size_bytes)
        finally:
            os.close(handle)


class MaildirUsage:
    """Measures the mailboxes below one folder. Safe to use from several threads."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock

    def used_bytes(self, home: tuple[str, str], quota_bytes: int, more_bytes: int) -> int:
        """What the mailbox holds; no old account is believed where so much more would not fit.

        Counts all messages where there is no account of them yet, and writes it down.

        Raises:
            OSError: it can't be read, or a link is in the way.
        """
        limits = b"%dS" % quota_bytes
        return self._used(home, limits, lambda used: used + more_bytes <= quota_bytes)

    def used_by_domain(self, domain: str, quota_bytes: int, more_bytes: int) -> int:
        """What all mailboxes of a domain hold, those removed and still on disk among them.

        Raises:
            OSError: one of them can't be read.
        """
        with ExitStack() as folders:
            parent = self._open_parent(folders, domain)
            names = [] if parent is None else _names_in(parent)
        used = sum(self._used((domain, name), b"", lambda _: True) for name in names)
        if used + more_bytes > quota_bytes:
            used = sum(self._used((domain, name), b"", lambda _: False) for name in names)
        return used

    def _used(self, home: tuple[str, str], limits: bytes, is_enough: Callable[[int], bool]) -> int:
        """What is recorded where that ``is_enough`` or surely so; else what was counted anew."""
        with ExitStack() as folders:
            maildir = self._open(folders, home)
            if maildir is None:
                return 0
            recorded = read_recorded(maildir)
            if recorded is None:
                return _count_anew(maildir, limits or b"0S")
            if is_enough(recorded.used_bytes) or not self._may_be_wrong(maildir, recorded):
                return recorded.used_bytes
            return _count_anew(maildir, limits or recorded.limits)

    def look(self, home: tuple[str, str], *, count_all: bool) -> int | None:
        """What the mailbox holds, for whoever only looks: nothing is written.

        Args:
            home: the mailbox.
            count_all: count its messages where there is no account of them; else None is told.

        Raises:
            OSError: it can't be read.
        """
        with ExitStack() as folders:
            maildir = self._open(folders, home)
            if maildir is None:
                return 0
            recorded = read_recorded(maildir)
            if recorded is not None:
                return recorded.used_bytes
            return _counted(maildir)[0] if count_all else None

    def _may_be_wrong(self, maildir: int, recorded: Recorded) -> bool:
        """True when messages came or went that the account may not tell of."""
        if recorded.lines > 1 and self._clock.now() - recorded.written_at > OLD_S:
            return True
        return any(
            os.fstat(place).st_mtime >= recorded.written_at for place in _message_folders(maildir)
        )

    def _open(self, folders: ExitStack, home: tuple[str, str]) -> int | None:
        domain, local = home
        parent = self._open_parent(folders, domain)
        for name in (local, "Maildir"):
            parent = None if parent is None else _open_in(folders, parent, name)
        return parent

    def _open_parent(self, folders: ExitStack, domain: str) -> int | None:
        try:
            root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        folders.callback(os.close, root)
        return _open_in(folders, root, domain)


def read_recorded(maildir: int) -> Recorded | None:
    """What ``maildirsize`` says; None where there is none, or none that could be trusted."""
    try:
        handle = os.open(FILE_NAME, _READ, dir_fd=maildir)
    except FileNotFoundError:
        return None
    try:
        if not _is_file(handle):
            return None
        data = os.read(handle, MAX_FILE_BYTES + 1)
        written_at = os.fstat(handle).st_mtime
    finally:
        os.close(handle)
    limits, *lines = data.split(b"\n")
    if len(data) > MAX_FILE_BYTES or not data.endswith(b"\n") or not _LIMITS.fullmatch(limits):
        return None
    used = 0
    for line in lines[:-1]:
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        used += int(found[1])
    # Two programs that note the same removal leave less than nothing: count.
    return None if used < 0 else Recorded(limits, used, len(lines) - 1, written_at)


def _is_file(handle: int) -> bool:
    """Whether it is a plain file: no FIFO, device or folder."""
    return stat.S_ISREG(os.fstat(handle).st_mode)


def _write(handle: int, data: bytes) -> None:
    """Write to a plain file.

    Raises:
        OSError: the disk says no, or it is something else.
    """
    if not _is_file(handle):
        raise OSError(errno.EINVAL, "not a file")
    os.write(handle, data)


def _open_in(folders: ExitStack, parent: int, name: str) -> int | None:
    try:
        handle = os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        return None
    folders.callback(os.close, handle)
    return handle


def _names_in(folder: int) -> list[str]:
    """Folders in a folder; links are none."""
    with os.scandir(folder) as entries:
        return sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))


def _message_folders(maildir: int) -> Iterator[int]:
    """Descriptors of ``new`` and ``cur`` of the inbox and of every folder, each open for a turn."""
    for folder in ["", *(name for name in _names_in(maildir) if name.startswith("."))]:
        for name in ("new", "cur"):
            with suppress(FileNotFoundError, NotADirectoryError), ExitStack() as folders:
                parent = maildir
                if folder:
                    parent = os.open(folder, _FOLDER, dir_fd=maildir)
                    folders.callback(os.close, parent)
                place = os.open(name, _FOLDER, dir_fd=parent)
                folders.callback(os.close, place)
                yield place


def _counted(maildir: int) -> tuple[int, int]:
    """Octets and number of all messages in all folders."""
    octets = messages = 0
    for place in _message_folders(maildir):
        with os.scandir(place) as entries:
            for entry in entries:
                octets += _size_of(entry)
                messages += 1
    return octets, messages


def _size_of(entry: os.DirEntry[str]) -> int:
    found = _SIZE_IN_NAME.search(entry.name)
    if found is not None:
        return int(found[1])
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # read, moved or removed by its owner this very moment
        return 0


def _count_anew(maildir: int, limits: bytes) -> int:
    """Count all messages, and begin the account with them."""
    octets, messages = _counted(maildir)
    name = f"{FILE_NAME}.{os.getpid()}.{next(_temporary)}"
    handle = os.open(name, _CREATE, 0o600, dir_fd=maildir)
    try:
        _write(handle, b"%b\n%d %d\n" % (limits, octets, messages))
        os.rename(name, FILE_NAME, src_dir_fd=maildir, dst_dir_fd=maildir)
    except OSError:
        with suppress(OSError):
            os.unlink(name, dir_fd=maildir)
        raise
    finally:
        os.close(handle)
    return octets
