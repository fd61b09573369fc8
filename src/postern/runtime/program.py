"""Another program, run once: fed, listened to, and gone with all its children when we are done.

It gets a session of its own, so that what it started ends with it, and is always reaped. Should we
be killed ourselves, the kernel kills it, and ``postern.runtime.orphans`` what it started. What
it says is read to the end and kept up to a bound: a program that talks must not wait for us, nor we
for its children that hold its output open.
"""

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from postern.runtime.forking import how_it_ended

OUTPUT_BYTES = 4096
LAST_WORDS_S = 0.5
"""After its end what stands in the pipe is read; a child that holds it open is not awaited."""
REAP_S = 5.0
"""A process that was killed and does not go hangs in the kernel; the loop's watcher reaps it."""
_PIECE_BYTES = 65_536

SETPRIV = "/usr/bin/setpriv"
"""Of util-linux. It asks the kernel to kill the process when its parent ends (PR_SET_PDEATHSIG,
prctl(2)), and becomes the program: a wish that only the child itself can utter, and between fork
and exec no code of a process with threads may run. The kernel means the thread that forked; that
is the loop's, which lives as long as its process."""
_NOT_STARTED = {126: errno.EACCES, 127: errno.ENOENT}
"""How setpriv ends when it can't become the program; it says so as ``setpriv: ...``."""

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
"""All that a program is told unless its caller adds to it: none of our secrets."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; a negative ``code`` is the signal that killed it."""

    code: int
    output: bytes

    @property
    def how(self) -> str:
        """``ended with exit status 2``."""
        return how_it_ended(self.code)


async def run(
    argv: Sequence[str],
    feed: AsyncIterator[bytes] | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> Ended:
    """Run ``argv``, without a shell, to its end; cancel to have it killed with its children.

    Args:
        argv: the program's path and its arguments.
        feed: what it reads from its standard input; it need not read it all. None: nothing.
        environment: the whole of its environment.

    Raises:
        OSError: it could not be started, or the feed failed.
    """
    loop = asyncio.get_running_loop()
    transport, streams = await loop.subprocess_exec(
        lambda: _Streams(loop),
        *_dying_with_us(argv),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
    )
    output = bytearray()
    feeding = asyncio.ensure_future(_feed(streams.stdin, feed))
    listening = asyncio.ensure_future(_listen(streams.stdout, output))
    ending = asyncio.ensure_future(streams.has_ended.wait())
    try:
        await asyncio.wait([feeding, ending], return_when=asyncio.FIRST_COMPLETED)
        if feeding.done() and feeding.exception() is not None:
            feeding.result()
        await asyncio.wait([ending])  # unlike awaiting it, this does not give it up when we are
        await asyncio.wait([listening], timeout=LAST_WORDS_S)
        code = transport.get_returncode()
        _raise_if_not_started(argv[0], code, output)
        return Ended(-signal.SIGKILL if code is None else code, bytes(output))
    finally:
        # The group's number stays taken as long as anybody is in it; ids come round again only
        # after millions of others.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
        for task in (feeding, listening):
            task.cancel()
        await asyncio.wait([feeding, listening])
        await asyncio.wait([ending], timeout=REAP_S)
        ending.cancel()
        stdin = transport.get_pipe_transport(0)
        if isinstance(stdin, asyncio.WriteTransport) and not stdin.is_closing():
            stdin.abort()
        transport.close()


def _dying_with_us(argv: Sequence[str]) -> Sequence[str]:
    """The command that runs ``argv`` and has it killed when we end, however we end."""
    if not os.access(SETPRIV, os.X_OK):  # another system's: the supervisor still kills orphans
        return argv
    if not os.path.exists(argv[0]):  # noqa: PTH110 - one call, before each program
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    return (SETPRIV, "--pdeathsig", "KILL", "--", *argv)


def _raise_if_not_started(path: str, code: int | None, output: bytearray) -> None:
    if code in _NOT_STARTED and output.startswith(b"setpriv: "):
        number = _NOT_STARTED[code]
        raise OSError(number, os.strerror(number), path)


class _Streams(asyncio.subprocess.SubprocessStreamProtocol):
    """A program's streams, and its end.

    asyncio's own ``Process.wait`` waits for the end of its output too, which a child may hold open.
    """

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=_PIECE_BYTES, loop=loop)
        self.has_ended = asyncio.Event()

    def process_exited(self) -> None:
        """It has ended, and was reaped."""
        super().process_exited()
        self.has_ended.set()


async def _feed(pipe: asyncio.StreamWriter, feed: AsyncIterator[bytes] | None) -> None:
    # A program that has seen enough closes its input: no error of anybody's.
    with suppress(BrokenPipeError, ConnectionResetError):
        if pipe.is_closing():  # uvloop makes a RuntimeError of whatever is done to it then
            return
        # With nothing left in a buffer of ours, closing has nothing to wait for.
        pipe.transport.set_write_buffer_limits(0)
        if feed is not None:
            async for piece in feed:
                if pipe.is_closing():
                    return
                pipe.write(piece)
                await pipe.drain()
        pipe.close()


async def _listen(pipe: asyncio.StreamReader, output: bytearray) -> None:
    while piece := await pipe.read(_PIECE_BYTES):
        output += piece[: OUTPUT_BYTES - len(output)]
