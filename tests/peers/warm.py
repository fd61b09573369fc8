"""Postern's processes, forked from one that has imported all of it already.

To import Postern takes 0.7 s of CPU, and a journey starts it a dozen times: as a server, and for
each command. So each process that runs tests keeps one child (``Nursery``) that imports every
module and does nothing else. It forks what is to run, and that is ``python -m postern`` from there
on: a process of its own, with its own arguments, environment, folder, standard streams and session.

What differs from a fresh interpreter: modules that are imported late are here already, and memory
is shared with the nursery. Tests of just that, and benchmarks, start one themselves.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_REQUEST = 128 * 1024
BORN = struct.Struct("=i")
ENDED = struct.Struct("=id")

cpu_s = 0.0
"""What all that ended has cost, for ``--costs``: they are no children of ours."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command said and how it ended."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Request:
    """``python -m MODULE`` with its arguments, and what a process inherits."""

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str

    def text(self) -> str:
        """As it is sent to the nursery."""
        return json.dumps([self.module, list(self.arguments), dict(self.environment), self.folder])


class Forked:
    """A process the nursery forked, with what tests use of ``subprocess.Popen``."""

    def __init__(self, status: int) -> None:
        self._status = status
        self.returncode: int | None = None
        told = os.read(status, BORN.size)
        if len(told) < BORN.size:
            os.close(status)
            raise OSError("the nursery could not fork")
        (self.pid,) = BORN.unpack(told)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _look(self, timeout: float | None) -> int | None:
        global cpu_s  # noqa: PLW0603 - one sum per process that runs tests
        if self.returncode is None and self._has_news(timeout):
            told = os.read(self._status, ENDED.size)
            os.close(self._status)
            if len(told) < ENDED.size:
                self.returncode = -signal.SIGKILL
                raise OSError("the nursery has ended")
            self.returncode, spent = ENDED.unpack(told)
            cpu_s += spent
        return self.returncode

    def _has_news(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))


class Nursery:
    """The process that forks them: started with the first of them, ended with ours.

    ``is_open`` says that servers and commands are to come from it: tests/conftest.py does so.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, request: Request, stdin: int, stdout: int, stderr: int) -> Forked:
        """Run it in a session of its own, on these descriptors (which stay ours too)."""
        out, into = os.pipe()
        with self._lock:
            self._control = self._control or self._start()
            text = request.text().encode()
            assert len(text) < MAX_REQUEST, f"{len(text)} bytes of arguments and environment"
            socket.send_fds(self._control, [text], [stdin, stdout, stderr, into])
        os.close(into)
        return Forked(out)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.peers.warm", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # no terminal, as a captured one is none
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(self._end)
        return ours

    def _end(self) -> None:
        assert self._control is not None
        assert self._process is not None
        self._control.close()
        self._process.wait()


nursery = Nursery()


def run_warm(request: Request, *, stdin: str = "", timeout_s: float = 60.0) -> CommandResult:
    """Run it to its end.

    Raises:
        subprocess.TimeoutExpired: it did not end in time, and was killed.
    """
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin.encode())
        given.seek(0)
        child = nursery.fork(request, given.fileno(), out.fileno(), err.fileno())
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            raise
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in (out, err)]
    return CommandResult(code, *(text.decode().replace("\r\n", "\n") for text in texts))


# --- in the nursery -----------------------------------------------------------------------------


def import_all() -> None:
    """Every module of Postern, and what those import late."""
    import postern  # noqa: PLC0415 - only in the nursery

    for module in pkgutil.walk_packages(postern.__path__, "postern."):
        if not module.name.startswith(("postern.__main__", "postern.runtime.database.migrations")):
            importlib.import_module(module.name)
    for late in ("alembic.command", "alembic.script", "sqlalchemy.dialects.sqlite", "typer.main"):
        importlib.import_module(late)


def tend(control: socket.socket) -> Request | None:
    """Fork what is asked for, tell of its end, until nobody asks. A request: we are the child."""
    status_of: dict[int, int] = {}
    out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([control.fileno(), out], [], [])
        if out in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(out, 4096)
            reap(status_of)
        if control.fileno() not in ready:
            continue
        text, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST, 4)
        if not text:
            end(status_of)
            return None
        *streams, status = descriptors
        try:
            pid = os.fork()
        except OSError:  # too many processes: who asked sees the pipe end, and others may go on
            pid = -1
        if pid == 0:
            return become(Request(*json.loads(text)), control, streams)
        for descriptor in streams:
            os.close(descriptor)
        if pid < 0:
            os.close(status)
            continue
        status_of[pid] = status
        os.write(status, BORN.pack(pid))


def end(left: Iterable[int]) -> None:
    """Kill those that a test which failed left running, and all of their sessions."""
    for pid in left:
        for kill in (os.killpg, os.kill):  # it may not have a group of its own yet
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)


def reap(status_of: dict[int, int]) -> None:
    """Tell whoever waits for them of children that have ended."""
    while status_of:
        pid, code, used = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        told = ENDED.pack(os.waitstatus_to_exitcode(code), used.ru_utime + used.ru_stime)
        status = status_of.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # a test that failed does not wait
            os.write(status, told)
        os.close(status)


def become(request: Request, control: socket.socket, streams: list[int]) -> Request:
    """In the child: leave all that is the nursery's, and take what the request says."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
    control.detach()
    os.closerange(3, 1 << 16)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    return request


def main(descriptor: int) -> None:
    """Be a nursery, or in its children: be Postern."""
    with socket.socket(fileno=descriptor) as control:
        import_all()
        assert len([*Path("/proc/self/task").iterdir()]) == 1, "threads do not live on in children"
        gc.collect()
        gc.freeze()
        request = tend(control)
    if request is not None:
        sys.argv = [request.module, *request.arguments]
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
