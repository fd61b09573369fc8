"""swaks, the SMTP client people test mail servers with, and its transcript as values."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

# "<-  250 ok", " -> QUIT", under TLS "<~" and " ~>"; "<**" and "<~*": not what swaks hoped for.
LINE = re.compile(r"^(?P<arrow><-|<~\*|<~|<\*\*| ->| ~>|\*\*>|~\*>)\s(?P<text>.*)$")
# swaks' own exit codes that tell which step was refused
REFUSED_AT = {21: "banner", 22: "helo", 23: "mail", 24: "rcpt", 25: "data", 26: "message"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """What swaks saw.

    ``lines`` are ``("C" or "S", text)`` in order, the message itself left out where swaks leaves
    it out; ``exit_code`` as in swaks(1), 0 when the message was accepted.
    """

    exit_code: int
    lines: tuple[tuple[str, str], ...]
    transcript: str

    @property
    def accepted(self) -> bool:
        """Whether the message was accepted."""
        return self.exit_code == 0

    @property
    def refused_at(self) -> str:
        """Which step was refused: ``banner helo mail rcpt data message``, or empty."""
        return REFUSED_AT.get(self.exit_code, "")

    def replies(self, code: str = "") -> list[str]:
        """The server's lines, or those that begin with ``code``."""
        return [text for side, text in self.lines if side == "S" and text.startswith(code)]

    def reply_to(self, command: str) -> str:
        """The last reply line to the last client line that begins with ``command``."""
        reply = ""
        listening = False
        for side, text in self.lines:
            if side == "C":
                listening = text.upper().startswith(command.upper())
            elif listening:
                reply = text
        return reply


def swaks(
    port: int,
    *,
    sender: str,
    to: str | Sequence[str],
    host: str = "127.0.0.1",
    options: Sequence[str] = (),
    message: bytes | None = None,
    timeout_s: float = 60.0,
) -> Exchange:
    """Send one message.

    Args:
        port: where the server listens.
        sender: MAIL FROM, ``"<>"`` for the null sender.
        to: one recipient or several.
        host: the server's address.
        options: further options as in swaks(1), for instance ``("--tls",)`` or
            ``("--auth-user", "a@b", "--auth-password", "…")``.
        message: the whole message; without it swaks writes a small one.
        timeout_s: how long swaks may take in all.
    """
    recipients = to if isinstance(to, str) else ",".join(to)
    command = [
        "swaks", "--server", host, "--port", str(port), "--from", sender, "--to", recipients,
        "--helo", "client.test", "--timeout", "20", *options,
    ]  # fmt: skip
    if message is not None:
        command += ["--data", "-"]
    done = subprocess.run(
        command,
        input=message if message is not None else b"",
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    transcript = (done.stdout + done.stderr).decode("utf-8", "replace")
    return Exchange(done.returncode, tuple(parse(transcript)), transcript)


def proxied(ip: str) -> tuple[str, ...]:
    """Options with which swaks comes from an address, by a PROXY header of version 1."""
    return (
        "--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-source", ip,
        "--proxy-source-port", "4242", "--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25",
    )  # fmt: skip


def parse(transcript: str) -> list[tuple[str, str]]:
    """The two sides' lines out of a transcript."""
    lines: list[tuple[str, str]] = []
    for raw in transcript.splitlines():
        match = LINE.match(raw)
        if match:
            side = "S" if match["arrow"].startswith("<") else "C"
            lines.append((side, match["text"].strip()))
    return lines
