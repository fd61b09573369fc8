"""A Maildir++ on disk: names, folders, and a message that is either wholly there or not at all.

Everything goes through descriptors of folders opened one below the other without following
symbolic links, so no name inside the store can lead out of it. All calls block; they belong in a
thread.

On disk lines end in LF, as Postfix and Dovecot keep them; Dovecot gives CR LF back to its clients,
and DKIM signatures, which are made over CR LF, verify again.
"""

import os
import re
from collections import OrderedDict
from contextlib import ExitStack, suppress
from enum import Enum
from itertools import count
from pathlib import Path

from postern.delivery.maildir_usage import note_delivered
from postern.runtime.clock import Clock, Instant
from postern.runtime.durable import make_directory

STALE_S = 36 * 3600.0
"""Age after which a file in tmp belongs to a delivery that died (the Maildir specification)."""
SWEEP_EVERY_S = 24 * 3600.0
MAX_SWEPT = 1000
MAX_REMEMBERED = 10_000

_PART = re.compile(r"[^/\0]{1,255}")
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DRAFT = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder(Enum):
    """Where in the mailbox a message goes; the values are Maildir++ folder names."""

    INBOX = ""
    JUNK = ".Junk"


def parse_home(home: str) -> tuple[str, str] | None:
    """Domain and local part of ``<domain>/<localpart>``, or None where it could lead elsewhere."""
    parts = home.split("/")
    if len(parts) != 2 or any(p in {".", ".."} or not _PART.fullmatch(p) for p in parts):
        return None
    return parts[0], parts[1]


class Draft:
    """A message being written to ``tmp``; ``keep`` moves it to ``new``, ``close`` ends it.

    Lines lose their CR as they are written, wherever the pieces were cut.
    """

    def __init__(self, folders: ExitStack, maildir: int, tmp: int, new: int, name: str) -> None:
        self._maildir = maildir
        self._tmp = tmp
        self._new = new
        self._name = name
        self._file = os.open(name, _OPEN_DRAFT, 0o600, dir_fd=tmp)
        folders.callback(os.close, self._file)
        self._folders = folders.pop_all()  # from here on they are this message's to close
        self._held = b""
        self._size = 0
        self._is_kept = False

    def write(self, chunk: bytes) -> None:
        """Add a piece.

        Raises:
            OSError: no space, disk failure.
        """
        chunk = self._held + chunk
        self._held = b"\r" if chunk.endswith(b"\r") else b""
        if self._held:
            chunk = chunk[:-1]
        self._write_all(chunk.replace(b"\r\n", b"\n"))

    def keep(self) -> str:
        """Make it durable and visible; its name in ``new``.

        Raises:
            OSError: no space, disk failure.
        """
        self._write_all(self._held)
        self._held = b""
        os.fsync(self._file)
        name = f"{self._name},S={self._size}"
        os.rename(self._name, name, src_dir_fd=self._tmp, dst_dir_fd=self._new)
        self._is_kept = True
        os.fsync(self._new)
        note_delivered(self._maildir, self._size)
        return name

    def close(self) -> None:
        """Close what is open, and remove the message unless it was kept."""
        if not self._is_kept:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._tmp)
        self._folders.close()

    def _write_all(self, data: bytes) -> None:
        self._size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]


class MaildirStore:
    """All mailboxes below one folder. Safe to use from several threads."""

    def __init__(self, root: Path, hostname: str, clock: Clock) -> None:
        self._root = root
        # Neither may stand in a file name that Maildir readers take apart.
        self._hostname = hostname.replace("/", "\\057").replace(":", "\\072")
        self._clock = clock
        self._counter = count(1)
        self._swept: OrderedDict[str, Instant] = OrderedDict()

    def begin(self, home: tuple[str, str], folder: Folder = Folder.INBOX) -> Draft:
        """A new message for the mailbox, whose folders are made when missing; to be closed.

        Raises:
            OSError: a symbolic link or a file is in the way, no permission, no space, read-only.
        """
        with ExitStack() as folders:
            maildir = self._open_root(folders)
            for name in (*home, "Maildir"):
                maildir = _open_below(folders, maildir, name)
            inside = maildir
            if folder.value:
                inside = _open_below(folders, maildir, folder.value)
                _mark_folder(inside)
            tmp, new, _ = (_open_below(folders, inside, name) for name in ("tmp", "new", "cur"))
            self._sweep("/".join((*home, folder.value)), tmp)
            return Draft(folders, maildir, tmp, new, self._name())

    def _open_root(self, folders: ExitStack) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            root = os.open(self._root, flags)
        except FileNotFoundError:
            make_directory(self._root, 0o700)
            root = os.open(self._root, flags)
        folders.callback(os.close, root)
        return root

    def _name(self) -> str:
        """Unique on this host and among those that share the folder (time, process, counter)."""
        seconds, fraction = divmod(self._clock.now(), 1)
        unique = f"M{int(fraction * 1e6):06d}P{os.getpid()}Q{next(self._counter)}"
        return f"{int(seconds)}.{unique}.{self._hostname}"

    def _sweep(self, mailbox: str, tmp: int) -> None:
        """Remove what dead deliveries left in tmp; at first, then once a day for each mailbox."""
        now = self._clock.now()
        if now - self._swept.get(mailbox, 0.0) < SWEEP_EVERY_S:
            return
        self._swept[mailbox] = now
        if len(self._swept) > MAX_REMEMBERED:
            with suppress(KeyError):  # another thread may have emptied it first
                self._swept.popitem(last=False)
        with suppress(OSError), os.scandir(tmp) as entries:
            for entry, _ in zip(entries, range(MAX_SWEPT), strict=False):
                status = entry.stat(follow_symlinks=False)
                if now - status.st_mtime > STALE_S:
                    os.unlink(entry.name, dir_fd=tmp)


def _open_below(folders: ExitStack, parent: int, name: str) -> int:
    """Open a folder in ``parent``, made durably when missing; closed with ``folders``."""
    try:
        handle = os.open(name, _OPEN_FOLDER, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        # Where another thread made it just now, its fsync may still be to come: ours is before
        # the message is acknowledged.
        os.fsync(parent)
        handle = os.open(name, _OPEN_FOLDER, dir_fd=parent)
    folders.callback(os.close, handle)
    return handle


def _mark_folder(maildir: int) -> None:
    """Maildir++: a folder that is no inbox says so, for quota to be counted once."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open("maildirfolder", flags, 0o600, dir_fd=maildir))
