"""Listening sockets, bound before any worker exists so that a crash never closes a port.

All workers accept from one socket, and the supervisor keeps it: a connection is taken by whichever
worker has nothing else to do, and waits for none that is busy, hung or being restarted. A socket
for each worker (SO_REUSEPORT) was tried: the kernel then deals connections out by chance, and one
worker idles while the other has a queue (docs/performance.md).
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BACKLOG = 4096
"""The kernel cuts it to net.core.somaxconn."""

SOCKET_MODE = 0o666
"""Any local program may hand in mail; reception asks the kernel who it is."""


@dataclass(frozen=True, slots=True)
class ListenAt:
    """Where to listen: an address and port (0 takes a free one), or the path of a unix socket.

    ``setting`` names the setting in messages: ``listener[1].bind``.
    """

    host: str = ""
    port: int = 0
    path: Path | None = None
    setting: str = ""

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class CannotListenError(Exception):
    """A port cannot be had; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One listener and the socket that all its workers accept from.

    ``is_given``: somebody else opened it, and a unix socket's file stays when we leave.
    """

    at: ListenAt
    socket: socket.socket
    is_given: bool = False

    def close(self) -> None:
        """Stop listening, and remove the unix socket's file if we made it."""
        if self.at.path is not None and not self.is_given:
            self.at.path.unlink(missing_ok=True)
        self.socket.close()


def bind_all(places: Sequence[ListenAt], given: Sequence[socket.socket] = ()) -> list[Bound]:
    """Bind every place that ``given`` has no socket for; all or nothing.

    Raises:
        CannotListenError: names the first place that cannot be had.
    """
    done: list[Bound] = []
    for place in places:
        opened = next((sock for sock in given if _is_at(sock, place)), None)
        try:
            done.append(Bound(place, opened or _bind(place), opened is not None))
        except OSError as error:
            for bound in done:
                bound.close()
            raise CannotListenError(_explain(place, error)) from error
    return done


def _is_at(sock: socket.socket, at: ListenAt) -> bool:
    name = sock.getsockname()
    if at.path is not None:
        return sock.family is socket.AF_UNIX and Path(os.fsdecode(name)) == at.path.absolute()
    return sock.family is not socket.AF_UNIX and bool(name[:2] == (at.host, at.port))


def _bind(at: ListenAt) -> socket.socket:
    return _bind_tcp(at.host, at.port) if at.path is None else _bind_unix(at.path)


def _bind_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bound.family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _bind_unix(path: Path) -> socket.socket:
    """A unix socket at ``path``; a file left by a killed server is replaced, a live one is not."""
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        path.chmod(SOCKET_MODE)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "a file that is no socket stands there", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(path))


def _explain(at: ListenAt, error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "another program listens there; 'ss -ltnp' shows which",
        errno.EACCES: "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        errno.EPERM: "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "this machine does not have that address; 'ip address' lists them",
        errno.EAFNOSUPPORT: "this machine has no such kind of address (is IPv6 switched off?)",
    }
    why = reasons.get(error.errno or 0, error.strerror or str(error))
    name = f"{at.setting}: " if at.setting else ""
    return f"{name}cannot listen at {at}: {why}"
