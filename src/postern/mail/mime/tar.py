"""Tar as it streams by: names, and what the files in it are.

Source: POSIX.1-2017 pax (ustar, extended headers); GNU's long names.
"""

from postern.mail.mime.ledger import Ledger, Sink
from postern.mail.mime.names import last_of
from postern.mail.mime.part import What

BLOCK = 512
_NAME_WORK = 4
_BLOCK_WORK = 1024
"""To see whether a block is a header."""
_MAX_NAME_BYTES = 64 * 1024
_MAX_NAMES = 16
"""Long names in front of one file that may become its name; there is one."""


class TarReader(Sink):
    """Goes from header to header; a block that is none is passed over, as repairing programs do."""

    def __init__(self, ledger: Ledger, within: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._within = within
        self._held = b""
        self._left = 0  # of the current file's data
        self._padding = 0
        self._sink: Sink | None = None
        self._long: bytearray | None = None  # gathers a name that is too long for its header
        self._is_pax = False
        self._names: list[str] = []

    def feed(self, data: bytes) -> bool:
        """False when there are more files than are looked at."""
        buffer = self._held + data
        position = 0
        while position < len(buffer):
            if self._left:
                position = self._data(buffer, position)
            elif self._padding:
                step = min(self._padding, len(buffer) - position)
                self._padding -= step
                position += step
            elif len(buffer) - position < BLOCK:
                break
            else:
                if not self._ledger.may_work(_BLOCK_WORK):
                    return self._give_up("there is too much in it")
                if not self._header(buffer[position : position + BLOCK]):
                    return False
                position += BLOCK
        self._held = buffer[position:]
        return True

    def finish(self) -> None:
        """The last file may have been cut off."""
        if self._sink is not None:
            self._sink.finish()
            self._sink = None

    def _data(self, buffer: bytes, position: int) -> int:
        end = min(position + self._left, len(buffer))
        self._left -= end - position
        if self._sink is not None and not self._sink.feed(buffer[position:end]):
            self._sink = None
        elif self._long is not None and len(self._long) < _MAX_NAME_BYTES:
            room = _MAX_NAME_BYTES - len(self._long)
            self._long += buffer[position : min(end, position + room)]
        if not self._left:
            self._end_of_data()
        return end

    def _give_up(self, why: str) -> bool:
        self._ledger.tell(What.UNREADABLE, self._within[-1], self._within[:-1], why)
        return False

    def _end_of_data(self) -> None:
        if self._sink is not None:
            self._sink.finish()
            self._sink = None
        if self._long is not None:
            octets, self._long = bytes(self._long), None
            # Whoever asks next is refused.
            self._ledger.may_work(_NAME_WORK * len(octets))
            names = _pax_paths(octets) if self._is_pax else [_text(octets)]
            # Told when they are read: of those that follow one another only the last are kept.
            for one in names:
                self._ledger.name(one, self._within)
            self._names = (self._names + [last_of(one) for one in names])[-_MAX_NAMES:]

    def _header(self, block: bytes) -> bool:
        size = _size(block[124:136])
        if size < 0 or not (block[257:262] == b"ustar" or _is_summed(block)):
            return True
        if not self._ledger.may_list():
            return self._give_up("more files than are looked at")
        kind = block[156:157]
        self._left, self._padding = size, -size % BLOCK
        if kind in (b"L", b"x", b"g"):
            self._is_pax = kind != b"L"
            self._long = bytearray()
            return True
        name = _text(block[:100])
        self._ledger.name(name, self._within)
        if size:
            self._sink = self._ledger.open((self._names or [name])[-1], self._within)
        self._names = []
        return True


def _is_summed(block: bytes) -> bool:
    """True for a header older than ustar: its checksum says so."""
    said = _size(block[148:156])
    return said > 0 and sum(block) - sum(block[148:156]) + 8 * 32 == said


def _text(octets: bytes) -> str:
    return octets.partition(b"\x00")[0].decode("utf-8", "replace")


def _size(field: bytes) -> int:
    """Octets of data; -1 for what is no number."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \x00")
    if not digits:
        return 0
    return int(digits, 8) if all(48 <= octet < 56 for octet in digits) else -1


def _pax_paths(records: bytes) -> list[str]:
    """``path`` of an extended header."""
    found = []
    for line in records.split(b"\n"):
        _, is_path, path = line.partition(b" path=")
        if is_path:
            found.append(path.decode("utf-8", "replace"))
    return found[:8]
