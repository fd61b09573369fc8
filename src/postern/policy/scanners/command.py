"""An operator's own scanner: a program that reads a message and says by its exit code what it is.

It is started without a shell, with a bare environment, and killed with all that it started when its
time is over. The message is its standard input, or a file where its words name ``{file}``: a copy,
for what is in the spool is nobody's to mend. Its first line of output is what people are told.
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from postern.mail.content import Content, pour
from postern.policy.scanners.scan import Answer, Caught, Clean, Specimen, Untold, printable
from postern.policy.scanners.settings import FILE_MARK
from postern.runtime.orphans import kill_marked
from postern.runtime.program import ENVIRONMENT, Ended, run

MAX_SAID_CHARS = 160
PREFIX = "scan-"
MARK = "POSTERN_RUN_DIR"
"""In its environment: by it the next server knows what an earlier one left running."""


class Command:
    """One program."""

    def __init__(
        self, argv: Sequence[str], clean: frozenset[int], found: frozenset[int], folder: Path
    ) -> None:
        self._argv = tuple(argv)
        self._clean = clean
        self._found = found
        self._folder = folder
        self._run_dir = str(folder.parent.absolute())
        self._wants_file = any(FILE_MARK in word for word in self._argv)

    async def scan(self, specimen: Specimen) -> Answer:
        """Run it once."""
        environment = {
            **ENVIRONMENT,
            MARK: self._run_dir,
            "POSTERN_TRACE": specimen.trace,
            "POSTERN_CLIENT_IP": specimen.ip,
            "POSTERN_MAIL_FROM": printable(specimen.mail_from, 400),
        }
        if not self._wants_file:
            ended = await run(self._argv, specimen.content.chunks(), environment)
            return self._answer_of(ended)
        async with _file_of(specimen.content, self._folder) as path:
            argv = [word.replace(FILE_MARK, path) for word in self._argv]
            return self._answer_of(await run(argv, None, environment))

    async def ping(self) -> Untold | None:
        """The program is there and we may run it."""
        path = self._argv[0]
        if not os.access(path, os.F_OK):
            return Untold("its program is not there", path)
        if not os.access(path, os.X_OK):
            return Untold("its program may not be run by us", path)
        return None

    def _answer_of(self, ended: Ended) -> Answer:
        said = _first_line(ended.output)
        if ended.code in self._found:
            return Caught("this server's own scanner refuses it" + (f": {said}" if said else ""))
        if ended.code in self._clean:
            return Clean("nothing was found")
        # A message may be what kills it, but so may a machine without memory.
        detail = ended.how + (f", saying {said!r}" if said else "")
        return Untold("it could not look at it", detail, is_ailing=ended.code < 0)


def _first_line(output: bytes) -> str:
    return next(
        (line for raw in output.splitlines() if (line := printable(raw, MAX_SAID_CHARS))), ""
    )


@asynccontextmanager
async def _file_of(content: Content, folder: Path) -> AsyncIterator[str]:
    """The path of a copy that only we read, gone afterwards."""
    copy = _Copy(folder)

    async def take(piece: bytes) -> bool:
        await _to_its_end(partial(copy.write, piece))
        return True

    try:
        await _to_its_end(copy.open)
        await pour(content, take)
        await _to_its_end(copy.close)
        yield copy.path
    finally:
        try:
            await _to_its_end(copy.remove)
        except RuntimeError:  # no thread is to be had: worth the loop's time
            copy.remove()


class _Copy:
    """A file, and the descriptor that nobody else closes; its methods run in threads.

    The lock is for work that was queued when no thread could be had, and is done when it is not
    wanted any more: it may not open what nobody would close, nor write to what is closed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._handle = -1
        self._is_over = False
        self.path = ""

    def open(self) -> None:
        with self._lock:
            if not self._is_over:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._handle, self.path = tempfile.mkstemp(prefix=PREFIX, dir=self._folder)

    def write(self, piece: bytes) -> None:
        with self._lock:
            while piece and self._handle >= 0:
                piece = piece[os.write(self._handle, piece) :]

    def close(self) -> None:
        with self._lock:
            self._is_over = True
            handle, self._handle = self._handle, -1
            if handle >= 0:
                os.close(handle)

    def remove(self) -> None:
        self.close()
        if self.path:
            with suppress(OSError):
                Path(self.path).unlink()


async def _to_its_end(work: Callable[[], None]) -> None:
    """Have it done in a thread, and wait for it even when we are given up meanwhile.

    A thread cannot be called back: what it works on may not be closed before it has ended, or its
    octets go to whoever gets the same descriptor next.
    """
    doing = asyncio.get_running_loop().run_in_executor(None, work)
    given_up: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.wait([doing])
        except asyncio.CancelledError as error:
            given_up = error
    if given_up is not None:
        doing.exception()  # looked at, or the loop complains of it
        raise given_up
    doing.result()


def sweep(folder: Path) -> None:
    """Remove the copies that a crash left."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            path.unlink()


def clear_up(run_dir: Path, uid: int) -> list[int]:
    """End what a server that was killed with all its processes left: its programs and copies.

    Args:
        run_dir: the folder that holds the workers' folders of copies.
        uid: whose the programs are.

    Returns:
        The programs that were killed.
    """
    killed = kill_marked(os.fsencode(f"{MARK}={run_dir.absolute()}"), uid)
    for folder in run_dir.glob("scan-*"):
        sweep(folder)
    return killed
