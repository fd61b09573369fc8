"""Where a recipient's mail goes next: values that routing makes and delivery follows."""

from dataclasses import dataclass, field
from enum import Enum

from postern.mail.outcome import Deferred, Refused


class TlsPolicy(Enum):
    """What TLS a hop must have."""

    NEVER = "never"
    OPPORTUNISTIC = "opportunistic"  # RFC 7435: encrypt if offered, never verify
    ENCRYPT = "encrypt"
    VERIFY = "verify"  # encrypt, and the certificate must match the host's name


@dataclass(frozen=True, slots=True)
class Target:
    """One address of one host: a place a connection can be opened to."""

    host: str
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Egress:
    """A way out: direct (with a source address) or a relay with credentials."""

    name: str
    source_ip: str | None = None
    helo: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SmtpRoute:
    """SMTP to ``targets`` in this order; ``group`` is the MX group's name."""

    group: str
    egress: Egress
    targets: tuple[Target, ...]
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC


@dataclass(frozen=True, slots=True)
class LmtpRoute:
    """LMTP (RFC 2033) to a store such as Dovecot: ``unix:/path`` or ``host:port``."""

    group: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class MaildirRoute:
    """Our own Maildir. ``home`` is ``<domain>/<localpart>``, safe as a relative path."""

    group: str
    home: str


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No way: the outcome says whether for now or for good."""

    group: str
    outcome: Deferred | Refused


Route = SmtpRoute | LmtpRoute | MaildirRoute | NoRoute
