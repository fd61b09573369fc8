"""One compressed file: gzip, bzip2, xz. What comes out is looked into as a file of its own.

Source: RFC 1951, RFC 1952 §2.2 (several behind one another are one file), §2.3 (the name in it).
"""

import bz2
import lzma
import re
import zlib
from typing import Protocol

from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.magic import HEAD_BYTES, Kind
from postern.mail.mime.names import SQUEEZED
from postern.mail.mime.part import What

PIECE_BYTES = 64 * 1024
_WORK = {Kind.BZIP2: 5, Kind.XZ: 2}
"""What an octet takes, as against one that is inflated."""
_BZIP2_BLOCK_BYTES = 100 * 1024
RATIO = 100
"""Archives hardly shrink once more: what comes to more than this of its size is a trap."""
_RATIO_FROM_BYTES = 1024 * 1024
_MEMORY_BYTES = 64 * 1024 * 1024
_SQUEEZED = re.compile(r"\.(?:" + "|".join(sorted(SQUEEZED)) + r")\s*\Z", re.IGNORECASE)
_SQUEEZED_TAR = re.compile(r"\.t(?:gz|bz2?|xz|az)\s*\Z", re.IGNORECASE)
_GZIP_HEAD_BYTES = 10


class Decompressor(Protocol):
    """The parts of ``bz2`` and ``lzma`` that are used."""

    @property
    def eof(self) -> bool:
        """The end was reached."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What stood behind the end."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Some of what comes out; more of it for no further data."""
        ...


class _Deflate:
    """``zlib`` in the same shape."""

    def __init__(self, window: int) -> None:
        self._zlib = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max(0, max_length))


def _decompressor(kind: Kind) -> Decompressor:
    match kind:
        case Kind.GZIP:
            return _Deflate(31)
        case Kind.BZIP2:
            return bz2.BZ2Decompressor()
        case Kind.XZ:
            return lzma.LZMADecompressor(memlimit=_MEMORY_BYTES)
        case _:
            return _Deflate(-15)  # as in a zip, without a head of its own


class Inflater:
    """Lets out what is compressed into a sink, in pieces, within what the ledger allows.

    ``is_over``: nothing more will come. ``is_trap``: it came to too much. ``is_broken``: it can't
    be read any further. ``rest``: octets behind its end.
    """

    def __init__(self, kind: Kind, ledger: Ledger, sink: Sink) -> None:
        self._ledger = ledger
        self._sink = sink
        self._decompressor = _decompressor(kind)
        self._work = _WORK.get(kind, 1)
        self._is_bzip2 = kind is Kind.BZIP2
        self._in = 0
        self._out = 0
        self.is_over = False
        self.is_trap = False
        self.is_broken = False
        self.rest = b""

    def feed(self, data: bytes) -> bool:
        """Let out what this comes to; False once it is over."""
        if not self._in and self._is_bzip2 and not self._may_begin(data):
            return False
        self._in += len(data)
        if not self._ledger.may_work(len(data)):
            self.is_trap = self.is_over = True
        while not self.is_over:
            most = PIECE_BYTES if self._out else HEAD_BYTES
            try:
                piece = self._decompressor.decompress(data, most)
            except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError):
                self.is_broken = self.is_over = True
                break
            data = b""
            if piece:
                self._let_out(piece)
            if self._decompressor.eof:
                self.is_over = True
                self.rest = self._decompressor.unused_data
            elif not piece:
                break
        return not self.is_over

    def _may_begin(self, head: bytes) -> bool:
        """A block of bzip2 is decoded whole before its first octet comes out."""
        blocks = max(1, head[3] - 0x30) if len(head) > 3 else 9
        self.is_trap = not self._ledger.may_work(blocks * _BZIP2_BLOCK_BYTES)
        self.is_over = self.is_trap
        return not self.is_trap

    def _let_out(self, piece: bytes) -> None:
        self._out += len(piece)
        if self._work > 1 and not self._ledger.may_work((self._work - 1) * len(piece)):
            self.is_trap = self.is_over = True
            return
        is_too_much = self._out > _RATIO_FROM_BYTES and self._out > RATIO * self._in
        if is_too_much or not self._ledger.may_inflate(len(piece)):
            self.is_trap = self.is_over = True
        elif not self._sink.feed(piece):
            self.is_over = True


class Compressed(Sink):
    """A compressed file, or several behind one another that are one."""

    def __init__(self, kind: Kind, ledger: Ledger, name: str, within: tuple[str, ...]) -> None:
        self._kind = kind
        self._ledger = ledger
        self._name = name
        self._within = within
        self._sink: Sink | None = None
        self._inflater: Inflater | None = None
        self._first = b""

    def feed(self, data: bytes) -> bool:
        """Let out what it comes to."""
        if self._inflater is None:
            return self._start(data)
        while not self._inflater.feed(data):
            data = self._inflater.rest
            if self._inflater.is_trap or self._inflater.is_broken:
                why = "it comes to too much" if self._inflater.is_trap else "it is damaged"
                self._ledger.tell(What.UNREADABLE, self._name, self._within[:-1], why)
                return False
            if not data:
                return False
            assert self._sink is not None
            self._inflater = Inflater(self._kind, self._ledger, self._sink)
        return True

    def finish(self) -> None:
        """What came out is at its end."""
        if self._sink is not None:
            self._sink.finish()

    def _start(self, data: bytes) -> bool:
        """Its head is there whole: whoever looked at it waited for that."""
        inner = _SQUEEZED.sub("", _SQUEEZED_TAR.sub(".tar", self._name))
        said = _gzip_name(data) if self._kind is Kind.GZIP else ""
        self._ledger.name(inner, self._within)
        self._ledger.name(said, self._within)
        self._sink = self._ledger.open(said or inner, self._within)
        self._inflater = Inflater(self._kind, self._ledger, self._sink)
        return self.feed(data)


def _gzip_name(head: bytes) -> str:
    """The name that the file is to have when it is unpacked."""
    flags = head[3] if len(head) > _GZIP_HEAD_BYTES else 0
    if not flags & 8:
        return ""
    start = _GZIP_HEAD_BYTES
    if flags & 4:
        start += 2 + int.from_bytes(head[start : start + 2], "little")
    return head[start:].partition(b"\x00")[0].decode("latin-1")
