"""How one attempt ended for one recipient: delivered, deferred or refused. Values, not exceptions.

A peer's words and our own are kept apart: ``remote`` names who said the reply, and is empty where
Postern itself speaks (no connection, a name that does not exist, mail that expired).
"""

from dataclasses import dataclass
from enum import Enum

from postern.mail.finding import Whose
from postern.mail.reply import Reply


class Cause(Enum):
    """Why an attempt did not deliver: the cause ``postern queue`` groups by."""

    REPLY = "reply"  # the peer answered 4xx or 5xx
    REFUSED = "connection-refused"
    SILENT = "no-answer"  # connect, banner, command or data timed out
    RESET = "connection-reset"
    CLOSED = "closed-early"  # closed without a reply where one was due
    LOST_AFTER_DOT = "lost-after-dot"  # whether the peer took the message is not known (RFC 1047)
    TLS = "tls"
    UNENCRYPTED = (
        "unencrypted"  # it must be encrypted (so its sender or we), and that is not offered
    )
    DNS = "dns"  # couldn't tell: SERVFAIL or timeout
    NO_DOMAIN = "no-domain"  # NXDOMAIN
    NO_MAIL_HOST = "no-mail-host"  # null MX, or neither MX nor address
    NO_MAILBOX = "no-mailbox"  # our domain, and no such mailbox (any more)
    LOOP = "loop"  # we are the best MX but the domain is not ours
    NEEDS = "peer-lacks"  # SMTPUTF8, 8BITMIME or SIZE that the peer does not offer
    PROTOCOL = "protocol"  # the peer does not speak SMTP
    LIMIT = "over-limit"  # our own user sends more than he may
    LOCKED_OUT = "locked-out"  # our relay does not take our login, or mail from us
    NO_EGRESS = "no-egress"  # the egress that was asked for is not configured
    LOCAL = "local"  # our own disk or store
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    BUG = "bug"  # an unknown exception here; the mail stays


@dataclass(frozen=True, slots=True)
class Delivered:
    """The peer (or our Maildir) took responsibility; ``reply`` is its last word.

    ``relayed_without_dsn``: the peer does not offer DSN, so a SUCCESS notice is owed by us with
    ``Action: relayed`` (RFC 3461 §5.2.2).
    """

    reply: Reply
    remote: str = ""
    relayed_without_dsn: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """To be tried again. ``retry_after_s`` is what the peer asked for, if it did."""

    reply: Reply
    cause: Cause
    remote: str = ""
    whose: Whose = Whose.RECIPIENT
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Final: the sender is told."""

    reply: Reply
    cause: Cause
    remote: str = ""
    whose: Whose = Whose.RECIPIENT


Outcome = Delivered | Deferred | Refused
