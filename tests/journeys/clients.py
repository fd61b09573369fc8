"""Clients where swaks is not enough: DSN parameters, slow senders, lines said one by one."""

import smtplib
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

SUBJECT = "Offer 2026-118"
LINE = b"0123456789abcdef" * 4 + b"0123456789\r\n"


def unverified() -> ssl.SSLContext:
    """TLS that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def submit(
    port: int,
    login: str,
    password: str,
    to: Sequence[str],
    *,
    options: Sequence[str] = (),
    mail_options: Sequence[str] = (),
    subject: str = SUBJECT,
    body: str = "hello",
    fields: str = "",
) -> str:
    """Hand in a message as a user does, under STARTTLS; returns its trace code.

    ``options`` are parameters of every RCPT, such as ``NOTIFY=NEVER``; ``fields`` further lines of
    the header, with their ends.
    """
    message = (
        f"From: <{login}>\r\nTo: {', '.join(f'<{one}>' for one in to)}\r\n"
        f"Subject: {subject}\r\n{fields}\r\n{body}\r\n"
    )
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=30) as client:
        client.starttls(context=unverified())
        client.login(login, password)
        client.ehlo("client.test")
        code, text = client.mail(login, list(mail_options))
        assert code == 250, text
        for one in to:
            code, text = client.rcpt(one, list(options))
            assert code == 250, text
        code, text = client.data(message)
        assert code == 250, text
    return text.decode().rsplit(" ", 1)[-1]


@dataclass
class Lines:
    """A conversation by hand."""

    sock: socket.socket

    def __post_init__(self) -> None:
        self.file = self.sock.makefile("rb")

    def hear(self) -> str:
        """The last line of the next reply; empty when the line was closed."""
        while True:
            line = self.file.readline().decode()
            if line[3:4] != "-":
                return line.rstrip("\r\n")

    def say(self, command: str) -> str:
        """Say a command; returns the last line of its reply."""
        self.sock.sendall(command.encode() + b"\r\n")
        return self.hear()

    def say_all(self, *commands: str) -> str:
        """Say commands, each of which must be answered 2xx or 3xx; returns the last reply."""
        reply = ""
        for command in commands:
            reply = self.say(command)
            assert reply[:1] in "23", (command, reply)
        return reply


@contextmanager
def lines(port: int, *, greeting: bool = True) -> Iterator[Lines]:
    """Connect, and hear the greeting."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        talk = Lines(sock)
        if greeting:
            assert talk.hear().startswith("220")
        yield talk
        talk.file.close()


def send_large(
    port: int,
    sender: str,
    to: Sequence[str],
    size_bytes: int,
    *,
    subject: str = "large",
    bytes_per_s: float | None = None,
) -> str:
    """Send a message of about this size, no faster than asked; returns the reply to its end."""
    head = f"From: <{sender}>\r\nSubject: {subject}\r\n\r\n".encode()
    piece = LINE * (100 if bytes_per_s else 800)
    with lines(port) as talk:
        talk.sock.settimeout(120)
        talk.say_all("EHLO client.test", f"MAIL FROM:<{sender}> SIZE={size_bytes}")
        talk.say_all(*(f"RCPT TO:<{one}>" for one in to), "DATA")
        talk.sock.sendall(head)
        begin, sent = time.monotonic(), len(head)
        while sent + len(piece) <= size_bytes:
            talk.sock.sendall(piece)
            sent += len(piece)
            if bytes_per_s:
                time.sleep(max(0.0, begin + sent / bytes_per_s - time.monotonic()))
        return talk.say(".")
