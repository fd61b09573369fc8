"""Zip as it streams by: every file that any program could find in it.

Programs disagree about broken zips: some read from the front, others the list at the end, others
repair. So each entry is looked for by its signature wherever it stands, in both places; names that
only one of them has count too. ``zipfile`` wants to seek, and believes the end alone.

Source: APPNOTE.TXT 4.3.7 (local header), 4.3.12 (central directory), 4.4.4 (flags), 4.6.9 (Unicode
path).
"""

import struct

from postern.mail.mime.compressed import Inflater
from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.magic import HEAD_BYTES, Kind
from postern.mail.mime.part import What

_LOCAL = struct.Struct("<HHHHHIIIHH")
_LOCAL_BYTES = 30
_CENTRAL_BYTES = 46
_CENTRAL = struct.Struct("<HHHHHHIIIHH")
_SIGNED_LOCAL = b"\x03\x04"
_SIGNED_CENTRAL = b"\x01\x02"
_STORED, _DEFLATED, _AES = 0, 8, 99
_METHODS = frozenset({0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 16, 18, 19, 20, *range(93, 100)})
_MAX_VERSION = 100
_ENCRYPTED, _UTF8 = 1, 0x800
_UNICODE_PATH = 0x7075
_OVERLAP = "files in it lie over one another"
_NAME_WORK = 4
_SIGNATURE_WORK = 192
_MAX_FIELDS = 64
"""Extra fields of one entry that are looked at; programs write two or three."""
_MAX_PATHS = 4
"""Unicode paths of one entry, which has one: programs take the first, or the last."""
_MAX_OPEN = 8
"""Files that lie over one another; in an honest zip none do."""


class _Member:
    """The data of one file, as far as they are wanted."""

    def __init__(self, sink: Sink, inflater: Inflater | None, size: int) -> None:
        self._sink = sink
        self._inflater = inflater
        self._left = size  # of stored data; -1: nobody said
        self._start = b""

    def feed(self, data: bytes) -> bool:
        """False when it is over."""
        if self._inflater is not None:
            return self._inflater.feed(data)
        if self._left >= 0:
            data = data[: self._left]
            self._left -= len(data)
        if len(self._start) < 4:
            self._start += data
            if self._start.startswith(b"PK\x03\x04"):
                return False  # a zip as it is: its entries are seen without any help
            data = self._start if len(self._start) >= 4 else b""
        wants_more = self._sink.feed(data)
        return wants_more and self._left != 0

    def finish(self) -> None:
        """It is over."""
        if self._inflater is None and len(self._start) < 4:
            self._sink.feed(self._start)
        self._sink.finish()

    @property
    def is_trap(self) -> bool:
        """It came to more than may be."""
        return self._inflater is not None and self._inflater.is_trap


class ZipReader(Sink):
    """Names, encryption and contents of the files in a zip."""

    def __init__(self, ledger: Ledger, name: str, within: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._name = name
        self._within = within
        self._held = b""
        self._members: list[_Member] = []
        self._told: set[str] = set()
        self._listed = 0  # where the last entry of the list ends in the buffer
        self._is_full = False

    def feed(self, data: bytes) -> bool:
        """False when there are more files than are looked at."""
        if self._is_full:
            return False
        self._feed_members(data)
        buffer = self._held + data
        self._held = buffer[self._scan(buffer, is_end=False) :]
        return not self._is_full

    def finish(self) -> None:
        """What was cut off at the end may still have its name."""
        self._scan(self._held, is_end=True)
        self._held = b""
        for member in self._members:
            member.finish()
        self._members.clear()

    def _feed_members(self, data: bytes) -> None:
        for member in list(self._members):
            if not member.feed(data):
                self._end(member)

    def _end(self, member: _Member) -> None:
        member.finish()
        self._members.remove(member)
        if member.is_trap:
            self._tell(What.UNREADABLE, "it comes to too much")

    def _scan(self, buffer: bytes, *, is_end: bool) -> int:
        """Look at all entries in ``buffer``; from where on more is needed."""
        position = 0
        self._listed = 0
        while not self._is_full:
            start = buffer.find(b"PK", position)
            if start < 0:
                return len(buffer) - (1 if buffer.endswith(b"P") else 0)
            if len(buffer) - start < 4:
                return start
            if not self._ledger.may_work(_SIGNATURE_WORK):
                self._is_full = True
                self._tell(What.UNREADABLE, "more files than are looked at")
                break
            # An entry's own name or extra field may hold others, which some program would find.
            position = start + 2
            signature = buffer[start + 2 : start + 4]
            if signature == _SIGNED_LOCAL:
                is_whole = self._local(buffer, start, is_end=is_end)
            elif signature == _SIGNED_CENTRAL:
                is_whole = self._central(buffer, start, is_end=is_end)
            else:
                continue
            if not is_whole:
                return start
        return len(buffer)

    def _local(self, buffer: bytes, start: int, *, is_end: bool) -> bool:
        """A file and its data; False when more of the entry has to come."""
        if len(buffer) < start + _LOCAL_BYTES:
            return is_end
        version, flags, method, _, _, _, size, _, name_size, extra_size = _LOCAL.unpack_from(
            buffer, start + 4
        )
        if not _is_likely(version, method, name_size):
            return True
        behind = start + _LOCAL_BYTES + name_size + extra_size
        if len(buffer) < behind and not is_end:
            return False
        name = self._entry(buffer, start + _LOCAL_BYTES, name_size, extra_size, flags, method)
        if self._is_full:
            return True
        if name.endswith("/") or flags & _ENCRYPTED or method not in (_STORED, _DEFLATED):
            return True
        if self._members and not self._ledger.may_overlap():
            self._tell(What.UNREADABLE, _OVERLAP)
            return True
        sink = self._ledger.open(name, self._within)
        if method == _DEFLATED:
            self._begin(_Member(sink, Inflater(Kind.ZIP, self._ledger, sink), -1), buffer, behind)
        else:
            # Whatever size it says here: most programs believe the list at the end.
            left = size if size >= HEAD_BYTES else -1
            self._begin(_Member(sink, None, left), buffer, behind)
        return True

    def _begin(self, member: _Member, buffer: bytes, position: int) -> None:
        if len(self._members) >= _MAX_OPEN:
            self._tell(What.UNREADABLE, _OVERLAP)
            self._end(self._members[0])
        self._members.append(member)
        # Most files are known for what they are by their head: only then no more is copied.
        head = position + 2 * HEAD_BYTES
        if not member.feed(buffer[position:head]) or (
            head < len(buffer) and not member.feed(buffer[head:])
        ):
            self._end(member)

    def _central(self, buffer: bytes, start: int, *, is_end: bool) -> bool:
        """A line of the list at the end."""
        if len(buffer) < start + _CENTRAL_BYTES:
            return is_end
        entry = _CENTRAL.unpack_from(buffer, start + 4)
        _, version, flags, method, _, _, _, _, _, name_size, extra_size = entry
        if not _is_likely(version, method, name_size):
            return True
        if len(buffer) < start + _CENTRAL_BYTES + name_size + extra_size and not is_end:
            return False
        begin = start + _CENTRAL_BYTES
        if begin < self._listed and not self._ledger.may_overlap():
            self._is_full = True
            self._tell(What.UNREADABLE, _OVERLAP)
            return True
        self._listed = max(self._listed, begin + name_size + extra_size)
        self._entry(buffer, begin, name_size, extra_size, flags, method)
        return True

    def _entry(
        self, buffer: bytes, start: int, name_size: int, extra_size: int, flags: int, method: int
    ) -> str:
        """Take down one entry's names; the one to show."""
        if not self._ledger.may_list():
            self._is_full = True
            self._tell(What.UNREADABLE, "more files than are looked at")
            return ""
        if not self._ledger.may_work(_NAME_WORK * (name_size + extra_size)):
            self._is_full = True
            self._tell(What.UNREADABLE, "its names come to too much")
            return ""
        raw = buffer[start : start + name_size]
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        self._ledger.name(name, self._within)
        extra = buffer[start + name_size : start + name_size + extra_size]
        paths, is_cut = _unicode_paths(extra)
        for other in paths:
            self._ledger.name(other, self._within)
        if is_cut:
            self._tell(What.UNREADABLE, "a file in it has many names")
        if flags & _ENCRYPTED or method == _AES:
            self._tell(What.ENCRYPTED, "zip")
        elif method not in (_STORED, _DEFLATED):
            self._tell(What.UNREADABLE, "compressed in a way that is not read")
        return name

    def _tell(self, what: What, detail: str) -> None:
        if detail not in self._told:
            self._told.add(detail)
            self._ledger.tell(what, self._name, self._within[:-1], detail)


def _is_likely(version: int, method: int, name_size: int) -> bool:
    """False for octets that only look like the beginning of an entry."""
    return version & 0xFF <= _MAX_VERSION and method in _METHODS and name_size > 0


def _unicode_paths(extra: bytes) -> tuple[list[str], bool]:
    """Names that take the place of the entry's own; True when there may be more of them."""
    found: list[str] = []
    position = fields = 0
    while position + 4 <= len(extra):
        fields += 1
        if fields > _MAX_FIELDS or len(found) >= _MAX_PATHS:
            return found, True
        tag, size = struct.unpack_from("<HH", extra, position)
        if tag == _UNICODE_PATH:
            found.append(extra[position + 9 : position + 4 + size].decode("utf-8", "replace"))
        position += 4 + size
    return found, False
