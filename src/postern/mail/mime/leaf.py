"""A part that holds no others: its octets decoded as far as anything is to be learnt of them."""

import re

from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.magic import HEAD_BYTES
from postern.mail.mime.part import Encoding, Fault
from postern.mail.mime.transfer import decoder_for, uu_line

_PEEK_BYTES = 2 * HEAD_BYTES
"""Octets that are enough for a head in most encodings: most parts are not decoded any further."""
_BEGIN = re.compile(
    rb"\r\nbegin[ \t]{1,8}[0-7]{3,4}[ \t]{1,8}([^\r\n]{1,255})\r\n([^\r\n]{0,200})\r\n"
)
_BEGIN_BYTES = 512
_MAX_UU_LINE_BYTES = 200


class Decoded(Sink):
    """Decodes what goes into a sink; ``faults`` takes what is wrong with the encoding."""

    def __init__(self, encoding: Encoding, sink: Sink, faults: set[Fault]) -> None:
        self._decoder = decoder_for(encoding)
        self._sink = sink
        self._faults = faults
        self._seen = 0
        self._is_done = False

    def feed(self, data: bytes) -> bool:
        """False when the sink wants no more."""
        if self._is_done:
            return False
        if self._seen < _PEEK_BYTES:
            first = data[: _PEEK_BYTES - self._seen]
            self._seen += len(first)
            self._pass_on(self._decoder.feed(first))
            data = data[len(first) :]
        if data and not self._is_done:
            self._pass_on(self._decoder.feed(data))
        return not self._is_done

    def _pass_on(self, decoded: bytes) -> None:
        if decoded and not self._sink.feed(decoded):
            self._is_done = True

    def finish(self) -> None:
        """The last octets."""
        if not self._is_done:
            self._pass_on(self._decoder.finish())
        if self._decoder.is_broken:
            self._faults.add(Fault.BROKEN_BASE64)
        self._sink.finish()


class UuFinder(Sink):
    """Looks for uuencoded files in text: mail programs show them as attachments.

    Believed only where a line of it follows, for people write about "begin 644" as well.
    """

    def __init__(self, ledger: Ledger, within: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._within = within
        self._held = b"\r\n"
        self._file: Sink | None = None

    def feed(self, data: bytes) -> bool:
        """It is never through: one may stand at the end of a long text."""
        buffer = self._held + data
        position = 0
        while True:
            position = self._lines(buffer, position) if self._file else self._seek(buffer, position)
            if position < 0 or not self._file:
                break
        return True

    def _seek(self, buffer: bytes, position: int) -> int:
        """Where a file's first line begins, or -1."""
        while True:
            start = buffer.find(b"\r\nbegin", position)
            if start < 0:
                self._held = buffer[max(position, len(buffer) - 6) :]
                return -1
            found = _BEGIN.match(buffer, start)
            if found is None:
                if len(buffer) - start < _BEGIN_BYTES and buffer.count(b"\r\n", start) < 3:
                    self._held = buffer[start:]
                    return -1
                position = start + 2
                continue
            if not uu_line(found[2]):
                position = start + 2
                continue
            name = found[1].decode("utf-8", "replace")
            self._ledger.name(name, self._within)
            self._file = self._ledger.open(name, self._within)
            return found.start(2)

    def _lines(self, buffer: bytes, position: int) -> int:
        """Lines of a file; where text goes on, or -1 when there are no more."""
        assert self._file is not None
        while True:
            end = buffer.find(b"\r\n", position)
            if end < 0 and len(buffer) - position <= _MAX_UU_LINE_BYTES:
                self._held = buffer[position:]
                return -1
            octets = self._line(buffer[position:end]) if end >= 0 else b""
            if not octets:
                self._end_file()
                # The line break in front of what follows may begin another file.
                return max(0, position - 2)
            wants_more = self._file.feed(octets)
            position = end + 2
            if not wants_more:
                self._end_file()
                return max(0, position - 2)

    def _line(self, line: bytes) -> bytes:
        """What one line holds; nothing when the file is over."""
        if len(line) > _MAX_UU_LINE_BYTES or line.rstrip() == b"end":
            return b""
        return uu_line(line)

    def _end_file(self) -> None:
        assert self._file is not None
        self._file.finish()
        self._file = None

    def finish(self) -> None:
        """The text is over."""
        if self._file is not None:
            octets = self._line(self._held)
            if octets:
                self._file.feed(octets)
            self._end_file()
