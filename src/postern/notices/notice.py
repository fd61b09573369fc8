"""What notices are made from, and what comes of it: values only."""

from dataclasses import dataclass
from enum import Enum

from postern.mail.address import Address
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Deferred, Outcome


class Origin(Enum):
    """Who handed us the message. The first two values are those of ``postern.spool.message``."""

    OURS = "ours"  # authenticated, relay_from, or Postern itself
    OUTSIDE = "outside"  # nobody knows whether the sender's address is true
    OUTSIDE_PROVEN = "outside-proven"  # SPF or DKIM speaks for the sender's address


class Kind(Enum):
    """What a notice tells."""

    FAILURE = "failure"
    DELAY = "delay"
    SUCCESS = "success"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Original:
    """The message a notice is about.

    ``head``: its header block with the empty line; ``body``: the rest, None when it is not in
    memory (then only the header can be returned). ``subject`` is decoded, safe text. ``account``
    is the login it was submitted with, or empty. Moments are seconds since 1970.
    """

    trace: str
    sender: Sender
    arrived_at: float
    head: bytes
    body: bytes | None
    size_bytes: int
    subject: str
    origin: Origin
    account: str = ""


@dataclass(frozen=True, slots=True)
class Meant:
    """Whom the sender may have meant: somebody his mail has reached, and when he wrote last."""

    address: Address
    wrote_at: float


@dataclass(frozen=True, slots=True)
class RecipientEnd:
    """What became of one recipient.

    ``original_address`` is what RCPT named when an alias leads from there to ``recipient``: the
    sender wrote to that one, and is told nothing of the other. ``last`` is the last attempt's
    outcome where ``outcome`` is our own decision (expired, cancelled). ``is_ours``: the recipient
    is a mailbox stored here, which SMTP could have refused; ``is_suspect``: its recipient's rules
    took the message for junk, or held it; ``meant``: whom the sender may have meant, where the
    address does not exist.
    """

    recipient: Recipient
    outcome: Outcome
    attempts: int
    first_at: float
    last_attempt_at: float
    original_address: Address | None = None
    next_attempt_at: float | None = None
    will_retry_until: float | None = None
    last: Deferred | None = None
    is_ours: bool = False
    is_suspect: bool = False
    meant: Meant | None = None

    @property
    def address(self) -> Address:
        """The address the sender wrote to."""
        return self.original_address or self.recipient.address


@dataclass(frozen=True, slots=True)
class Others:
    """How many other recipients of the message are delivered, and how many still wait."""

    delivered: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to queue. Its envelope is ``sender`` (always null) and ``recipient``.

    ``about`` are the ends it tells of.
    """

    recipient: Address
    content: bytes
    subject: str
    kind: Kind
    about: tuple[RecipientEnd, ...]
    sender: Sender


@dataclass(frozen=True, slots=True)
class NoNotice:
    """None is owed for these ends; ``reason`` is a plain clause for the journal."""

    reason: str
    about: tuple[RecipientEnd, ...]


@dataclass(frozen=True, slots=True)
class HoldInstead:
    """The message must be held for these ends, and the mailbox's owner told; never dropped."""

    reason: str
    about: tuple[RecipientEnd, ...]


Answer = Notice | NoNotice | HoldInstead
