"""Listening sockets that systemd opened for us (sd_listen_fds(3)), low ports without root."""

import os
import socket
from collections.abc import Container, MutableMapping, Sequence

import structlog

FIRST_FD = 3

log = structlog.get_logger("postern.activation")


def inherited_sockets(
    environment: MutableMapping[str, str] = os.environ, first_fd: int = FIRST_FD
) -> list[socket.socket]:
    """The listening stream sockets we were born with; none when systemd opened none for us.

    They and the variables that tell of them are not handed on to children.
    """
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", "")
    if environment.pop("LISTEN_PID", "") != str(os.getpid()) or not count.isdigit():
        return []
    found = []
    for descriptor in range(first_fd, first_fd + int(count)):
        try:
            given = socket.socket(fileno=descriptor)
        except OSError:
            log.warning("activation.no_socket", descriptor=descriptor)
            continue
        given.set_inheritable(False)
        given.setblocking(False)
        if given.type is socket.SOCK_STREAM and given.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            found.append(given)
        else:
            log.warning("activation.does_not_listen", descriptor=descriptor)
            given.close()
    return found


def close_unwanted(given: Sequence[socket.socket], taken: Container[socket.socket]) -> None:
    """Close the sockets that no listener took, and say so: somebody waits for mail there."""
    for sock in given:
        if sock not in taken:
            log.warning("activation.unwanted", at=str(sock.getsockname()))
            sock.close()
