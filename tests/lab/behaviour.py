"""How an MX host of the laboratory behaves, and what it has seen: values of both its sides.

They pass between a play and the actors' process (:mod:`tests.lab.mx`) as lines of JSON.
"""

from enum import Enum

from msgspec import Struct


class Opening(Enum):
    """What a new connection meets. For silence on the network see :mod:`tests.lab.cuts`."""

    GREETS = "greets"
    MUTE = "mute"  # taken, and not a byte is said
    RESETS = "resets"  # RST at once
    CLOSES = "closes"  # FIN before the greeting
    BUSY = "busy"  # 421 and closed
    UNWELCOME = "unwelcome"  # 554


class Tls(Enum):
    """What STARTTLS meets."""

    GOOD = "good"
    NONE = "none"  # not offered
    REFUSED = "refused"  # offered, and answered 454
    STALLS = "stalls"  # no answer
    HANDSHAKE_STALLS = "handshake-stalls"  # 220, and then nothing
    ALERT = "alert"  # 220, and then handshake_failure
    UNTRUSTED = "untrusted"  # a certificate for another name, that nobody vouches for


class Behaviour(Struct, frozen=True):
    """One address's manners. The default is a good host.

    Args:
        opening: what a new connection meets.
        greeting_after_s: the greeting comes so late.
        tls: what STARTTLS meets.
        bytes_per_s: replies trickle at this rate; 0: they don't.
        most_messages: what one client may send on one connection before 421; 0: no limit.
        greylist_s: a client's first message to a recipient gets 450, until this has passed.
        holds_dot: the reply to the final dot is kept back until :meth:`Actors.let_go`.
        reply_after_s: the reply to the final dot comes so late.
    """

    opening: Opening = Opening.GREETS
    greeting_after_s: float = 0.0
    tls: Tls = Tls.GOOD
    bytes_per_s: float = 0.0
    most_messages: int = 0
    greylist_s: float = 0.0
    holds_dot: bool = False
    reply_after_s: float = 0.0


GOOD = Behaviour()


class Letter(Struct, frozen=True):
    """A message that an address took, to its final dot.

    ``at`` is the wall clock's time. ``tls`` is the version, empty in clear. ``is_answered`` is
    false while its 250 has not been written.
    """

    ip: str
    client: str
    helo: str
    tls: str
    mail_from: str
    recipients: tuple[str, ...]
    message_id: str
    hops: int
    at: float
    is_answered: bool


class Visit(Struct, frozen=True):
    """A connection to an address: who came when, what it said, and how it ended.

    ``commands`` are the verbs. ``end`` is empty while it lasts.
    """

    ip: str
    client: str
    at: float
    commands: tuple[str, ...]
    end: str


class Behave(Struct, frozen=True, tag="behave"):
    """From now on these addresses have these manners; open connections too, at the next step."""

    addresses: tuple[str, ...]
    behaviour: Behaviour


class LetGo(Struct, frozen=True, tag="let-go"):
    """The replies held back at these addresses are given now, or never: the connection is reset."""

    addresses: tuple[str, ...]
    resets: bool = False


class Tell(Struct, frozen=True, tag="tell"):
    """Say what was seen since that many letters, and changes of visits."""

    letters: int
    changes: int


Request = Behave | LetGo | Tell


class Seen(Struct, frozen=True):
    """The answer to :class:`Tell`, empty for other requests.

    Visits are told by their number, again each time they change; ``changes`` counts the changes
    told now.
    """

    letters: tuple[Letter, ...] = ()
    visits: dict[int, Visit] = {}
    changes: int = 0
