"""Bytes that arrived and were not read yet, and the command lines in them.

Only CR LF ends a line. A line with a bare CR or LF, one that is too long, one that never ends and
one that is no text at all are told apart, and told the same whether the bytes came at once or one
by one: every rule below asks only for bytes that both ways have seen.
"""

from enum import Enum

from postern.mail.smtp.settings import MAX_BACKLOG_BYTES, MAX_LINE_BYTES

_TLS_HANDSHAKE = 0x16
"""First byte of a TLS record that opens a connection (RFC 8446 §5.1); no command begins so."""


class LineFault(Enum):
    """Why the bytes at hand are not a command line."""

    BARE_CR = "bare-cr"
    BARE_LF = "bare-lf"
    TOO_LONG = "too-long"  # the line was dropped, the next one is fine
    ENDLESS = "endless"
    TLS = "tls"


class InputBuffer:
    """What was received and not read; holds one line at most once it has been drained.

    Attributes:
        unread: how many bytes wait.
    """

    __slots__ = ("_at", "_bare_cr", "_data", "_dropped_bytes", "unread")

    def __init__(self) -> None:
        self.unread = 0
        self._data = b""
        self._at = 0
        self._dropped_bytes = 0  # of a line that is too long, dropped while its end is awaited
        self._bare_cr = False  # seen in those

    def feed(self, data: bytes) -> bool:
        """Adds bytes; False, and nothing added, when too much waits already."""
        if not self.unread:
            self._data = data
        elif self.unread + len(data) > MAX_BACKLOG_BYTES:
            return False
        else:
            self._data = self._data[self._at :] + data
        self._at = 0
        self.unread = len(self._data)
        return True

    def clear(self) -> None:
        """Forgets everything that waits."""
        self._dropped_bytes = 0
        self._bare_cr = False
        self._keep_from(len(self._data))

    def take(self, limit: int) -> bytes:
        """Up to ``limit`` bytes, as they came; empty when there are none."""
        if self._at == 0 and self.unread <= limit:
            self._at, self.unread = self.unread, 0
            return self._data
        piece = self._data[self._at : self._at + limit]
        self._at += len(piece)
        self.unread -= len(piece)
        return piece

    def give_back(self, count: int) -> None:
        """Makes the last ``count`` bytes of the last ``take`` unread again."""
        self._keep_from(self._at - count)

    def line(self, limit: int) -> bytes | LineFault | None:
        """The next line without its CR LF, what is wrong with it, or None: its end is not here.

        ``limit`` is the most bytes of one line, its CR LF included.
        """
        data, start = self._data, self._at
        end = data.find(b"\n", start)
        if end < 0:
            return self._unfinished(limit) if self.unread else None
        if (
            end > start
            and data[end - 1] == 13
            and end - start < limit
            and not self._dropped_bytes
            and b"\r" not in (line := data[start : end - 1])
        ):
            self._at = end + 1
            self.unread = unread = len(data) - end - 1
            if not unread:
                self._data, self._at = b"", 0
            return line
        return self._faulty(end, limit)

    def _keep_from(self, at: int) -> None:
        """Marks all before ``at`` as read; an idle connection keeps no buffer that was read."""
        self.unread = len(self._data) - at
        if self.unread:
            self._at = at
        else:
            self._data, self._at = b"", 0

    def _unfinished(self, limit: int) -> LineFault | None:
        """Keeps the start of a line, or drops what is already too long to be one."""
        data, start = self._data, self._at
        if data[start] == _TLS_HANDSHAKE and not self._dropped_bytes:
            return LineFault.TLS
        length = self._dropped_bytes + len(data) - start
        if length >= MAX_LINE_BYTES:
            return LineFault.ENDLESS
        end = start
        if length >= limit:
            # A final CR stays: only the next byte tells whether it is bare.
            end = len(data) - 1 if data.endswith(b"\r") else len(data)
            self._bare_cr = self._bare_cr or data.find(b"\r", start, end) >= 0
            self._dropped_bytes += end - start
        self._data, self._at = data[end:], 0
        self.unread = len(self._data)
        return None

    def _faulty(self, end: int, limit: int) -> LineFault:
        """What is wrong with the line that ends with the LF at ``end``; drops it."""
        line = self._data[self._at : end]
        length = self._dropped_bytes + len(line)
        bare_cr = self._bare_cr or b"\r" in line[:-1]
        first_is_tls = not self._dropped_bytes and line[:1] == bytes([_TLS_HANDSHAKE])
        self._keep_from(end + 1)
        self._dropped_bytes = 0
        self._bare_cr = False
        if first_is_tls:
            return LineFault.TLS
        if length >= MAX_LINE_BYTES:
            return LineFault.ENDLESS
        if bare_cr:
            return LineFault.BARE_CR
        if not line.endswith(b"\r"):
            return LineFault.BARE_LF
        return LineFault.TOO_LONG
