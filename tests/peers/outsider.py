"""A sender from outside: a plain SMTP client that comes from any address, by the PROXY protocol."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

TIMEOUT_S = 30.0
MAX_LINES = 50


@dataclass(frozen=True, slots=True)
class Letter:
    """One message and who hands it in; ``message`` has CR LF line ends, and no final dot.

    ``is_hasty``: the client says EHLO before it is greeted.
    """

    ip: str
    helo: str
    sender: str
    message: bytes
    is_hasty: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """How far it came: ``banner helo mail rcpt data message``, and the reply to that."""

    stage: str
    lines: tuple[str, ...]

    @property
    def code(self) -> int:
        """The reply's three digits."""
        return int(self.lines[0][:3])

    @property
    def accepted(self) -> bool:
        """True when the whole message was taken."""
        return self.stage == "message" and self.code == 250

    @property
    def text(self) -> str:
        """Everything that was said, in one line."""
        return " ".join(line[4:] for line in self.lines)

    @property
    def trace(self) -> str:
        """The trace code at the reply's end."""
        code = self.lines[-1].rsplit(" ", 1)[-1]
        assert code.startswith("PT-"), self.lines
        return code


def hand_in(port: int, letter: Letter, recipients: Sequence[str]) -> Said:
    """Hand a message to a listener that wants a PROXY header; the first refusal ends it."""
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as line,
        line.makefile("rb") as ear,
    ):
        family = "TCP6" if ":" in letter.ip else "TCP4"
        ours = "2001:db8::1" if family == "TCP6" else "192.0.2.1"
        hello = f"EHLO {letter.helo}"
        hasty = f"{hello}\r\n" if letter.is_hasty else ""
        line.sendall(f"PROXY {family} {letter.ip} {ours} 4242 25\r\n{hasty}".encode())
        said = Said("banner", _reply(ear))
        words = [
            ("helo", "" if letter.is_hasty else hello),
            ("mail", f"MAIL FROM:<{letter.sender}>"),
            *(("rcpt", f"RCPT TO:<{recipient}>") for recipient in recipients),
            ("data", "DATA"),
        ]
        for stage, word in words:
            if said.code >= 400:
                return said
            if word:
                line.sendall(f"{word}\r\n".encode())
            said = Said(stage, _reply(ear))
        if said.code < 400:
            line.sendall(letter.message.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
            said = Said("message", _reply(ear))
        line.sendall(b"QUIT\r\n")
        return said


def _reply(ear: BinaryIO) -> tuple[str, ...]:
    lines: list[str] = []
    while len(lines) < MAX_LINES:
        line = ear.readline().decode("ascii").rstrip("\r\n")
        assert line, f"the server hung up after {lines}"
        lines.append(line)
        if line[3:4] != "-":
            return tuple(lines)
    raise AssertionError(f"a reply without end: {lines}")
