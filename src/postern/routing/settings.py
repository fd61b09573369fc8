"""What can be set about routing; all of it comes from ``postern.toml``."""

from dataclasses import dataclass, field
from enum import Enum

from postern.mail.route import Egress, TlsPolicy
from postern.routing.providers import Providers, shipped

DIRECT = "direct"
SMTP_PORT = 25


class Ipv6Policy(Enum):
    """What becomes of IPv6 addresses of mail hosts."""

    BOTH = "both"  # taken in turn with IPv4, IPv6 first
    LAST = "last"  # behind all IPv4 addresses
    NEVER = "never"  # not even looked up


class LiteralPolicy(Enum):
    """Whether mail to ``user@[192.0.2.1]`` goes out (RFC 5321 §4.1.3).

    ``PUBLIC`` is the default: nobody may make this server knock at addresses of its own network.
    """

    NEVER = "never"
    PUBLIC = "public"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host, by name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """A way out: straight to the mail hosts, or through ``relay``.

    ``source_ip``: address to connect from; only mail hosts of its family are then used.
    ``addresses``: what mail leaves the relay from, where that is not where it takes it.
    ``hop_key``: what mail that leaves through a relay is marked with.
    ``enforces_tls``: it keeps to DANE, MTA-STS and REQUIRETLS: mail that needs them may take it.
    """

    name: str
    relay: HostPort | None = None
    source_ip: str | None = None
    helo: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    addresses: tuple[str, ...] = ()
    enforces_tls: bool = False
    hop_key: bytes = field(default=b"", repr=False)

    def as_egress(self) -> Egress:
        """What delivery needs of it."""
        key = b"" if self.relay is None else self.hop_key
        return Egress(self.name, self.source_ip, self.helo, self.username, self.password, key)


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Who we are, and which ways out there are.

    ``listeners``: addresses and ports we listen on; with ``hostname`` they say what is ourselves.
    ``via``: the egress that takes all mail; empty: the first. Without ``egresses`` mail goes
    directly. ``lmtp``: ``unix:/path`` or ``host:port`` of the store of our mailboxes; empty: our
    own Maildirs. ``port``: of mail hosts found by MX; other than 25 in laboratories.
    ``providers``: whose mail hosts name their MX group.
    ``reserved``: names of egresses that mail of one class alone leaves through.
    """

    hostname: str
    listeners: tuple[HostPort, ...] = ()
    egresses: tuple[EgressSettings, ...] = ()
    via: str = ""
    lmtp: str = ""
    port: int = SMTP_PORT
    ipv6: Ipv6Policy = Ipv6Policy.BOTH
    literals: LiteralPolicy = LiteralPolicy.PUBLIC
    reserved: frozenset[str] = frozenset()
    providers: Providers = field(default_factory=shipped)

    @property
    def relays(self) -> tuple[EgressSettings, ...]:
        """The egresses that are relays, in their order: the first is engaged first."""
        return tuple(one for one in self.egresses if one.relay is not None)

    @property
    def direct_egresses(self) -> tuple[EgressSettings, ...]:
        """The others; ``direct`` where none is configured."""
        found = tuple(one for one in self.egresses if one.relay is None)
        return found or (EgressSettings(DIRECT),)

    def egress(self, name: str | None) -> EgressSettings | None:
        """The egress of that name, the usual one for None, or None when there is no such.

        ``direct`` is always there, configured or not.
        """
        wanted = name or self.via
        if not wanted:
            return self.egresses[0] if self.egresses else EgressSettings(DIRECT)
        for egress in self.egresses:
            if egress.name == wanted:
                return egress
        return EgressSettings(DIRECT) if wanted == DIRECT else None
