"""What is learnt of a message's parts, as values, and the limits within which it is learnt."""

from dataclasses import dataclass
from enum import Enum


class Encoding(Enum):
    """How a part's octets travel (RFC 2045 §6); uuencode as programs of old have it."""

    NONE = "none"
    BASE64 = "base64"
    QUOTED = "quoted-printable"
    UU = "uuencode"


class Fault(Enum):
    """What is wrong with how a message is put together."""

    TOO_DEEP = "too-deep"
    TOO_MANY_PARTS = "too-many-parts"
    HEADER_TOO_LONG = "header-too-long"
    NO_BOUNDARY = "no-boundary"
    LONG_BOUNDARY = "long-boundary"
    TWO_BOUNDARIES = "two-boundaries"
    REPEATED_BOUNDARY = "repeated-boundary"
    LOOSE_BOUNDARY = "loose-boundary"
    NOT_CLOSED = "not-closed"
    AFTER_CLOSE = "after-close"
    TWO_TYPES = "two-types"
    TWO_ENCODINGS = "two-encodings"
    ENCODED_CONTAINER = "encoded-container"
    MANY_NAMES = "many-names"
    BROKEN_BASE64 = "broken-base64"


class What(Enum):
    """What a discovery is."""

    WATCHED = "watched"
    PROGRAM = "program"
    ENCRYPTED = "encrypted"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Limits:
    """Where reading stops; whatever lies beyond is told as a fault or as unreadable.

    Attributes:
        depth: multiparts and messages inside one another.
        parts: of one message.
        header_bytes: of one part's header.
        archive_depth: archives inside archives.
        archive_bytes: of one archive, decoded.
        inflated_bytes: what archives inside archives may come to, for one message: it is reckoned
            on the loop (some 5 ms for a MiB).
        members: files in all archives of one message.
    """

    depth: int = 50
    parts: int = 2000
    header_bytes: int = 256 * 1024
    archive_depth: int = 5
    archive_bytes: int = 50 * 1024 * 1024
    inflated_bytes: int = 32 * 1024 * 1024
    members: int = 50_000


@dataclass(frozen=True, slots=True)
class Part:
    """One part that holds no others.

    Attributes:
        type: ``text/plain``; lower case; of several the first.
        names: the file names that a mail program might give it, the first four.
        encodings: how its octets travel; more than one when its header contradicts itself.
        size_bytes: as it travels.
    """

    type: str
    names: tuple[str, ...]
    encodings: tuple[Encoding, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Discovery:
    """Something found in a part or in an archive.

    Attributes:
        name: of the file, as one might see it; may hold anything, so clean it before it is shown.
        within: names of the archives it is in, the outermost first.
        detail: which program, which archive, or why it can't be read.
    """

    what: What
    name: str
    within: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Structure:
    """A message as its parts."""

    parts: tuple[Part, ...] = ()
    types: frozenset[str] = frozenset()
    faults: frozenset[Fault] = frozenset()
    discoveries: tuple[Discovery, ...] = ()

    @property
    def is_text(self) -> bool:
        """True for a message that is nothing but one text."""
        return len(self.parts) == 1 and self.parts[0].type.startswith("text/")
