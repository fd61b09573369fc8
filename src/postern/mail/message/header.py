"""The header block of a message, scanned where it lies: byte ranges, never a re-written copy.

Parsing a message and writing it again changes bytes (folding, encoded-words, trailing blanks) and
so breaks signatures; the stdlib parser was measured and did not reproduce its input. Here a field
is a range of the original bytes. Only the fields asked for are looked at.

Only CR LF ends a line, as everywhere in Postern: a bare CR or LF is an ordinary octet of a value.
Lines that are neither a field nor a continuation (junk, such as mbox "From " lines) belong to no
field; a continuation behind junk is junk as well.

Source: RFC 5322 §2.2, §3.6, §4.5 (blanks before the colon), RFC 6532 (UTF-8 in values).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

MAX_HEADER_BYTES = 256 * 1024
"""A header block longer than this is overlong; the rest is not looked at."""

MAX_FIELDS = 5_000
"""More fields than this make a header overlong."""

Range = tuple[int, int]
"""Start and end offsets into the message, end not included."""

_SMALLEST_FIELD_BYTES = 4  # "a:" CR LF
_NAME = rb"[!-9;-~]++"  # RFC 5322 §3.6.8 ftext
_ANY_FIELD = re.compile(rb"\r\n(" + _NAME + rb")[ \t]*+:")
_FIELD_END = re.compile(rb"\r\n(?![ \t])")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its lower-case name, the range of all its lines with their CR LF, and its value.

    ``value`` is what follows the colon, still folded, without the last CR LF.
    """

    name: bytes
    start: int
    end: int
    value: bytes


class HeaderScan:
    """A header block and the questions that can be asked of it.

    Args:
        data: the message or its first bytes; only the first ``limit_bytes`` are looked at.
        limit_bytes: where to stop looking for the end of the header.

    Attributes:
        fields_end: offset just past the last header line's CR LF.
        body_start: offset of the body's first octet, past the empty line.
        is_complete: False when no empty line was seen.
    """

    __slots__ = ("_block", "_limit_bytes", "body_start", "fields_end", "is_complete")

    def __init__(self, data: bytes, limit_bytes: int = MAX_HEADER_BYTES) -> None:
        if data.startswith(b"\r\n"):
            found, self.fields_end, self.body_start = 0, 0, 2
        else:
            found = data.find(b"\r\n\r\n", 0, limit_bytes)
            self.fields_end = found + 2
            self.body_start = found + 4
        self.is_complete = found >= 0
        if not self.is_complete:
            self.fields_end = self.body_start = min(len(data), limit_bytes)
        self._limit_bytes = limit_bytes
        # With a CR LF in front every field follows one, and an offset of that CR LF in the block
        # is the offset of the field's name in the message.
        self._block = b"\r\n" + data[: self.fields_end]

    @property
    def is_overlong(self) -> bool:
        """True when the block did not end within its limit or has more than 5,000 fields."""
        if not self.is_complete and self.fields_end >= self._limit_bytes:
            return True
        if len(self._block) < MAX_FIELDS * _SMALLEST_FIELD_BYTES:
            return False
        return next(islice(_ANY_FIELD.finditer(self._block), MAX_FIELDS, None), None) is not None

    @property
    def starts_with_field(self) -> bool:
        """True when the very first line is a field."""
        return _ANY_FIELD.match(self._block) is not None

    def first(self, name: bytes) -> bytes | None:
        """The value of the first field called ``name`` (any case), or None."""
        match = names_pattern(name).search(self._block)
        return None if match is None else self._value(match.end())

    def all(self, name: bytes) -> list[bytes]:
        """The values of the first 5,000 fields called ``name``, in order."""
        found = islice(names_pattern(name).finditer(self._block), MAX_FIELDS)
        return [self._value(match.end()) for match in found]

    def count(self, name: bytes) -> int:
        """How many fields are called ``name``."""
        return len(names_pattern(name).findall(self._block))

    def has(self, name: bytes) -> bool:
        """True when there is a field called ``name``."""
        return names_pattern(name).search(self._block) is not None

    def remove(self, names: Iterable[bytes]) -> list[Range]:
        """The ranges of all fields with one of these names, whole with their continuation lines.

        Ranges are in order and never overlap. There is no limit on their number: a Bcc must not
        survive because it stood behind 5,000 other fields.
        """
        wanted = names_pattern(*names)
        return [(m.start(), self._end(m.end())) for m in wanted.finditer(self._block)]

    def fields(self) -> Iterator[Field]:
        """The first 5,000 fields in order."""
        for match in islice(_ANY_FIELD.finditer(self._block), MAX_FIELDS):
            end = self._end(match.end())
            yield Field(match[1].lower(), match.start(), end, self._value(match.end()))

    def pick(self, pattern: re.Pattern[bytes]) -> list[tuple[bytes, bytes]]:
        """Name as written and raw value of all fields a ``fields_pattern`` matches, in one step."""
        return pattern.findall(self._block)

    def _value(self, position: int) -> bytes:
        """The raw value that starts here."""
        end = _FIELD_END.search(self._block, position)
        return self._block[position : end.start() if end else len(self._block)]

    def _end(self, position: int) -> int:
        """Offset in the message just past the CR LF of the field whose value starts here."""
        end = _FIELD_END.search(self._block, position)
        return end.end() - 2 if end else self.fields_end


@lru_cache(maxsize=128)
def names_pattern(*names: bytes) -> re.Pattern[bytes]:
    """A pattern that finds fields with one of these names; names come from code, never from mail.

    One alternation over a block is three times as fast as an index of all its fields.
    """
    choice = b"|".join(re.escape(name) for name in names) or b"(?!)"
    return re.compile(rb"\r\n(?i:(" + choice + rb"))[ \t]*+:")


def fields_pattern(*names: bytes) -> re.Pattern[bytes]:
    """A pattern for ``HeaderScan.pick``, to be made once; it matches a field with its value."""
    choice = b"|".join(re.escape(name) for name in names)
    # The group is not possessive: Python before 3.11.5 loses its place where one ends (Debian 12
    # has 3.11.2). Nothing follows it, so nothing is ever given back.
    value = rb"[^\r]*+(?:\r(?!\n[^ \t]|\n\Z)[^\r]*+)*"
    return re.compile(rb"\r\n(?i:(" + choice + rb"))[ \t]*+:(" + value + rb")")


def without(data: bytes, ranges: Iterable[Range]) -> bytes:
    """``data`` with these ranges (in order, not overlapping) left out."""
    kept = []
    position = 0
    for start, end in ranges:
        kept.append(data[position : max(position, start)])
        position = end
    kept.append(data[position:])
    return b"".join(kept)


class HeadCollector:
    """Gathers the header block of a message that comes in pieces; holds nothing behind its bound.

    ``head`` has everything fed so far until ``feed`` returned True, the piece that ended the
    header included.
    """

    __slots__ = ("_limit_bytes", "head", "is_done")

    def __init__(self, limit_bytes: int = MAX_HEADER_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self.head = b""
        self.is_done = False

    def feed(self, piece: bytes) -> bool:
        """True once the header's end was seen or its limit reached; further pieces are ignored."""
        if self.is_done:
            return True
        seen = max(0, len(self.head) - 3)
        self.head = self.head + piece if self.head else piece
        self.is_done = (
            self.head.find(b"\r\n\r\n", seen) >= 0
            or self.head.startswith(b"\r\n")
            or len(self.head) >= self._limit_bytes
        )
        return self.is_done
