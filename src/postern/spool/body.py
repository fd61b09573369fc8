"""Message bodies: small ones stay in memory and go into the row, large ones into a file.

A file is written under ``<id>.part``, synced, renamed and its folder synced before the row that
needs it is committed: a row never points at half a body. What a crash leaves behind is a file
without a row; the start sweeps those up.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from postern.mail.content import BytesContent, Content
from postern.runtime.durable import fsync_directory, make_directory

CHUNK_BYTES = 256 * 1024
PART = ".part"


@dataclass(frozen=True, slots=True)
class FileContent:
    """Content in a file, read piece by piece off the loop."""

    path: Path
    size_bytes: int
    executor: Executor | None = None

    @property
    def in_memory(self) -> None:
        """Never in memory."""
        return

    def is_whole(self) -> bool:
        """True when the file is there with its full length.

        Raises:
            OSError: the disk can't tell; that is no reason to think it damaged.
        """
        try:
            return self.path.stat().st_size == self.size_bytes
        except FileNotFoundError:
            return False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The octets in pieces of at most 256 kB.

        Raises:
            OSError: the disk can't be read.
        """
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(self.executor, self.path.open, "rb")
        try:
            while piece := await loop.run_in_executor(self.executor, file.read, CHUNK_BYTES):
                yield piece
        finally:
            file.close()


class BodyFolder:
    """The files of one worker's large bodies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._present: set[int] = set()
        make_directory(folder, 0o700)

    def path_of(self, number: int) -> Path:
        """Where the body of message ``number`` is."""
        return self.folder / f"{number:010x}"

    def sealed(self, number: int) -> None:
        """Note that message ``number`` has its body here."""
        self._present.add(number)

    def discard(self, numbers: Iterable[int]) -> None:
        """Remove the bodies of messages that are done; most have none here."""
        for number in numbers:
            if number in self._present:
                self._present.discard(number)
                self.path_of(number).unlink(missing_ok=True)

    def sweep(self, is_wanted: Callable[[int], bool]) -> int:
        """Remove what no row needs: parts of a crash, and bodies that were never promised."""
        removed = 0
        for path in self.folder.iterdir():
            number = _number_of(path)
            if number is None or not is_wanted(number):
                path.unlink(missing_ok=True)
                removed += 1
            else:
                self._present.add(number)
        return removed


def _number_of(path: Path) -> int | None:
    try:
        return int(path.name, 16)
    except ValueError:
        return None


class BodyWriter:
    """Takes a body as it streams in; memory stays bounded whatever its length.

    ``write`` never blocks: beyond ``inline_bytes`` pieces go to a thread, and ``backlog_bytes``
    tells the session when to stop reading from its socket. After ``finish`` the content is ready to
    be committed; after ``abandon`` nothing is left.
    """

    __slots__ = (
        "_executor",
        "_file",
        "_folder",
        "_idle",
        "_inline",
        "_number",
        "_pieces",
        "backlog_bytes",
        "failed",
        "size_bytes",
    )

    def __init__(
        self, folder: BodyFolder, number: int, executor: Executor, inline_bytes: int
    ) -> None:
        self._folder = folder
        self._number = number
        self._executor = executor
        self._inline = inline_bytes
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._idle: asyncio.Event | None = None  # there is no file yet; else: set between flushes
        self.size_bytes = 0
        self.backlog_bytes = 0
        self.failed: Exception | None = None

    @property
    def is_inline(self) -> bool:
        """True while everything is still in memory."""
        return self._idle is None and self.size_bytes <= self._inline

    def write(self, data: bytes) -> None:
        """Add a piece."""
        self._pieces.append(data)
        self.size_bytes += len(data)
        if self.size_bytes > self._inline:
            self.backlog_bytes += len(data)
            if self._idle is None or self._idle.is_set():
                self._start_flush()

    def inline_content(self) -> BytesContent:
        """The whole body, when ``is_inline``."""
        return BytesContent(b"".join(self._pieces))

    async def content(self) -> Content:
        """All that was written, to be read before it is durable; only while it is not abandoned.

        Raises:
            OSError: the disk said no.
        """
        if self.is_inline:
            return self.inline_content()
        await self.drained()
        return FileContent(self._part(), self.size_bytes)

    async def drained(self) -> None:
        """Wait until what was written so far is in the file's hands.

        Raises:
            OSError: the disk said no.
        """
        if self._idle is not None:
            await self._idle.wait()
        if self.failed is not None:
            raise self.failed

    async def finish(self) -> Content:
        """The content, durable if it is a file.

        Raises:
            OSError: the disk said no; nothing is left behind.
        """
        if self.is_inline:
            return self.inline_content()
        loop = asyncio.get_running_loop()
        try:
            await self.drained()
            await loop.run_in_executor(self._executor, self._seal)
        except Exception:
            await self.abandon()
            raise
        return FileContent(self._folder.path_of(self._number), self.size_bytes)

    async def abandon(self) -> None:
        """Throw away what came, finished or not; only while no row needs it."""
        self._pieces.clear()
        if self._idle is not None:
            await self._idle.wait()
            await asyncio.get_running_loop().run_in_executor(self._executor, self._remove)

    def _start_flush(self) -> None:
        """Give what there is to a thread; only while none is at work, or pieces change places."""
        if self._idle is None:
            self._idle = asyncio.Event()
        self._idle.clear()
        pieces, self._pieces = self._pieces, []
        count = sum(map(len, pieces))
        flush = asyncio.get_running_loop().run_in_executor(self._executor, self._flush, pieces)
        flush.add_done_callback(lambda done: self._flushed(done, count))

    def _flushed(self, done: "asyncio.Future[None]", count: int) -> None:
        assert self._idle is not None
        error = done.exception()
        if isinstance(error, Exception):
            self.failed = error
        # Pieces that stayed in memory before the limit was passed are flushed without having been
        # counted as backlog.
        self.backlog_bytes = max(0, self.backlog_bytes - count)
        # Not before here is the file free: the flush was over, but a piece that came since then
        # and set to work at once would be overtaken by those that follow now.
        if self._pieces and self.failed is None:
            self._start_flush()
        else:
            self._idle.set()

    def _flush(self, pieces: list[bytes]) -> None:
        if self.failed is not None:
            return
        if self._file is None:
            self._file = self._part().open("wb", buffering=0)
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]

    def _seal(self) -> None:
        assert self._file is not None
        written = os.fstat(self._file.fileno()).st_size
        if written != self.size_bytes:
            raise OSError(f"the body has {written} of {self.size_bytes} octets")
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        self._part().rename(self._folder.path_of(self._number))
        fsync_directory(self._folder.folder)
        self._folder.sealed(self._number)

    def _remove(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._part().unlink(missing_ok=True)
        self._folder.discard([self._number])

    def _part(self) -> Path:
        path = self._folder.path_of(self._number)
        return path.with_name(path.name + PART)
