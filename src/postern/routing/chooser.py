"""The ways of one attempt: chosen when it begins, by what is known of the paths at that moment."""

from dataclasses import dataclass
from enum import Enum

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


class Chooser:
    """Chooses ways."""

    def ways(self, route: SmtpRoute, facts: MessageFacts) -> tuple[Way, ...]:
        """The ways to try, best first; at least one where ``route`` has a target. Never blocks."""
        del facts
        return route.ways
