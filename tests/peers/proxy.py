"""A proxy in front of a server: the client seems to come from any address that is wanted."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 60.0


@contextmanager
def proxy(port: int, ip: str) -> Iterator[int]:
    """A port that leads to ``port``; each connection begins with a PROXY header for ``ip``."""
    header = f"PROXY TCP4 {ip} 192.0.2.1 4242 25\r\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=_accept, args=(listening, port, header), daemon=True)
        accepting.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join(PATIENCE_S)


def _accept(listening: socket.socket, port: int, header: bytes) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return  # it was shut down
        threading.Thread(target=_serve, args=(client, port, header), daemon=True).start()


def _serve(client: socket.socket, port: int, header: bytes) -> None:
    with client, socket.create_connection(("127.0.0.1", port), PATIENCE_S) as server:
        client.settimeout(PATIENCE_S)
        server.sendall(header)
        answering = threading.Thread(target=_pump, args=(server, client), daemon=True)
        answering.start()
        _pump(client, server)
        answering.join(PATIENCE_S)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry octets one way until that side has said all, then tell the other side so."""
    with contextlib.suppress(OSError):  # either may hang up at any time
        while piece := source.recv(65_536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
