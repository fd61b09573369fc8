"""Reads a peer's replies out of whatever pieces the network hands over (RFC 5321 §4.2).

The reader is tolerant where it costs nothing (lines ended by LF alone, no blank after the code, a
multi-line reply whose codes differ: the last line counts) and strict where tolerance would cost
memory or let two replies be taken for one another.
"""

import re
from functools import lru_cache

from postern.mail.reply import Reply

MAX_LINE_BYTES = 2048
"""Four times what RFC 5321 §4.5.3.1.5 allows: real servers put long URLs into refusals."""
MAX_LINES = 100
_SHORT_BYTES = 80

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"^([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)")


class RemoteProtocolError(Exception):
    """The peer does not speak SMTP; the text is one plain sentence without a full stop."""


class ReplyReader:
    """Bytes in, whole replies out; holds at most one unfinished reply."""

    __slots__ = ("_at", "_buffer", "_lines")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._lines: list[str] = []

    def feed(self, data: bytes) -> None:
        """Add what came from the network."""
        self._buffer = self._buffer[self._at :] + data if self._buffer else data
        self._at = 0

    @property
    def has_more(self) -> bool:
        """True when octets beyond the last whole reply are there."""
        return self._at < len(self._buffer) or bool(self._lines)

    def discard(self) -> None:
        """Throw away everything not yet read."""
        self._buffer = b""
        self._at = 0
        self._lines = []

    def next_reply(self) -> Reply | None:
        """The next whole reply, or None until more octets come.

        Raises:
            RemoteProtocolError: a line or a reply is too long, or is no reply at all.
        """
        while (end := self._buffer.find(b"\n", self._at)) >= 0:
            line = self._buffer[self._at : end].removesuffix(b"\r")
            self._at = end + 1
            reply = None if self._lines or len(line) > _SHORT_BYTES else _whole_reply(line)
            if reply is None:
                reply = self._take(line)
            if reply is not None:
                return reply
        if len(self._buffer) - self._at > MAX_LINE_BYTES:
            raise RemoteProtocolError(f"a reply line is longer than {MAX_LINE_BYTES} bytes")
        if self._at:
            self._buffer = self._buffer[self._at :]
            self._at = 0
        return None

    def _take(self, line: bytes) -> Reply | None:
        """Add one line; the reply when it was the last one."""
        if len(line) > MAX_LINE_BYTES:
            raise RemoteProtocolError(f"a reply line is longer than {MAX_LINE_BYTES} bytes")
        match = _LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError(f"said {_printable(line[:60])!r}, which is no reply")
        code, mark, text = match.groups()
        words = _printable(text) if text else ""
        if mark == b"-":
            self._lines.append(words)
            if len(self._lines) >= MAX_LINES:
                raise RemoteProtocolError(f"a reply has more than {MAX_LINES} lines")
            return None
        if not self._lines:
            return _reply(int(code), (words,))
        lines = (*self._lines, words)
        self._lines = []
        return _reply(int(code), lines)


@lru_cache(maxsize=256)
def _whole_reply(line: bytes) -> Reply | None:
    """A reply of one short line; None for anything else. Peers say the same few all day."""
    match = _LINE.fullmatch(line)
    if match is None or match[2] == b"-":
        return None
    return _reply(int(match[1]), (_printable(match[3] or b""),))


def _reply(code: int, lines: tuple[str, ...]) -> Reply:
    """Take the enhanced status code out of the lines (RFC 2034 §4)."""
    match = _ENHANCED.match(lines[-1])
    # RFC 2034 §4: the class must agree with the code's first digit, else it is only text.
    if match is None or ord(lines[-1][0]) - ord("0") != code // 100:
        return Reply(code, "", lines)
    return Reply(code, match[1], tuple(_ENHANCED.sub("", line, count=1) for line in lines))


def _printable(raw: bytes) -> str:
    """Text that can be put into a log, a bounce or a page: no controls, one line."""
    text = raw.decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c == "\t" else "?" for c in text)
