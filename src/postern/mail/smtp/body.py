"""The octets of a message as they come in: DATA with its dots, BDAT with its counts.

Only CR LF . CR LF ends DATA. Whatever else a peer takes for an end of data (LF . LF, LF . CR LF,
CR LF . LF, CR . CR …) is content here, refused or normalised but never obeyed, so that nobody can
hide a second message inside a first (RFC 5321 §2.3.8, SMTP smuggling).

All scanning is done by C functions over whole pieces. The few octets that only the next piece can
explain are held back, never more than four, so any split of the input gives the same message.
"""

import re
from io import IncrementalNewlineDecoder

_END = b"\r\n.\r\n"
_END_HEADS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
_STUFFED = b"\r\n."
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class DataDecoder:
    """Decodes one message sent by DATA.

    After each ``feed``: ``finished`` tells that the end of data was seen, ``unused_bytes`` how
    many octets behind it belong to the next command, and ``bare`` is b"CR" or b"LF" once such an
    octet was met alone and is not to be normalised; nothing may be fed after either.
    """

    __slots__ = ("_at_start", "_held", "_normalise", "bare", "finished", "unused_bytes")

    def __init__(self, *, normalise: bool) -> None:
        self._normalise = normalise
        # The line of the DATA command ended in CR LF, so a dot may come at once: as if held back.
        self._held = b"\r\n"
        self._at_start = True
        self.finished = False
        self.unused_bytes = 0
        self.bare = b""

    def feed(self, data: bytes) -> bytes:
        """The message's octets in ``data``, dots unstuffed; may be empty."""
        buffer = self._held + data
        dot = buffer.find(_STUFFED)
        cut = self._cut(buffer, dot)
        raw = buffer[:cut]
        if dot + len(_STUFFED) > cut:
            dot = -1  # it belongs to the end, or to what is held back
        bare = first_bare_newline(raw)
        if bare >= 0 and not self._normalise:
            self.bare = b"CR" if raw[bare] == 13 else b"LF"
            raw = raw[:bare]
        body = raw if dot < 0 else raw.replace(_STUFFED, b"\r\n")
        if bare >= 0 and self._normalise:
            body = normalised(body)
        if self._at_start and cut:
            self._at_start = False
            return body[2:]
        return body

    def _cut(self, buffer: bytes, dot: int) -> int:
        """How much of ``buffer`` is sure; holds back the rest, or finds the end in it."""
        if dot >= 0:
            end = buffer.find(_END, dot)
            if end >= 0:
                self.finished = True
                self.unused_bytes = len(buffer) - end - len(_END)
                return end + 2
        self._held = next((head for head in _END_HEADS if buffer.endswith(head)), b"")
        return len(buffer) - len(self._held)


class ChunkDecoder:
    """Decodes one message sent by BDAT: octets as they are, bare newlines watched (RFC 3030).

    A CR at the end of a chunk may have its LF in the next; ``feed`` wants to be told the last.
    """

    __slots__ = ("_held", "_normalise", "bare")

    def __init__(self, *, normalise: bool) -> None:
        self._normalise = normalise
        self._held = b""
        self.bare = b""

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """The message's octets in ``data``; sets ``bare`` as ``DataDecoder`` does."""
        buffer = self._held + data
        held = b"\r" if buffer.endswith(b"\r") and not last else b""
        self._held = held
        body = buffer[:-1] if held else buffer
        bare = first_bare_newline(body)
        if bare < 0:
            return body
        if self._normalise:
            return normalised(body)
        self.bare = b"CR" if body[bare] == 13 else b"LF"
        return body[:bare]


def first_bare_newline(body: bytes) -> int:
    """Where the first CR without LF or LF without CR is, or -1. ``body`` splits no CR LF."""
    # The newline decoder of text files notes in one C pass which kinds of line end it met. It is
    # twice as fast as comparing three counts and forty times as fast as the regular expression.
    decoder = IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(body.decode("latin-1"), final=True)
    if decoder.newlines is None or decoder.newlines == "\r\n":
        return -1
    match = _BARE.search(body)
    return -1 if match is None else match.start()


def normalised(body: bytes) -> bytes:
    """``body`` with every bare CR and bare LF made CR LF."""
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
