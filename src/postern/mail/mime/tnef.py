"""TNEF (winmail.dat), in which Outlook and Exchange wrap attachments: their names and contents.

Source: [MS-OXTNEF] §2.1.3 (attributes), [MS-OXCMSG] §2.2.2.11 (the long file name).
"""

import re
import struct

from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.part import What

_MARK_BYTES = 6
_HEAD = struct.Struct("<BII")
_CHECKSUM_BYTES = 2
_LEVELS = (1, 2)
_TITLE = 0x00018010
_DATA = 0x0006800F
_MAX_NAME_BYTES = 1024
_LONG_NAME = re.compile(
    rb"([\x1e\x1f])\x00[\x04\x07]\x37(?:\x01\x00\x00\x00)?(..)\x00\x00", re.DOTALL
)
"""A file name among an attachment's properties, long or short; found wherever it stands."""
_LONG_NAME_BYTES = 12
_NAME_WORK = 4096
_ATTRIBUTE_WORK = 512


class TnefReader(Sink):
    """Goes from attribute to attribute, and looks for long names in whatever goes by."""

    def __init__(self, ledger: Ledger, within: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._within = within
        self._held = b""
        self._behind = b""  # what a long name might have begun in
        self._to_skip = _MARK_BYTES
        self._left = 0
        self._title: bytes | None = None
        self._name = ""
        self._sink: Sink | None = None

    def feed(self, data: bytes) -> bool:
        """False where it is none any more."""
        if not self._find_names(data):
            return False
        buffer = self._held + data
        position = 0
        while position < len(buffer):
            if self._left:
                position = self._data(buffer, position)
            elif self._to_skip:
                step = min(self._to_skip, len(buffer) - position)
                self._to_skip -= step
                position += step
            elif len(buffer) - position < _HEAD.size:
                break
            else:
                if not self._attribute(buffer, position):
                    return False
                position += _HEAD.size
        self._held = buffer[position:]
        return True

    def finish(self) -> None:
        """The last attachment may have been cut off."""
        self._find_in(self._behind)
        if self._sink is not None:
            self._sink.finish()
            self._sink = None

    def _attribute(self, buffer: bytes, position: int) -> bool:
        level, tag, size = _HEAD.unpack_from(buffer, position)
        if level not in _LEVELS:
            return self._give_up("it is damaged")
        if not self._ledger.may_work(_ATTRIBUTE_WORK):
            return self._give_up("there is too much in it")
        self._left, self._to_skip = size, _CHECKSUM_BYTES
        if tag == _TITLE:
            self._title = b""
        elif tag == _DATA and size:
            self._sink = self._ledger.open(self._name, self._within)
        return True

    def _data(self, buffer: bytes, position: int) -> int:
        end = min(position + self._left, len(buffer))
        self._left -= end - position
        if self._title is not None:
            room = _MAX_NAME_BYTES - len(self._title)
            self._title += buffer[position : min(end, position + max(0, room))]
        elif self._sink is not None and not self._sink.feed(buffer[position:end]):
            self._sink = None
        if not self._left:
            self._end_of_data()
        return end

    def _give_up(self, why: str) -> bool:
        self._behind = b""
        self._ledger.tell(What.UNREADABLE, self._within[-1], self._within[:-1], why)
        return False

    def _end_of_data(self) -> None:
        if self._sink is not None:
            self._sink.finish()
            self._sink = None
        if self._title is not None:
            self._name = self._title.partition(b"\x00")[0].decode("utf-8", "replace")
            self._ledger.name(self._name, self._within)
            self._title = None

    def _find_names(self, data: bytes) -> bool:
        """False when there are more than are looked at."""
        buffer = self._behind + data
        whole = max(0, len(buffer) - _MAX_NAME_BYTES - _LONG_NAME_BYTES)
        self._behind = buffer[whole:]
        return self._find_in(buffer, whole)

    def _find_in(self, buffer: bytes, until: int | None = None) -> bool:
        """Names that begin before ``until``: what follows them is there, or there is no more."""
        for found in _LONG_NAME.finditer(buffer):
            if until is not None and found.start() >= until:
                break
            if not self._ledger.may_work(_NAME_WORK):
                return self._give_up("its names come to too much")
            size = min(int.from_bytes(found[2], "little"), _MAX_NAME_BYTES)
            raw = buffer[found.end() : found.end() + size]
            name = raw.decode("utf-16-le" if found[1] == b"\x1f" else "utf-8", "replace")
            self._ledger.name(name.partition("\x00")[0], self._within)
        return True
