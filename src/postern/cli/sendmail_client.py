"""The few lines of SMTP that ``sendmail`` speaks to the server on the same machine."""

import socket
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from postern.cli.sendmail_message import Prepared

CONNECT_TIMEOUT_S = 10.0
REPLY_TIMEOUT_S = 300.0
MAX_REPLY_LINE_BYTES = 4096
MAX_REPLY_LINES = 200
BLOCK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom; ``notify``, ``returns`` and ``envelope_id`` as RFC 3461, or empty."""

    sender: str
    recipients: tuple[str, ...]
    notify: str = ""
    returns: str = ""
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How it went: recipients refused with the reply; ``failure`` ended it for everybody."""

    is_sent: bool
    refused: tuple[tuple[str, str], ...] = ()
    failure: tuple[int, str] | None = None


class Dialogue:
    """A connection to the server's unix socket; raises OSError when there is no server."""

    def __init__(self, place: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_TIMEOUT_S)
        try:
            self._socket.connect(str(place))
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(REPLY_TIMEOUT_S)
        self._replies = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._replies.close()
        self._socket.close()

    def reply(self) -> tuple[int, str, tuple[str, ...]]:
        """The next reply: code, all its text, and its lines; raises EOFError at a hang-up."""
        lines: list[str] = []
        while len(lines) < MAX_REPLY_LINES:
            raw = self._replies.readline(MAX_REPLY_LINE_BYTES)
            if len(raw) < 4 or not raw[:3].isdigit():
                raise EOFError("it hung up")
            text = raw.decode("utf-8", "replace").rstrip("\r\n")
            lines.append(text[4:])
            if raw[3:4] != b"-":
                return int(raw[:3]), " ".join(lines), tuple(lines)
        raise EOFError("it talks without end")

    def ask(self, command: str) -> tuple[int, str, tuple[str, ...]]:
        """Send one command and wait for its reply."""
        self._socket.sendall(f"{command}\r\n".encode())
        return self.reply()

    def send_message(self, body: IO[bytes]) -> tuple[int, str, tuple[str, ...]]:
        """Send the lines of ``body`` with dots stuffed (RFC 5321 §4.5.2), and the final dot."""
        body.seek(0)
        block = bytearray()
        for line in body:
            block += b"." + line if line.startswith(b".") else line
            if len(block) >= BLOCK_BYTES:
                self._socket.sendall(block)
                block.clear()
        self._socket.sendall(bytes(block) + b".\r\n")
        return self.reply()


def converse(dialogue: Dialogue, envelope: Envelope, body: IO[bytes], prepared: Prepared) -> Report:
    """Hand one message in. Recipients that are refused do not keep it from the others.

    Raises:
        OSError, EOFError: the server went away; nothing was sent.
    """
    code, text, _ = dialogue.reply()
    if code != 220:
        return Report(is_sent=False, failure=(code, text))
    code, text, lines = dialogue.ask("EHLO localhost")
    if code != 250:
        return Report(is_sent=False, failure=(code, text))
    offered = {line.partition(" ")[0].upper() for line in lines}
    code, text, _ = dialogue.ask(_mail_command(envelope, prepared, offered))
    if code != 250:
        return Report(is_sent=False, failure=(code, text))
    refused: list[tuple[str, str]] = []
    notify = f" NOTIFY={envelope.notify}" if envelope.notify and "DSN" in offered else ""
    for recipient in envelope.recipients:
        code, text, _ = dialogue.ask(f"RCPT TO:<{recipient}>{notify}")
        if code not in {250, 251}:
            refused.append((recipient, f"{code} {text}"))
    if len(refused) == len(envelope.recipients):
        dialogue.ask("QUIT")
        return Report(is_sent=False, refused=tuple(refused))
    code, text, _ = dialogue.ask("DATA")
    if code == 354:
        code, text, _ = dialogue.send_message(body)
    if code != 250:
        return Report(is_sent=False, refused=tuple(refused), failure=(code, text))
    return Report(is_sent=True, refused=tuple(refused))


def _mail_command(envelope: Envelope, prepared: Prepared, offered: set[str]) -> str:
    words = [f"MAIL FROM:<{envelope.sender}>"]
    if "SIZE" in offered:
        words.append(f"SIZE={prepared.size_bytes}")
    if prepared.is_eight_bit and "8BITMIME" in offered:
        words.append("BODY=8BITMIME")
    addresses = (envelope.sender, *envelope.recipients)
    if "SMTPUTF8" in offered and (
        prepared.has_utf8_header or not all(address.isascii() for address in addresses)
    ):
        words.append("SMTPUTF8")
    if "DSN" in offered:
        if envelope.returns:
            words.append(f"RET={envelope.returns}")
        if envelope.envelope_id:
            words.append(f"ENVID={_xtext(envelope.envelope_id)}")
    return " ".join(words)


def _xtext(text: str) -> str:
    """RFC 3461 §4: printable ASCII without ``+`` and ``=``; the rest as ``+XX``."""
    return "".join(
        chr(b) if 33 <= b <= 126 and chr(b) not in "+=" else f"+{b:02X}" for b in text.encode()
    )
