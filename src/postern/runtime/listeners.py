"""Listening sockets, bound before any worker exists so that a crash never closes a port.

Each worker has its own TCP socket on the shared port (SO_REUSEPORT), and the supervisor keeps a
copy: connections made while a worker is being restarted wait in its socket's queue.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Bound:
    """The sockets of one listener: one per worker for TCP, one for all for a unix socket."""

    at: ListenAt
    sockets: list[socket.socket] = field(default_factory=list)

    def for_worker(self, number: int) -> socket.socket:
        """The socket that this worker accepts from."""
        return self.sockets[0] if self.at.path is not None else self.sockets[number]

    def close(self) -> None:
        """Stop listening, and remove the unix socket's file if it is ours."""
        if self.sockets and self.at.path is not None:
            self.at.path.unlink(missing_ok=True)
        for bound in self.sockets:
            bound.close()
        self.sockets.clear()


def bind_all(places: Sequence[ListenAt], workers: int) -> list[Bound]:
    """Bind every place for so many workers; all or nothing.

    Raises:
        CannotListenError: names the first place that cannot be had.
    """
    done: list[Bound] = []
    try:
        for place in places:
            bound = Bound(place)
            done.append(bound)
            _bind_into(bound, workers)
    except OSError as error:
        for bound in done:
            bound.close()
        raise CannotListenError(_explain(done[-1].at, error)) from error
    return done


def _bind_into(bound: Bound, workers: int) -> None:
    if bound.at.path is not None:
        bound.sockets.append(_bind_unix(bound.at.path))
        return
    port = _probe(bound.at)
    for _ in range(workers):
        bound.sockets.append(_bind_tcp(bound.at.host, port))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _probe(at: ListenAt) -> int:
    """The port number to bind; raises EADDRINUSE when another program listens there.

    With SO_REUSEPORT the kernel would let a second Postern of the same user share the port in
    silence, and each would get a part of the mail. A socket without that flag is refused.
    """
    with socket.socket(_family(at.host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.family is socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((at.host, at.port))
        return int(probe.getsockname()[1])


def _bind_tcp(host: str, port: int) -> socket.socket:
    bound = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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
