"""A spooled message and its deliveries, as the queue works on them."""

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from postern.journal.record import AttemptRecord, Conversation
from postern.mail.content import Content
from postern.mail.envelope import Recipient, Sender, TlsWish


class DeliveryState(IntEnum):
    """Where one delivery stands; the numbers are what the database holds."""

    FRESH = 0  # in the memory of its worker, first attempt to come
    WAITING = 1  # on disk, due at its time
    HELD = 2  # kept until a person says otherwise
    DONE = 3  # delivered, returned or discarded; goes with its message


class Origin(Enum):
    """Who handed us the message: it decides who may be told of a failure."""

    OURS = "ours"  # authenticated, relay_from, or Postern itself
    OUTSIDE = "outside"
    OUTSIDE_PROVEN = "outside-proven"  # SPF or DKIM speaks for the envelope's sender


@dataclass(slots=True)
class Delivery:
    """One recipient of a spooled message.

    ``original`` is the address RCPT named, ``recipient`` where it goes now; ``index`` points into
    the conversation's recipients (several deliveries share one when an alias has several targets);
    ``via`` pins an egress; ``cause``, ``last_reply``, ``remote`` and ``whose`` tell of the last try
    that failed; ``end`` is the final word once DONE; ``attempts`` keeps the tries so far, only the
    latest when many. ``is_junk``: it goes to the Junk folder; ``held_for``: the check or rule that
    holds it, empty when a person does, or nobody; while it does, ``due`` is when that ends.
    ``is_suspect``: either was so once, and its sender may be forged. ``owner``: the mailbox (its
    key) that it is, or was, held for; ``released``: when, by whom and what for it was let go.
    ``forwarder``: the domain of ours that sends a stranger's mail on to an address outside; empty
    for all other mail. ``busy`` is memory only: who works on it now.
    """

    n: int
    recipient: Recipient
    original: str
    index: int
    state: DeliveryState = DeliveryState.FRESH
    group: str = ""
    due: float = 0.0
    tries: int = 0
    via: str = ""
    cause: str = ""
    last_reply: str = ""
    remote: str = ""
    end: str = ""
    delay_told: bool = False
    attempts: list[AttemptRecord] = field(default_factory=list)
    whose: str = ""
    is_junk: bool = False
    is_suspect: bool = False
    held_for: str = ""
    owner: str = ""
    released: str = ""
    forwarder: str = ""
    busy: bool = False

    @property
    def is_quarantined(self) -> bool:
        """True while a rule or check holds it for its owner."""
        return self.state is DeliveryState.HELD and self.held_for != ""

    @property
    def forwarded_for(self) -> str:
        """The address of ours that sends it on, with its domain: a bare postmaster has none."""
        return self.original if "@" in self.original else f"{self.original}@{self.forwarder}"

    @property
    def has_arrived(self) -> bool:
        """True once it is where it was to go, Junk included."""
        return self.state is DeliveryState.DONE and self.end in {"delivered", "junked"}


@dataclass(slots=True)
class Message:
    """One accepted message. ``id`` is the number behind ``trace``.

    ``content`` is what was accepted, byte for byte, with our own fields in front. ``aligned``: a
    DKIM signature in it is aligned with its author (RFC 9989), so that it may leave through any
    server; ``tls_wish``: what its sender asked of TLS; ``hops``: relays of ours that it has been
    through already.
    """

    id: int
    trace: str
    accepted_at: float
    expires_at: float
    sender: Sender
    origin: Origin
    content: Content
    conversation: Conversation
    deliveries: list[Delivery]
    aligned: bool = False
    tls_wish: TlsWish = TlsWish.NONE
    hops: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """True when no delivery is left to do."""
        return all(d.state is DeliveryState.DONE for d in self.deliveries)


@dataclass(frozen=True, slots=True)
class GroupLine:
    """What waits for one MX group: read once at start, then kept by the queue."""

    group: str
    count: int
    next_due: float


@dataclass(frozen=True, slots=True)
class Claim:
    """What a group has due: (message id, delivery n) pairs, messages read for it, and what is next.

    ``next_due`` is the earliest time after now, or None when nothing else waits; ``place`` that of
    the last of ``due`` in the order of time: its due time, message and n.
    """

    due: list[tuple[int, int]]
    loaded: list[Message]
    next_due: float | None
    place: tuple[float, int, int] | None = None


HeldPlace = tuple[float, int, int]
"""Where a walk through what is held has come to: when it ends, its message, its ``n``."""


@dataclass(frozen=True, slots=True)
class Held:
    """One delivery that is held, as it is on disk, with what is known of message ``number``."""

    number: int
    delivery: Delivery
    size_bytes: int
    accepted_at: float
