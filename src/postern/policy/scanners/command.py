"""An operator's own scanner: a program that reads a message and says by its exit code what it is.

It is started without a shell, with a bare environment, and killed with all that it started when its
time is over. The message is its standard input, or a file where its words name ``{file}``: a copy,
for what is in the spool is nobody's to mend. Its first line of output is what people are told.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from postern.mail.content import Content, pour
from postern.policy.scanners.scan import Answer, Caught, Clean, Specimen, Untold, printable
from postern.policy.scanners.settings import FILE_MARK
from postern.runtime.program import ENVIRONMENT, Ended, run

MAX_SAID_CHARS = 160
PREFIX = "scan-"


class Command:
    """One program."""

    def __init__(
        self, argv: Sequence[str], clean: frozenset[int], found: frozenset[int], folder: Path
    ) -> None:
        self._argv = tuple(argv)
        self._clean = clean
        self._found = found
        self._folder = folder
        self._wants_file = any(FILE_MARK in word for word in self._argv)

    async def scan(self, specimen: Specimen) -> Answer:
        """Run it once."""
        environment = {
            **ENVIRONMENT,
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
    handle, path = await asyncio.to_thread(_open, folder)
    try:

        async def take(piece: bytes) -> bool:
            await asyncio.to_thread(_write, handle, piece)
            return True

        try:
            await pour(content, take)
        finally:
            os.close(handle)
        yield path
    finally:
        _remove(path)


def _open(folder: Path) -> tuple[int, str]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.mkstemp(prefix=PREFIX, dir=folder)


def _remove(path: str) -> None:
    with suppress(OSError):
        Path(path).unlink()


def _write(handle: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(handle, piece) :]


def sweep(folder: Path) -> None:
    """Remove the copies that a crash left."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            path.unlink()
