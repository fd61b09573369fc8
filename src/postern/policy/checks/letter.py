"""A message as checks look at it: its header, and hashes of its body, taken as it streamed in.

Nothing of it is kept but the header: what a check wants of the body it gets while the body goes by.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property

from postern.mail.address import Address
from postern.mail.arc.verify import ArcPlan, plan_arc
from postern.mail.dkim.body import BodyForm, BodyHasher, BodyHashes
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.verify import DkimPlan, plan_dkim
from postern.mail.message.header import HeaderScan
from postern.mail.message.listid import list_id
from postern.mail.message.mailbox import parse_mailboxes
from postern.mail.mime.part import Limits, Structure
from postern.mail.mime.structure import StructureReader

MAX_LINE_BYTES = 998
_LONG = re.compile(rb"\n[^\n]{%d}" % (MAX_LINE_BYTES + 2))
"""Two more: the CR in front of its LF, and one octet too many."""
MAX_NAMED = 50
"""Addresses in From that rules are asked about; more than that stand in no honest message."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How far a message is looked into: ``watched`` are extensions that are told."""

    limits: Limits = field(default_factory=Limits)
    watched: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Letter:
    """One message that has come whole.

    ``dkim`` and ``arc`` are what its header promises, ``hashes`` what its body came to;
    ``has_long_line``: a line has more than 998 octets (RFC 5322 §2.1.1). ``structure``: its parts.
    ``is_utf8``: it was said to have UTF-8 in its header (RFC 6531).
    """

    head: bytes
    scan: HeaderScan
    dkim: DkimPlan
    arc: ArcPlan
    hashes: BodyHashes
    has_long_line: bool = False
    structure: Structure = field(default_factory=Structure)
    is_utf8: bool = False

    @cached_property
    def authors(self) -> tuple[Address, ...] | None:
        """The addresses of From; None when there is no From, several, or one nobody can read."""
        values = self.scan.all(b"from")
        return parse_mailboxes(values[0]) if len(values) == 1 else None

    @cached_property
    def named(self) -> tuple[Address, ...]:
        """Every address in every From, for rules: what any mail program might show."""
        found: dict[Address, None] = {}
        for value in self.scan.all(b"from")[:MAX_NAMED]:
            found |= dict.fromkeys(parse_mailboxes(value) or ())
        return tuple(found)[:MAX_NAMED]

    @cached_property
    def list_id(self) -> str:
        """The mailing list it came through; empty for none."""
        return list_id(self.scan.first(b"list-id") or b"")


class LetterReader:
    """Fed with a message: first the header as it came, then its body in pieces.

    Args:
        head: the first octets, the whole header at least.
        header_end: where the body begins.
        now: seconds since 1970: signatures expire.
        depth: how far its parts are looked into.
        is_utf8: its client said SMTPUTF8.
        forms: in which its body is to be hashed besides.
    """

    def __init__(
        self,
        head: bytes,
        header_end: int,
        now: float,
        depth: Depth | None = None,
        *,
        is_utf8: bool = False,
        forms: frozenset[BodyForm] = frozenset(),
    ) -> None:
        fields = HeaderFields(head)
        self._head = head[:header_end]
        self._lines = _LineLengths()
        self._lines.feed(head)
        self._scan = HeaderScan(head)
        self._dkim = plan_dkim(fields, now)
        self._arc = plan_arc(fields, now)
        self._hasher = BodyHasher(self._dkim.forms | self._arc.forms | forms)
        body = head[header_end:]
        self._hasher.feed(body)
        self._is_utf8 = is_utf8
        depth = depth or Depth()
        self._structure = StructureReader(self._scan, depth.limits, depth.watched)
        self._structure.feed(body)

    def feed(self, piece: bytes) -> None:
        """The next octets of the body."""
        self._hasher.feed(piece)
        self._lines.feed(piece)
        self._structure.feed(piece)

    def finish(self) -> Letter:
        """The whole of it."""
        return Letter(
            self._head,
            self._scan,
            self._dkim,
            self._arc,
            self._hasher.finish(),
            self._lines.is_over,
            self._structure.finish(),
            self._is_utf8,
        )


class _LineLengths:
    """Whether any line of what comes in pieces is longer than it may be."""

    __slots__ = ("_open", "is_over")

    def __init__(self) -> None:
        self._open = 0  # octets of the line that has not ended yet
        self.is_over = False

    def feed(self, piece: bytes) -> None:
        if self.is_over:
            return
        end = piece.find(b"\n")
        first = len(piece) if end < 0 else end
        # The first line may have begun before; its CR does not count.
        self.is_over = self._open + first > MAX_LINE_BYTES + 1 or _LONG.search(piece) is not None
        self._open = self._open + first if end < 0 else len(piece) - piece.rfind(b"\n") - 1
