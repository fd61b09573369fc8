"""A network namespace as a test uses it: commands and servers run in it, sockets opened in it.

A socket stays in the namespace it was made in, whoever uses it afterwards. So a thread steps into
the namespace, makes one and ends: the test itself never leaves its own network.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000
PLACE = Path("/run/netns")
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Namespace:
    """One that exists; ``name`` is what ``ip netns`` calls it."""

    name: str

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The words to put before a command so that it runs here. The command keeps its pid."""
        return ("ip", "netns", "exec", self.name)

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command here to its end; returns what it printed."""
        return run(*self.wrapper, *command, stdin=stdin)

    def open_socket(
        self,
        family: socket.AddressFamily = socket.AF_INET,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        protocol: int = 0,
    ) -> socket.socket:
        """A new socket of this namespace."""
        return self._inside(lambda: socket.socket(family, kind, protocol))

    def connect(
        self, ip: str, port: int, *, source: str = "", timeout_s: float = 5.0
    ) -> socket.socket:
        """A TCP connection from here; OSError (such as TimeoutError) where there is none."""
        sock = self.open_socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        sock.settimeout(timeout_s)
        try:
            if source:
                sock.bind((source, 0))
            sock.connect((ip, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def _inside(self, make: "Callable[[], socket.socket]") -> socket.socket:
        made: list[socket.socket] = []
        failed: list[BaseException] = []

        def step_in() -> None:
            try:
                _enter(PLACE / self.name)
                made.append(make())
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=step_in)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]


def _enter(place: Path) -> None:
    """Move the calling thread, and only it, into the namespace (``os.setns`` is of Python 3.12)."""
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.setns(descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(place))
    finally:
        os.close(descriptor)


def run(*command: str, stdin: str = "") -> str:
    """Run a command to its end; what it says on stderr is in the error it fails with."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}{stdin}")
    return done.stdout
