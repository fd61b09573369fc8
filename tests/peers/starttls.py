"""A mail server whose STARTTLS does as it is told, and that keeps every octet it saw in clear.

``with TlsHosts(["127.0.0.11", "127.0.0.12"], pair) as hosts:`` listens on one port of all of them;
``hosts["127.0.0.11"].stalls = True`` takes effect with the next connection.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.peers.certificates import KeyPair
from tests.peers.process import free_port

PATIENCE_S = 30.0


@dataclass
class TlsHost:
    """One address, and what it heard.

    ``stalls``: STARTTLS is answered, and the handshake is not. ``offers``: STARTTLS is offered at
    all. ``keywords``: what else EHLO offers, under TLS too. ``clear`` are all octets that came
    outside of TLS; ``messages`` what was handed over, and whether under TLS.
    """

    ip: str
    stalls: bool = False
    offers: bool = True
    keywords: tuple[str, ...] = ()
    clear: bytearray = field(default_factory=bytearray)
    messages: list[tuple[bytes, bool]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0

    def forget(self) -> None:
        """Begin anew."""
        self.clear.clear()
        self.messages.clear()
        self.commands.clear()
        self.connections = 0


class TlsHosts:
    """The addresses, served by a thread each connection."""

    def __init__(self, ips: Sequence[str], pair: KeyPair) -> None:
        self.port = free_port(ips[0])
        self._hosts = {ip: TlsHost(ip) for ip in ips}
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.cert, pair.key)
        self._listening: list[socket.socket] = []
        self._is_over = threading.Event()

    def __getitem__(self, ip: str) -> TlsHost:
        return self._hosts[ip]

    def __enter__(self) -> Self:
        for host in self._hosts.values():
            listening = socket.create_server((host.ip, self.port))
            self._listening.append(listening)
            threading.Thread(target=self._accept, args=(listening, host), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for listening in self._listening:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()

    def forget(self) -> None:
        """All of them begin anew."""
        for host in self._hosts.values():
            host.forget()

    def set(self, *, stalls: bool = False, offers: bool = True) -> None:
        """How all of them are, from the next connection on."""
        for host in self._hosts.values():
            host.stalls, host.offers = stalls, offers

    @property
    def clear(self) -> bytes:
        """All that came in clear, wherever."""
        return b"".join(bytes(host.clear) for host in self._hosts.values())

    @property
    def messages(self) -> list[tuple[bytes, bool]]:
        """All that was handed over, and whether under TLS."""
        return [one for host in self._hosts.values() for one in host.messages]

    def _accept(self, listening: socket.socket, host: TlsHost) -> None:
        while not self._is_over.is_set():
            try:
                line, _ = listening.accept()
            except OSError:
                return
            host.connections += 1
            line.settimeout(PATIENCE_S)
            talk = _Talk(host, line, self._context, self._is_over)
            threading.Thread(target=talk.run, daemon=True).start()


class _Talk:
    """One connection."""

    def __init__(
        self,
        host: TlsHost,
        line: socket.socket,
        context: ssl.SSLContext,
        is_over: threading.Event,
    ) -> None:
        self._host = host
        self._line = line
        self._context = context
        self._is_over = is_over
        self._stalls = host.stalls
        self._is_secure = False
        self._read = b""

    def run(self) -> None:
        """From the greeting to the end."""
        try:
            self._say("220 mx ESMTP")
            while self._answer(self._hear()):
                pass
        except OSError:  # they hung up
            pass
        finally:
            self._line.close()

    def _answer(self, command: str) -> bool:
        host = self._host
        host.commands.append(command)
        verb = command.partition(" ")[0].upper()
        if verb == "EHLO":
            tls = ["STARTTLS"] if host.offers and not self._is_secure else []
            offered = ["mx", *tls, *host.keywords]
            self._say("\r\n".join([*(f"250-{one}" for one in offered), "250 8BITMIME"]))
        elif verb == "STARTTLS":
            return self._secure()
        elif verb == "DATA":
            self._say("354 go")
            host.messages.append((self._hear_message(), self._is_secure))
            self._say("250 2.0.0 taken")
        elif verb == "QUIT":
            self._say("221 bye")
            return False
        else:
            self._say("250 2.0.0 ok")
        return bool(command)

    def _secure(self) -> bool:
        self._say("220 go")
        if self._stalls:
            while not self._is_over.is_set() and self._more():
                pass
            return False
        self._line = self._context.wrap_socket(self._line, server_side=True)
        self._is_secure = True
        self._read = b""
        return True

    def _say(self, text: str) -> None:
        self._line.sendall(text.encode() + b"\r\n")

    def _hear(self) -> str:
        return self._until(b"\r\n").decode("ascii", "replace")

    def _hear_message(self) -> bytes:
        return self._until(b"\r\n.\r\n")

    def _until(self, end: bytes) -> bytes:
        while end not in self._read:
            if not self._more():
                return b""
        heard, _, self._read = self._read.partition(end)
        return heard

    def _more(self) -> bool:
        octets = self._line.recv(65536)
        if not self._is_secure:
            self._host.clear += octets
        self._read += octets
        return bool(octets)
