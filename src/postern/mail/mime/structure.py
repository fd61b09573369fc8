"""Reads how a message is put together while it streams in, in pieces of any size.

Delimiters are what separates parts, and programs disagree about them. Here a part begins wherever
any of them would see one: a line that begins with a boundary in force, behind a closing one too,
and with each value that could be meant as boundary. Splitting too often hides nothing: each piece's
header is read, and what it would have been part of is told as a fault.

Source: RFC 2046 §5.1 (multipart), §5.1.1 (a delimiter may have more behind it), §5.2.1 (messages).
"""

from postern.mail.message.header import HeaderScan
from postern.mail.mime.boundaries import Boundaries
from postern.mail.mime.fields import Entity, read_entity
from postern.mail.mime.gathered import TOO_MANY_BOUNDARIES, Gathered
from postern.mail.mime.inspect import inspector
from postern.mail.mime.leaf import Decoded, Troubles, UuFinder
from postern.mail.mime.ledger import TOO_MUCH, Ledger, Sink
from postern.mail.mime.names import MAILS, chosen, extensions
from postern.mail.mime.part import Encoding, Fault, Limits, Part, Structure, What
from postern.mail.smtp.body import normalised

MAX_DELIMITER_BYTES = 1000
MAX_OPEN_MAILS = 20
"""Messages that are files, inside one another."""
_MAIL_WORK = 16
_HEADER_WORK = 64
"""An octet of a message that is a file, and of a header in it: the message itself has paid."""
_KEPT_NAMES = 4
_NOTHING_SAID = Entity((), (), (Encoding.NONE,), (), ())


class StructureReader:
    """Fed with a body, once its header was read.

    Args:
        scan: the message's header.
        limits: where to stop.
        watched: extensions that are to be told (``Ledger``).
    """

    def __init__(self, scan: HeaderScan, limits: Limits, watched: frozenset[str]) -> None:
        self._gathered = Gathered(limits, Ledger(limits, watched, inspector))
        self._gathered.ledger.open_mail = self._open_mail
        self._body = _Body(self._gathered, 0, ())
        self._body.begin(scan)

    def _open_mail(self, within: tuple[str, ...]) -> Sink:
        return _message_file(self._gathered, len(within), within)

    def feed(self, piece: bytes) -> None:
        """The next octets of the body."""
        self._gathered.ledger.earn(len(piece))
        self._body.feed(piece)

    def finish(self) -> Structure:
        """The whole of it."""
        self._body.finish()
        gathered = self._gathered
        gathered.ledger.open_mail = None  # nothing points in a circle: it goes as soon as it may
        return Structure(
            tuple(gathered.parts),
            frozenset(gathered.types),
            frozenset(gathered.faults),
            tuple(gathered.ledger.discoveries),
        )


class _Body:
    """A message's body, split into parts. ``depth``: how deep in others it lies itself."""

    __slots__ = (
        "_begins",
        "_consumers",
        "_depth",
        "_entity",
        "_gathered",
        "_held",
        "_in_header",
        "_is_file",
        "_is_single",
        "_levels",
        "_scanned",
        "_size",
        "_within",
    )

    def __init__(self, gathered: Gathered, depth: int, within: tuple[str, ...]) -> None:
        self._gathered = gathered
        self._depth = depth
        self._within = within
        self._levels = Boundaries(gathered.faults)
        self._held = b"\r\n"  # the line in front ended, so a delimiter may come at once
        self._begins = True
        self._in_header = False
        self._scanned = 0  # octets of the header in ``_held`` that need no second look
        self._entity: Entity | None = None
        self._consumers: list[Sink] = []
        self._size = 0
        self._is_file = bool(depth or within)
        self._is_single = False

    # --- octets -----------------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """The next octets."""
        if self._is_single:
            self._take(piece)
            return
        if self._gathered.is_full:
            return
        buffer = self._held + piece if self._held else piece
        position = 0
        while True:
            if self._in_header:
                end = self._read_header(buffer, position)
            else:
                end = self._read_part(buffer, position)
            if self._gathered.is_full:
                self._held = b""
                return
            if end < 0:
                self._held = buffer[-end - 1 :]
                return
            position = end

    def _read_part(self, buffer: bytes, start: int) -> int:
        """Up to behind the next delimiter; -1 - n: from n on, more is needed."""
        position = start
        longest = self._levels.longest
        while True:
            position = buffer.find(b"\r\n--", position)
            if position < 0:
                break
            if buffer.startswith(self._levels.every, position + 4):
                return self._at_delimiter(buffer, start, position)
            if len(buffer) - position < longest + 4:
                break
            position += 4
        # What might be the beginning of a delimiter is held back.
        every = self._levels.every
        cut = buffer.find(b"\r", max(start, len(buffer) - longest - 3)) if every else -1
        if cut < 0:
            cut = len(buffer)
        self._take(buffer[start:cut])
        return -1 - cut

    def _at_delimiter(self, buffer: bytes, start: int, position: int) -> int:
        """Ends the part at ``position``, where a boundary in force was met."""
        end = buffer.find(b"\r\n", position + 4, position + MAX_DELIMITER_BYTES)
        if end < 0 and len(buffer) < position + MAX_DELIMITER_BYTES:
            self._take(buffer[start:position])
            return -1 - position
        if end < 0:
            end = position + MAX_DELIMITER_BYTES
        self._take(buffer[start:position])
        self._delimit(buffer[position + 4 : end])
        return end

    def _read_header(self, buffer: bytes, start: int) -> int:
        """A part's header: up to the empty line, or to a delimiter, which ends it as well.

        ``buffer`` goes on from the end of the line in front, its CR LF included.
        """
        limit = start + self._gathered.limits.header_bytes
        position = start + self._scanned
        while True:
            position = buffer.find(b"\r\n", position, limit)
            if position < 0 or len(buffer) - position < 4:
                break
            if buffer.startswith(b"\r\n", position + 2):
                return self._header_ends(buffer[start + 2 : position + 4], position + 2)
            if buffer.startswith(b"--", position + 2):
                if buffer.startswith(self._levels.every, position + 4):
                    self._header_ends(buffer[start + 2 : position + 2], position)
                    return position
                if len(buffer) - position < self._levels.longest + 4:
                    break
            position += 2
        if len(buffer) < limit + self._levels.longest + 8:
            self._scanned = (len(buffer) - 1 if position < 0 else position) - start
            return -1 - start
        self._gathered.faults.add(Fault.HEADER_TOO_LONG)
        return self._header_ends(buffer[start + 2 : limit], limit)

    def _header_ends(self, header: bytes, position: int) -> int:
        self._in_header = False
        self._scanned = 0
        self.begin(HeaderScan(header, len(header) + 1))
        return position

    def finish(self) -> None:
        """There is no more."""
        held, self._held = self._held, b""
        if self._in_header and held:
            self._header_ends(held[2:] + b"\r\n", 0)
        elif not self._is_single:
            self._end_of_octets(held)
        self._end_part()
        if not self._gathered.is_full:
            self._levels.finish()

    def _end_of_octets(self, held: bytes) -> None:
        """The last line may be a delimiter without its CR LF."""
        at = held.find(b"\r\n--")
        while at >= 0 and not held.startswith(self._levels.every, at + 4):
            at = held.find(b"\r\n--", at + 4)
        if at < 0 or not self._levels.every:
            self._take(held)
            return
        self._take(held[:at])
        self._delimit(held[at + 4 :])

    # --- parts ------------------------------------------------------------------------------------

    def begin(self, scan: HeaderScan) -> None:
        """A header was read: what comes now is its body."""
        gathered = self._gathered
        if self._is_file and not gathered.ledger.may_work(_HEADER_WORK * scan.body_start):
            gathered.ledger.tell(What.UNREADABLE, "", self._within, TOO_MUCH)
            self._levels = Boundaries(gathered.faults)
            self._is_single = True  # the rest of it goes by
            return
        entity = read_entity(scan) or _NOTHING_SAID
        gathered.types.update(entity.types)
        gathered.faults.update(entity.faults)
        for name in entity.names:
            gathered.ledger.name(name, self._within)
        gathered.count += 1
        self._entity = entity
        self._size = 0
        if gathered.count > gathered.limits.parts:
            gathered.stop_at_parts(self._within)
        elif entity.is_multipart:
            self._open_multipart(entity)
        elif entity.is_message and entity.encodings == (Encoding.NONE,):
            self._open_message(entity)
        elif entity is _NOTHING_SAID and not self._levels.count and not self._depth:
            self._consumers.append(UuFinder(gathered.ledger, self._within))
        else:
            self._open_leaf(entity)
        # Without a delimiter to look for there is no other part to come.
        self._is_single = not self._levels.count
        self._begins = not self._is_single

    def _deeper(self) -> int:
        """How deep a thing inside the current one lies; -1 when that is too deep."""
        depth = self._depth + self._levels.count + 1
        if depth <= self._gathered.limits.depth:
            return depth
        self._gathered.faults.add(Fault.TOO_DEEP)
        return -1

    def _open_multipart(self, entity: Entity) -> None:
        self._entity = None
        if self._deeper() < 0:
            return
        if any(encoding is not Encoding.NONE for encoding in entity.encodings):
            self._gathered.faults.add(Fault.ENCODED_CONTAINER)
        if not self._levels.open(entity.boundaries):
            self._gathered.stop(TOO_MANY_BOUNDARIES, self._within)

    def _open_message(self, entity: Entity) -> None:
        """A message as it is: its own header comes next."""
        if self._deeper() < 0:
            self._open_leaf(entity)
            return
        self._entity = None
        self._levels.open_message()
        self._in_header = True

    def _open_leaf(self, entity: Entity) -> None:
        """A part of its own: looked into in every encoding that it may have."""
        gathered = self._gathered
        name = chosen(entity.names)
        is_mail = entity.is_message or bool(extensions(name) & MAILS)  # whatever it begins with
        if not (entity.is_text and not name):
            self._look_into(entity, name, is_mail=is_mail)
        if Encoding.NONE in entity.encodings and not is_mail:
            self._consumers.append(UuFinder(gathered.ledger, self._within))

    def _look_into(self, entity: Entity, name: str, *, is_mail: bool) -> None:
        gathered = self._gathered
        for encoding in entity.encodings:
            sink = self._mail() if is_mail else gathered.ledger.open(name, self._within)
            troubles = Troubles(gathered.ledger, gathered.faults, name, self._within)
            self._consumers.append(Decoded(encoding, sink, troubles))

    def _mail(self) -> Sink:
        """A message that is a file, or is encoded, which none may be (RFC 2046 §5.2.1)."""
        depth = self._deeper()
        return Sink() if depth < 0 else _message_file(self._gathered, depth, self._within)

    @property
    def work(self) -> int:
        """What an octet takes, as against one that is inflated."""
        return _MAIL_WORK + len(self._levels.every) // 2

    def _take(self, data: bytes) -> None:
        """Octets of the current part."""
        if self._begins and data:
            self._begins = False
            data = data.removeprefix(b"\r\n")
        self._size += len(data)
        if self._consumers and data:
            self._consumers = [one for one in self._consumers if one.feed(data) or _end(one)]

    def _end_part(self) -> None:
        for consumer in self._consumers:
            consumer.finish()
        self._consumers = []
        entity, self._entity = self._entity, None
        if entity is None or len(self._gathered.parts) >= self._gathered.limits.parts:
            return
        kind = entity.types[0] if entity.types else "text/plain"
        self._gathered.parts.append(
            Part(kind, entity.names[:_KEPT_NAMES], entity.encodings, self._size)
        )

    # --- delimiters -------------------------------------------------------------------------------

    def _delimit(self, line: bytes) -> None:
        """A line behind "--" that begins with a boundary in force."""
        self._end_part()
        if self._gathered.may_delimit(self._within):
            self._in_header = self._levels.delimit(line)


def _end(consumer: Sink) -> bool:
    consumer.finish()
    return False


def _message_file(gathered: Gathered, depth: int, within: tuple[str, ...]) -> Sink:
    """What reads a message that is a file: one inside the other is one call inside the other."""
    if gathered.open_mails >= MAX_OPEN_MAILS:
        gathered.faults.add(Fault.TOO_DEEP)
        return Sink()
    gathered.open_mails += 1
    return _MessageFile(gathered, depth, within)


class _MessageFile(Sink):
    """A message whose octets come decoded, with whatever line ends."""

    def __init__(self, gathered: Gathered, depth: int, within: tuple[str, ...]) -> None:
        self._gathered = gathered
        self._body = _Body(gathered, depth, within)
        self._limit = gathered.limits.header_bytes
        self._head = b""
        self._within = within
        self._has_begun = False
        self._is_over = False
        self._cr = b""

    def feed(self, data: bytes) -> bool:
        """It is read to its end, unless that is too much work."""
        if self._is_over:
            return False
        if not self._gathered.ledger.may_work(len(data) * self._body.work):
            self._is_over = True
            self._gathered.ledger.tell(What.UNREADABLE, "", self._within, TOO_MUCH)
            return False
        data = self._cr + data
        self._cr = b"\r" if data.endswith(b"\r") else b""
        lines = normalised(data.removesuffix(b"\r") if self._cr else data)
        if self._has_begun:
            self._body.feed(lines)
            return True
        self._head += lines
        if b"\r\n\r\n" in self._head or len(self._head) > self._limit:
            self._begin()
        return True

    def _begin(self) -> None:
        self._has_begun = True
        scan = HeaderScan(self._head, self._limit)
        if scan.is_overlong:
            self._gathered.faults.add(Fault.HEADER_TOO_LONG)
        self._body.begin(scan)
        self._body.feed(self._head[scan.body_start :])
        self._head = b""

    def finish(self) -> None:
        """The message is over."""
        if not self._has_begun:
            self._begin()
        self._body.finish()
        self._gathered.open_mails -= 1
