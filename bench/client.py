"""The small SMTP client of the measurements: what smtp-source cannot be made to do."""

import socket
import ssl

WAIT_S = 60.0
LINE = b"This line is as long as a line of ordinary mail, more or less: about 76 bytes.\r\n"
HEAD = (
    b"From: bench@client.test\r\nTo: sink@sink.test\r\nSubject: {subject}\r\n"
    b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <{subject}@client.test>\r\n\r\n"
)


def text_of(size_bytes: int, subject: str = "measure") -> bytes:
    """A message of that size, in lines; nothing in it needs dot-stuffing."""
    head = HEAD.replace(b"{subject}", subject.encode())
    return head + LINE * max(1, (size_bytes - len(head)) // len(LINE))


def connect(
    port: int, *, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> socket.socket:
    """A connection from ``address`` that was greeted and said EHLO, under TLS where asked for."""
    connection = socket.create_connection(("127.0.0.1", port), WAIT_S, (address, 0))
    if tls is not None:
        connection = tls.wrap_socket(connection, server_hostname="mx.postern.test")
    hear(connection, b"220")
    conversation(connection, b"EHLO client.test")
    return connection


def hear(connection: socket.socket, code: bytes) -> bytes:
    """One whole reply.

    Raises:
        ConnectionError: the server closed.
        ValueError: the reply has another code.
    """
    reply = b""
    while not (reply.endswith(b"\r\n") and reply.splitlines()[-1][3:4] == b" "):
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError(f"closed after {reply!r}")
        reply += piece
    if not reply.startswith(code):
        raise ValueError(f"{code!r} was due: {reply!r}")
    return reply


def conversation(connection: socket.socket, *commands: bytes) -> None:
    """Say each command and wait for its 250."""
    for command in commands:
        connection.sendall(command + b"\r\n")
        hear(connection, b"250")


def trusting() -> ssl.SSLContext:
    """A client that takes any certificate; who the server is does not matter here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
