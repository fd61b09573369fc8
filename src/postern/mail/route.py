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
    DANE = "dane"  # encrypt, and the certificate must match a TLSA record (RFC 7672)


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TlsDemand:
    """What TLS one address must have.

    ``names``: what the certificate may be for, of VERIFY and DANE's trust anchors; empty: the
    host. ``tlsa``: the records, of DANE. ``source``: who asks for it, a word for the record, such
    as ``mta-sts``, ``dane``, ``domain``, ``message`` or a temporary's label; empty: nobody.
    ``fault``: what is wrong with what the domain published, as reports name it (a value of
    ``tlsrpt.TlsResult``); empty: nothing. ``reason``: why there is no TLS, in words for ``why``.
    """

    policy: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    names: tuple[str, ...] = ()
    tlsa: tuple[Tlsa, ...] = ()
    source: str = ""
    fault: str = ""
    reason: str = field(default="", compare=False)


ANY_TLS = TlsDemand()
"""Encrypted if possible, and nobody asks for more."""
IN_CLEAR = TlsDemand(TlsPolicy.NEVER)


@dataclass(frozen=True, slots=True)
class Target:
    """One address of one host: a place a connection can be opened to."""

    host: str
    ip: str
    port: int
    tls: TlsDemand = ANY_TLS


@dataclass(frozen=True, slots=True)
class Egress:
    """A way out: direct (with a source address) or a relay with credentials.

    ``hop_key``: mail that leaves through it is marked under this key, see ``postern.mail.hops``.
    """

    name: str
    source_ip: str | None = None
    helo: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    hop_key: bytes = field(default=b"", repr=False)


RELAY_GROUP = "relay:"
"""What the group of a relay's own addresses begins with; the name of the egress follows."""


@dataclass(frozen=True, slots=True)
class Way:
    """One address through one egress: what two messages must share to share a connection.

    ``is_fallback``: through another egress, only taken when the ways before it have failed by the
    network's evidence, never for what a server said. ``group``:
    the MX group the address belongs to, or ``relay:NAME``; its paths are told of under that name.
    ``reason``: why it is taken, in words, where that is not the usual way. It is the same
    connection whichever reason led there, fallback or not.
    """

    egress: Egress
    target: Target
    is_fallback: bool = field(default=False, compare=False)
    group: str = ""
    reason: str = field(default="", compare=False)

    @property
    def is_relay(self) -> bool:
        """Whether the address is a relay's of ours, and not the recipient's own."""
        return self.group.startswith(RELAY_GROUP)


@dataclass(frozen=True, slots=True)
class SmtpRoute:
    """SMTP to ``targets`` in this order; ``group`` is the MX group's name.

    ``domain``: the recipient's; empty where a person wrote down the host. ``is_apart``: a person
    routes this domain alone, so that its recipients share no transaction with those of others.
    """

    group: str
    egress: Egress
    targets: tuple[Target, ...]
    domain: str = ""
    is_apart: bool = False

    @property
    def ways(self) -> tuple[Way, ...]:
        """The targets in their order, through its own egress."""
        return tuple(Way(self.egress, target, group=self.group) for target in self.targets)


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
