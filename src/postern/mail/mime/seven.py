"""7z's list of files: names, and whether anything is encrypted; the files themselves are not read.

The list stands at the end, most often compressed by LZMA. What an archive's beginning says of where
it is has to hold: 7-Zip checks it by a sum.

Source: 7zFormat.txt of 7-Zip 24.
"""

import lzma

from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.part import What

_START_BYTES = 32
_KEPT_BYTES = 512 * 1024
"""The end of the archive that is kept: room for the list of some ten thousand files."""
_LIST_BYTES = 4 * 1024 * 1024
_MAX_ROUNDS = 3
_STEP_BYTES = 64 * 1024
_LZMA_WORK = 2
"""As against inflating."""
_PROBE_WORK = 256
_MAX_PROBES = 10_000
"""Octets that could begin a list of names; of ten thousand files some four hundred look so."""
_TOO_MUCH = "its list of files is too large"
_PLAIN, _ENCODED = 0x01, 0x17
_PACK_INFO, _UNPACK_INFO, _SIZE, _FOLDER = 0x06, 0x07, 0x09, 0x0B
_NAMES = b"\x11"
_AES = b"\x06\xf1\x07\x01"
_LZMA1, _LZMA2 = b"\x03\x01\x01", b"\x21"


class SevenReader(Sink):
    """Keeps the end, and reads the list once all is there."""

    def __init__(self, ledger: Ledger, name: str, within: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._name = name
        self._within = within
        self._start = b""
        self._tail = bytearray()
        self._size = 0
        self._is_over = False  # it came to too much, which was told

    def feed(self, data: bytes) -> bool:
        """Kept only as far as the list may reach."""
        if len(self._start) < _START_BYTES:
            self._start = (self._start + data)[:_START_BYTES]
        self._size += len(data)
        self._tail += data
        if len(self._tail) > 2 * _KEPT_BYTES:
            del self._tail[:-_KEPT_BYTES]
        return True

    def finish(self) -> None:
        """Read the list."""
        offset = int.from_bytes(self._start[12:20], "little")
        size = int.from_bytes(self._start[20:28], "little")
        listed = self._at(offset, size)
        for _ in range(_MAX_ROUNDS):
            if listed[:1] != bytes([_ENCODED]):
                break
            if _AES in listed:
                self._tell(What.ENCRYPTED, "7z")
                return
            listed = self._decoded(listed)
            if self._is_over:
                return
        if listed[:1] != bytes([_PLAIN]):
            self._tell(What.UNREADABLE, "its list of files can't be read")
            return
        if _AES in listed:
            self._tell(What.ENCRYPTED, "7z")
        self._names(listed)

    def _tell(self, what: What, detail: str) -> None:
        self._ledger.tell(what, self._name, self._within[:-1], detail)

    def _at(self, offset: int, size: int) -> bytes:
        """Octets by where they stand behind the start; nothing where they are not kept."""
        begin = _START_BYTES + offset - (self._size - len(self._tail))
        return bytes(self._tail[begin : begin + size]) if begin >= 0 else b""

    def _decoded(self, encoded: bytes) -> bytes:
        """The list that an encoded one tells where to find; nothing where it can't be read."""
        fields = _Fields(encoded, 1)
        if not fields.is_next(_PACK_INFO):
            return b""
        offset, _ = fields.number(), fields.number()
        if not fields.is_next(_SIZE):
            return b""
        packed = self._at(offset, fields.number())
        at = encoded.find(bytes([_UNPACK_INFO, _FOLDER, 1, 0, 1]), fields.position)
        if at < 0 or not packed:
            return b""
        return self._unpacked(packed, _Fields(encoded, at + 5))

    def _unpacked(self, packed: bytes, coder: "_Fields") -> bytes:
        """What one coder makes of it, a step at a time: LZMA, or nothing."""
        options = _options(coder)
        if options is None:
            return b""
        found = bytearray()
        try:
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])
            while len(found) < _LIST_BYTES and not decompressor.eof:
                piece = decompressor.decompress(packed, _STEP_BYTES)
                packed = b""
                if not piece:
                    break
                found += piece
                if not self._ledger.may_inflate(_LZMA_WORK * len(piece)):
                    self._give_up()
                    return b""
        except (lzma.LZMAError, ValueError, EOFError):
            return b""
        return bytes(found)

    def _give_up(self) -> None:
        self._is_over = True
        self._tell(What.UNREADABLE, _TOO_MUCH)

    def _names(self, listed: bytes) -> None:
        """All names: wherever a list of names could begin, if its size and its end fit."""
        at, left = listed.find(_NAMES), 2 * _LIST_BYTES
        probes = 0
        while at >= 0 and left > 0:
            probes += 1
            if probes > _MAX_PROBES or not self._ledger.may_work(_PROBE_WORK):
                self._give_up()
                return
            fields = _Fields(listed, at + 1)
            size = fields.number() - 1
            is_here = fields.octet() == 0
            end = fields.position + size
            if is_here and size % 2 == 0 and listed.startswith(b"\x00\x00", end - 2):
                left -= size
                if not self._list(listed[fields.position : end]):
                    return
            at = listed.find(_NAMES, at + 1)
        if left <= 0:
            self._tell(What.UNREADABLE, "its list of files can't be read")

    def _list(self, names: bytes) -> bool:
        """False when there are more than are looked at."""
        for name in names.decode("utf-16-le", "replace").split("\x00"):
            if not self._ledger.may_list():
                self._tell(What.UNREADABLE, "more files than are looked at")
                return False
            self._ledger.name(name, self._within)
        return True


def _options(coder: "_Fields") -> dict[str, int] | None:
    """How one coder packs, if it is LZMA."""
    flags = coder.octet()
    name = coder.octets(flags & 0x0F)
    properties = coder.octets(coder.number()) if flags & 0x20 else b""
    # The list is no longer than this, so neither is any way back in it.
    options: dict[str, int] = {"dict_size": _LIST_BYTES}
    if name == _LZMA1 and len(properties) == 5 and properties[0] < 9 * 5 * 5:
        packing = properties[0]
        options |= {"id": lzma.FILTER_LZMA1, "lc": packing % 9}
        return options | {"lp": packing // 9 % 5, "pb": packing // 45}
    return options | {"id": lzma.FILTER_LZMA2} if name == _LZMA2 else None


class _Fields:
    """Octets and numbers of a list, one after the other; zero where there are no more."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self.position = position

    def octet(self) -> int:
        """The next octet."""
        self.position += 1
        return self._data[self.position - 1] if self.position <= len(self._data) else 0

    def octets(self, count: int) -> bytes:
        """The next octets."""
        start, self.position = self.position, self.position + min(count, len(self._data))
        return self._data[start : self.position]

    def number(self) -> int:
        """The next number: the first octet's leading ones tell how many more belong to it."""
        first = self.octet()
        more = 0
        while more < 8 and first & (0x80 >> more):
            more += 1
        low = int.from_bytes(self.octets(more), "little")
        return low | (first & (0x7F >> more)) << (8 * more)

    def is_next(self, tag: int) -> bool:
        """True when the next octet is this one."""
        return self.octet() == tag
