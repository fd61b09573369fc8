"""The ways of one attempt: chosen when it begins, by what is known of the paths at that moment."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from postern.mail.envelope import TlsWish
from postern.mail.route import SmtpRoute, Way


class MailClass(Enum):
    """Whose mail it is, as other servers see it: each may leave through an egress of its own."""

    USER = "user"  # our own users'
    FORWARDED = "forwarded"  # from outside, to an address outside
    BOUNCE = "bounces"  # from Postern itself, or with the null sender


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What of a message matters for the ways it may take.

    ``sender_domain``: of the envelope; empty: the null sender. ``aligned``: a DKIM signature in it
    is aligned with its author, so that it passes DMARC whichever server hands it on.
    """

    mail_class: MailClass = MailClass.USER
    sender_domain: str = ""
    aligned: bool = False
    tls_wish: TlsWish = TlsWish.NONE


class Fits(Protocol):
    """What TLS an address, a domain and a message ask for together."""

    def fit(self, way: Way, facts: MessageFacts, domain: str = "") -> Way | None:
        """The way with that TLS; None: it can't carry this message."""
        ...


class Chooser:
    """Chooses ways.

    Args:
        fits: what TLS is asked for; None: what the route says.
    """

    def __init__(self, fits: Fits | None = None) -> None:
        self._fits = fits

    def ways(self, route: SmtpRoute, facts: MessageFacts) -> tuple[Way, ...]:
        """The ways to try, best first; none where none may carry the message. Never blocks."""
        if self._fits is None:
            return route.ways
        found = (self._fits.fit(way, facts, route.domain) for way in route.ways)
        return tuple(way for way in found if way is not None)
