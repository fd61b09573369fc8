"""What attempts and probes show of a path, and who wants to know: values and two protocols.

A path is one address, through one egress, with or without TLS. Only the network and the server as
a whole speak of it. What a server says of a recipient or of a message says nothing about the path
to it, and is never an observation.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

MUTE_S = 10.0
"""How long a connection may stand without a greeting until that is a failure."""


@dataclass(frozen=True, slots=True)
class Path:
    """``ip`` and ``port`` through the egress of this name, ``encrypted`` or in clear."""

    egress: str
    ip: str
    port: int
    encrypted: bool


class Sign(Enum):
    """What was seen of a path. The values are words of ``postern paths``."""

    ANSWERED = "answered"  # greeting, EHLO, and TLS where the path has it: it can carry mail
    REFUSED = "refused"  # connection refused
    SILENT = "no-answer"  # no connection
    MUTE = "no-greeting"  # a connection, and not a word: some servers greet late on purpose
    RESET = "reset"
    CLOSED = "closed"  # before the greeting
    TLS_REFUSED = "tls-refused"  # STARTTLS offered and answered 4xx or 5xx
    TLS_STALLED = "tls-stalled"  # STARTTLS or the handshake got no answer
    TLS_BROKEN = "tls-broken"  # an alert, or no handshake we can agree on
    TLS_CUT = "tls-cut"  # the line was reset or closed in STARTTLS, and nobody said why
    TLS_MISSING = "tls-missing"  # not offered, where it must be
    UNTRUSTED = "untrusted"  # the certificate is not what must be there
    BUSY = "busy"  # a 4xx greeting
    UNWELCOME = "unwelcome"  # a 5xx greeting
    THROTTLED = "throttled"  # 421 or 4.7.x later on: too fast, too many
    GREYLISTED = "greylisted"
    SLOW = "slow"  # answers, a little at a time or after minutes
    BROKEN_OFF = "broken-off"  # silent, reset or closed later in the conversation
    LOCKED_OUT = "locked-out"  # a relay that does not take our login, or our mail

    @property
    def is_network(self) -> bool:
        """Evidence of a blocked path, which another egress may pass round."""
        return self in _NETWORK

    @property
    def is_tls(self) -> bool:
        """The path in clear may do where the encrypted one does not."""
        return self in _TLS


_NETWORK = frozenset(
    {
        Sign.REFUSED, Sign.SILENT, Sign.MUTE, Sign.RESET, Sign.CLOSED, Sign.TLS_STALLED,
        Sign.TLS_CUT,
    }
)  # fmt: skip
_TLS = frozenset({Sign.TLS_REFUSED, Sign.TLS_STALLED, Sign.TLS_BROKEN, Sign.TLS_CUT})


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing seen of a path.

    Args:
        path: whose.
        group: the MX group it belongs to, or ``relay:NAME``.
        host: the name the address was found under.
        sign: what.
        at: when, as of the wall clock.
        seconds: from the beginning of the try until it showed.
        text: what was said, by the peer or in our words; one line.
        is_probe: no mail went this way.
        is_final: False while the try goes on (silent so far).
    """

    path: Path
    group: str
    host: str
    sign: Sign
    at: float
    seconds: float
    text: str = ""
    is_probe: bool = False
    is_final: bool = True


class PathWatch(Protocol):
    """Who is told what attempts show. Called on the event loop; must not block."""

    def saw(self, observation: Observation) -> None:
        """Take note."""
        ...

    def lost(self, path: Path) -> None:
        """It had not answered when another was first: it goes last for a while."""
        ...

    def answers(self, path: Path, since: float) -> bool:
        """Whether it has answered anybody since that moment (wall clock), a test of it perhaps."""
        ...


class Unwatched:
    """Nobody wants to know."""

    def saw(self, observation: Observation) -> None:
        """Forget it."""

    def lost(self, path: Path) -> None:
        """Forget it."""

    def answers(self, path: Path, since: float) -> bool:
        """Nobody has told."""
        del path, since
        return False


UNWATCHED = Unwatched()


class PathListener(Protocol):
    """Who is only told. Called on the event loop; must not block."""

    def saw(self, observation: Observation) -> None:
        """Take note."""
        ...


class Watches:
    """A watch that knows of paths, and a listener that hears the same."""

    def __init__(self, watch: PathWatch, listener: PathListener) -> None:
        self._watch = watch
        self._listener = listener

    def saw(self, observation: Observation) -> None:
        """Tell both."""
        self._watch.saw(observation)
        self._listener.saw(observation)

    def lost(self, path: Path) -> None:
        """Tell the watch."""
        self._watch.lost(path)

    def answers(self, path: Path, since: float) -> bool:
        """What the watch knows."""
        return self._watch.answers(path, since)


class GroupMood(Enum):
    """What the queue should make of an MX group's waiting mail."""

    OPEN = "open"  # goes at once, paced: the group has become well, or has another way
    SHUT = "shut"  # nothing answers: one try at a time, to see


class GroupNews(Protocol):
    """Who is told when an MX group becomes well, or cannot be reached by any way."""

    def group_changed(self, group: str, mood: GroupMood) -> None:
        """On the event loop; must not block."""
        ...
