"""The message on its way out: line ends made whole, dots doubled, and a proper end.

Nothing here can put a bare CR or a bare LF on the wire. Receivers that take one of these for a
line end were led to see two messages in one (SMTP smuggling); what we send reads the same to
every receiver. Content is promised to end its lines in CR LF, so normally nothing changes.
"""

_END = b".\r\n"


def whole_lines(data: bytes) -> bytes:
    """``data`` with every bare CR and bare LF turned into CR LF."""
    pairs = data.count(b"\r\n")
    if data.count(b"\n") == pairs and data.count(b"\r") == pairs:
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def chunk_of(data: bytes) -> bytes:
    """Content as one BDAT chunk: whole lines to the last one, and no dots (RFC 3030 §2)."""
    lines = whole_lines(data)
    return lines if lines.endswith(b"\r\n") or not lines else lines + b"\r\n"


def data_of(data: bytes) -> bytes:
    """Content that is in memory as it follows 354, with the end of data (RFC 5321 §4.5.2)."""
    stuffer = DotStuffer()
    body = stuffer.feed(data)
    return body + stuffer.finish()


class DotStuffer:
    """Content in pieces, cut anywhere, as it follows 354 (RFC 5321 §4.5.2)."""

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._at_line_start = True
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """The octets to send for this piece. A final CR waits for what follows it."""
        if self._held:
            chunk = self._held + chunk
            self._held = b""
        if chunk.endswith(b"\r"):
            self._held = b"\r"
            chunk = chunk[:-1]
        if not chunk:
            return b""
        lines = whole_lines(chunk)
        stuffed = lines.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and lines.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = lines.endswith(b"\r\n")
        return stuffed

    def finish(self) -> bytes:
        """The end of data: CR LF . CR LF, its first CR LF being the last line's own."""
        at_line_start = self._at_line_start and not self._held
        return _END if at_line_start else b"\r\n" + _END
