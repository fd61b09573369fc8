"""A part that holds no others: its octets decoded as far as anything is to be learnt of them."""

import re

from postern.mail.mime.ledger import TOO_MUCH, Ledger, Sink
from postern.mail.mime.magic import HEAD_BYTES
from postern.mail.mime.part import Encoding, Fault, What
from postern.mail.mime.transfer import Decoder, decoder_for, uu_line

_PEEK_BYTES = 2 * HEAD_BYTES
"""Octets that are enough for a head in most encodings: most parts are not decoded any further."""
_BEGIN = re.compile(
    rb"\r\nbegin[ \t]{1,8}[0-7]{3,4}[ \t]{1,8}([^\r\n]{1,255})\r\n([^\r\n]{0,200})\r\n"
)
_BEGIN_BYTES = 512
_MAX_UU_LINE_BYTES = 200
_LINE_WORK = 256
_ESCAPE_WORK = 128
_GATHERED_BYTES = 8 * 1024
"""Decoded lines that go on together: what takes them copies what it holds each time."""


class Troubles:
    """Takes what is wrong with how the file ``name`` is encoded, and what decoding it costs."""

    def __init__(
        self, ledger: Ledger, faults: set[Fault], name: str, within: tuple[str, ...]
    ) -> None:
        self._ledger = ledger
        self._faults = faults
        self._name = name
        self._within = within

    def may_decode(self, encoding: Encoding, data: bytes) -> bool:
        """True while these octets may be decoded; False, and told, when that is too much work."""
        work = 0
        if encoding is Encoding.UU:
            work = _LINE_WORK * data.count(b"\n")
        elif encoding is not Encoding.NONE:
            work = len(data) + _ESCAPE_WORK * data.count(b"=")
        if not work or self._ledger.may_work(work):
            return True
        self._ledger.tell(What.UNREADABLE, self._name, self._within, TOO_MUCH)
        return False

    def take(self, decoder: Decoder) -> None:
        """Its file is over."""
        if decoder.is_broken:
            self._faults.add(Fault.BROKEN_BASE64)
        if decoder.is_given_up:
            why = "its base64 ends too often"
            self._ledger.tell(What.UNREADABLE, self._name, self._within, why)


class Decoded(Sink):
    """Decodes what goes into a sink."""

    def __init__(self, encoding: Encoding, sink: Sink, troubles: Troubles) -> None:
        self._decoder = decoder_for(encoding)
        self._sink = sink
        self._encoding = encoding
        self._troubles = troubles
        self._seen = 0
        self._is_done = False

    def feed(self, data: bytes) -> bool:
        """False when the sink wants no more."""
        if self._is_done or not self._troubles.may_decode(self._encoding, data):
            self._is_done = True
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
        self._troubles.take(self._decoder)
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
        self._name = ""
        self._lines_held: list[bytes] = []
        self._size_held = 0

    def feed(self, data: bytes) -> bool:
        """It is never through: one may stand at the end of a long text."""
        buffer = self._held + data
        position = 0
        while position >= 0:
            position = self._lines(buffer, position) if self._file else self._seek(buffer, position)
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
            self._name = name
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
            if octets and not self._ledger.may_work(_LINE_WORK):
                self._ledger.tell(What.UNREADABLE, self._name, self._within, TOO_MUCH)
                octets = b""
            if not octets:
                self._end_file()
                # The line break in front of what follows may begin another file.
                return max(0, position - 2)
            position = end + 2
            if not self._gather(octets):
                self._end_file()
                return max(0, position - 2)

    def _line(self, line: bytes) -> bytes:
        """What one line holds; nothing when the file is over."""
        if len(line) > _MAX_UU_LINE_BYTES or line.rstrip() == b"end":
            return b""
        return uu_line(line)

    def _gather(self, octets: bytes) -> bool:
        """Hand on what came together once it is enough; False when no more is wanted."""
        self._lines_held.append(octets)
        self._size_held += len(octets)
        return self._size_held < _GATHERED_BYTES or self._hand_on()

    def _hand_on(self) -> bool:
        assert self._file is not None
        octets = b"".join(self._lines_held)
        self._lines_held.clear()
        self._size_held = 0
        return not octets or self._file.feed(octets)

    def _end_file(self) -> None:
        assert self._file is not None
        self._hand_on()
        self._file.finish()
        self._file = None

    def finish(self) -> None:
        """The text is over."""
        if self._file is not None:
            octets = self._line(self._held)
            if octets:
                self._gather(octets)
            self._end_file()
