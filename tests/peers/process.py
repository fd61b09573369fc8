"""A real server as a child process: started, waited for by connecting, stopped, its log kept."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

STARTING_S = 30.0
STOPPING_S = 20.0
LOG_TAIL_BYTES = 8_000

running: "list[Server]" = []
"""Servers up at this moment; tests/conftest.py shows their logs beside a failed test."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on now; for servers that cannot be given port 0."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for unix sockets (107 bytes) and that others may enter.

    pytest's own folders are long and closed to the users that servers drop to.
    """
    path = Path(tempfile.mkdtemp(prefix="pt-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Process(Protocol):
    """What is used of ``subprocess.Popen``, and of what else may have started a server."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """The exit code, once somebody asked for it."""
        ...

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended; raises ``subprocess.TimeoutExpired``."""
        ...

    def send_signal(self, number: signal.Signals, /) -> None:
        """Send it a signal, if it still runs."""
        ...


Starter = Callable[[Sequence[str], Mapping[str, str], int], Process]
"""Starts a command with an environment in a session of its own, its output to a descriptor."""


@dataclass
class Server:
    """A child and its log. Use as a context manager: leaving stops it.

    ``stdout`` is a descriptor that takes its output instead of the log. ``starter`` starts it in
    another way than as a fresh process.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    stdout: int | None = None
    process: Process | None = None
    starter: Starter | None = None

    def start(self) -> Self:
        """Start it in a process group of its own, output to the log."""
        environment = {**os.environ, **self.environment}
        with self.log.open("ab") as output:
            if self.starter is not None:
                self.process = self.starter(self.command, environment, output.fileno())
            else:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output if self.stdout is None else self.stdout,
                    stderr=output,
                    env=environment,
                    start_new_session=True,
                )
        running.append(self)
        return self

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    def log_text(self) -> str:
        """Everything logged so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def log_tail(self) -> str:
        """The end of the log, for people who look at a failure."""
        return self.log_text()[-LOG_TAIL_BYTES:]

    def alive(self) -> bool:
        """Whether the child still runs."""
        return self.process is not None and self.process.poll() is None

    def wait_for_greeting(self, port: int, greeting: bytes = b"", host: str = "127.0.0.1") -> None:
        """Return once a connection succeeds and (where asked for) is greeted so."""
        wait_until(
            lambda: answers(host, port, greeting), f"{self.name} to listen on {port}", server=self
        )

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Ask the child to stop; kill its whole group when it does not. Returns the exit code."""
        if self in running:
            running.remove(self)
        if self.process is None:
            return 0
        if self.alive():
            self.process.send_signal(with_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOPPING_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait(STOPPING_S)

    def __enter__(self) -> Self:
        return self if self.process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def answers(host: str, port: int, greeting: bytes) -> bool:
    """Whether something listens there and says ``greeting`` first."""
    try:
        with socket.create_connection((host, port), timeout=5) as connection:
            if not greeting:
                return True
            connection.settimeout(10)
            return connection.recv(512).startswith(greeting)
    except OSError:
        return False


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    server: Server | None = None,
    within_s: float = STARTING_S,
) -> None:
    """Poll ``condition`` until it holds; else fail with ``what`` and the server's log."""
    give_up = time.monotonic() + within_s
    while not condition():
        dead = server is not None and not server.alive()
        if dead or time.monotonic() > give_up:
            log = f"\n{server.log_tail()}" if server is not None else ""
            why = "it ended" if dead else f"{within_s:g} s are over"
            raise TimeoutError(f"waited for {what}: {why}{log}")
        time.sleep(0.02)
