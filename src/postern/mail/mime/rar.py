"""RAR's list of files, versions 4 and 5; only what is stored as it is can be looked into.

Source: technote of RAR 4.x and "RAR 5.0 archive format", rarlab.com.
"""

import struct

from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.part import What

_MARK = b"Rar!\x1a\x07"
_MARK_4 = b"Rar!\x1a\x07\x00"
_MARK_5 = b"Rar!\x1a\x07\x01\x00"
_MAX_HEADER_BYTES = 128 * 1024
_MAIN_4, _FILE_4, _SERVICE_4 = 0x73, 0x74, 0x7A
_FILE_5, _ENCRYPTION_5 = 2, 4
_FILE_ENCRYPTION = 1
_MAX_RECORDS = 64
"""Records behind one file's name; there are seven kinds."""
_HEADER_WORK = 512
_CHAR_WORK = 32


class RarReader(Sink):
    """Goes from header to header."""

    def __init__(self, ledger: Ledger, name: str, within: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._name = name
        self._within = within
        self._held = b""
        self._skip = 0
        self._sink: Sink | None = None
        self._version = 0
        self._is_told = False

    def feed(self, data: bytes) -> bool:
        """False when it can't be read any further."""
        buffer = self._held + data
        position = 0
        if not self._version:
            # Its mark may have something else in front of it.
            start = buffer.find(_MARK)
            if start < 0 or len(buffer) - start < len(_MARK_5):
                self._held = buffer[max(0, len(buffer) - len(_MARK_5)) if start < 0 else start :]
                return True
            self._version = 5 if buffer.startswith(_MARK_5, start) else 4
            position = start + len(_MARK_5 if self._version == 5 else _MARK_4)
        while position < len(buffer):
            if self._skip:
                position = self._data(buffer, position)
                continue
            if not self._ledger.may_work(_HEADER_WORK):
                return self._give_up("more files than are looked at")
            size = (
                self._header_5(buffer, position)
                if self._version == 5
                else self._header_4(buffer, position)
            )
            if size < 0:
                return False
            if not size:
                break
            position += size
        self._held = buffer[position:]
        if len(self._held) > _MAX_HEADER_BYTES:
            return self._give_up("it is damaged")
        return True

    def finish(self) -> None:
        """The last file may have been cut off."""
        if self._sink is not None:
            self._sink.finish()

    def _data(self, buffer: bytes, position: int) -> int:
        end = min(position + self._skip, len(buffer))
        self._skip -= end - position
        if self._sink is not None and not self._sink.feed(buffer[position:end]):
            self._sink = None
        if self._sink is not None and not self._skip:
            self._sink.finish()
            self._sink = None
        return end

    def _give_up(self, why: str) -> bool:
        self._ledger.tell(What.UNREADABLE, self._name, self._within[:-1], why)
        return False

    def _encrypted(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._ledger.tell(What.ENCRYPTED, self._name, self._within[:-1], "rar")

    def _file(self, names: list[str], *, is_stored: bool, is_encrypted: bool) -> bool:
        """One file of the list; False when there are too many."""
        if not self._ledger.may_list():
            return self._give_up("more files than are looked at")
        for name in names:
            self._ledger.name(name, self._within)
        if is_encrypted:
            self._encrypted()
        elif is_stored and self._skip:
            self._sink = self._ledger.open(names[-1], self._within)
        return True

    def _header_4(self, buffer: bytes, start: int) -> int:
        """The size of the header at ``start``; 0: more of it must come; -1: it can't be read."""
        if len(buffer) < start + 11:
            return 0
        _, kind, flags, size = struct.unpack_from("<HBHH", buffer, start)
        if size < 7:
            self._give_up("it is damaged")
            return -1
        if kind == _MAIN_4 and flags & 0x80:
            self._encrypted()
            return -1
        if len(buffer) < start + size:
            return 0
        if flags & 0x8000 or kind in (_FILE_4, _SERVICE_4):
            self._skip = int(struct.unpack_from("<I", buffer, start + 7)[0])
        if kind != _FILE_4 or size < 32:
            return int(size)
        method, name_size = (
            buffer[start + 25],
            int.from_bytes(buffer[start + 26 : start + 28], "little"),
        )
        at = start + 32
        if flags & 0x100:
            self._skip += int.from_bytes(buffer[at : at + 4], "little") << 32
            at += 8
        names = _names_4(buffer[at : min(at + name_size, start + size)])
        if not self._ledger.may_work(_CHAR_WORK * sum(map(len, names))):
            self._give_up("its names come to too much")
            return -1
        going_on = self._file(names, is_stored=method == 0x30, is_encrypted=bool(flags & 4))
        return int(size) if going_on else -1

    def _header_5(self, buffer: bytes, start: int) -> int:
        """As ``_header_4``."""
        fields = _Vints(buffer, start + 4)
        size = fields.next()
        end = fields.position + size
        if fields.is_short or len(buffer) < end:
            too_long = not fields.is_short and size > _MAX_HEADER_BYTES
            if too_long:
                self._give_up("it is damaged")
            return -1 if too_long else 0
        kind, flags = fields.next(), fields.next()
        extra_size = fields.next() if flags & 1 else 0
        self._skip = fields.next() if flags & 2 else 0
        if kind == _ENCRYPTION_5:
            self._encrypted()
            return -1
        if kind == _FILE_5:
            is_encrypted = _has_encryption(buffer[max(start, end - extra_size) : end])
            if is_encrypted is None:
                self._give_up("it is damaged")
                return -1
            if not self._file_5(fields, buffer, end, is_encrypted=is_encrypted):
                return -1
        return end - start

    def _file_5(self, fields: "_Vints", buffer: bytes, end: int, *, is_encrypted: bool) -> bool:
        about = fields.next()
        fields.next()
        fields.next()
        fields.position += 4 * ((about >> 1 & 1) + (about >> 2 & 1))
        method = fields.next() >> 7 & 7
        fields.next()
        size = fields.next()
        last = min(fields.position + size, end)
        name = buffer[fields.position : last].decode("utf-8", "replace")
        return self._file([name], is_stored=not method, is_encrypted=is_encrypted)


class _Vints:
    """Numbers of seven bits an octet, the lowest first; zero where there are no more octets."""

    def __init__(self, buffer: bytes, position: int) -> None:
        self._buffer = buffer
        self.position = position
        self.is_short = False

    def next(self) -> int:
        """The next number."""
        number = 0
        for shift in range(0, 70, 7):
            if self.position >= len(self._buffer):
                self.is_short = True
                return 0
            octet = self._buffer[self.position]
            self.position += 1
            number |= (octet & 0x7F) << shift
            if not octet & 0x80:
                break
        return number


def _has_encryption(extra: bytes) -> bool | None:
    """True when a record says that the file's data are encrypted; None: there are too many."""
    position = records = 0
    while position < len(extra):
        records += 1
        if records > _MAX_RECORDS:
            return None
        fields = _Vints(extra, position)
        size = fields.next()
        begin = fields.position
        if fields.next() == _FILE_ENCRYPTION and not fields.is_short:
            return True
        if not size:
            break
        position = begin + size
    return False


def _names_4(raw: bytes) -> list[str]:
    """The plain name, and the one in Unicode that takes its place."""
    plain, has_more, packed = raw.partition(b"\x00")
    names = [plain.decode("utf-8", "replace")]
    if has_more and packed:
        names.append(_unpacked(plain, packed))
    return names


def _unpacked(plain: bytes, packed: bytes) -> str:
    """RAR 4 writes a Unicode name as its difference from the plain one, two bits a step."""
    high, position = packed[0] << 8, 1
    bits, left = 0, 0
    out: list[int] = []

    def take() -> int:
        nonlocal position
        octet = packed[position] if position < len(packed) else 0
        position += 1
        return octet

    while position < len(packed) and len(out) < 2048:
        if not left:
            bits, left = take(), 8
        left -= 2
        step = bits >> left & 3
        if step == 0:
            out.append(take())
        elif step == 1:
            out.append(take() | high)
        elif step == 2:
            low = take()
            out.append(low | take() << 8)
        else:
            count = take()
            shift = take() if count & 0x80 else 0
            for _ in range((count & 0x7F) + 2):
                octet = plain[len(out)] if len(out) < len(plain) else 0
                out.append((octet + shift & 0xFF) | high if count & 0x80 else octet)
    return "".join(map(chr, out))
