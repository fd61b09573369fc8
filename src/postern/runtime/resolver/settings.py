"""Which resolvers are asked, over what, and for how long."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

MAX_SERVERS = 8
RESOLV_CONF = Path("/etc/resolv.conf")


class Transport(Enum):
    """How a server is asked; the values are the words of ``[[resolver]] transport``."""

    UDP = "udp"  # and TCP when an answer is too long
    TCP = "tcp"
    TLS = "tls"  # RFC 7858, the server's certificate is verified

    @property
    def default_port(self) -> int:
        """Port where none is given."""
        return 853 if self is Transport.TLS else 53


@dataclass(frozen=True, slots=True)
class Server:
    """Address and port of one DNS server."""

    ip: str
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int = 53) -> Self:
        """Read ``192.0.2.1``, ``192.0.2.1:53``, ``2001:db8::1`` or ``[2001:db8::1]:53``.

        Raises:
            ValueError: with a sentence for people. Names are refused: who would look them up?
        """
        ip, port = text.strip(), str(default_port)
        if ip.startswith("["):
            ip, _, tail = ip[1:].partition("]")
            port = tail.removeprefix(":") if tail else port
        elif ip.count(":") == 1:
            ip, _, port = ip.partition(":")
        try:
            ipaddress.ip_address(ip)
        except ValueError:
            raise ValueError(f"{text!r} is not an IP address, with or without :port") from None
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"{text!r} has no port between 1 and 65535 behind its colon")
        return cls(ip, int(port))


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """One named resolver: its servers are tried in turn.

    ``tries_s``: time limit of each server in each round. ``tls_name``: the name its certificate
    must bear; empty: its IP address. ``tls_ca_file``: whom to trust for it; empty: the system's
    list. ``trusted``: whether it is believed that DNSSEC vouches for an answer; None: if it is on
    this machine.
    """

    name: str
    servers: tuple[Server, ...]
    transport: Transport = Transport.UDP
    tries_s: tuple[float, ...] = (3.0, 5.0)
    tls_name: str = ""
    tls_ca_file: str = ""
    trusted: bool | None = None

    @property
    def is_trusted(self) -> bool:
        """Whether its AD bit is believed: nobody on the way to it may forge that (RFC 7672 §2.2).

        Without a word from the configuration: where every server is on loopback.
        """
        if self.trusted is not None:
            return self.trusted
        ips = [ipaddress.ip_address(server.ip) for server in self.servers]
        return bool(ips) and all(ip.is_loopback for ip in ips)

    @classmethod
    def parse(
        cls,
        name: str,
        servers: Iterable[str],
        transport: Transport = Transport.UDP,
        tries_s: tuple[float, ...] = (3.0, 5.0),
        tls_name: str = "",
        tls_ca_file: str = "",
    ) -> Self:
        """Settings from the words of a ``[[resolver]]`` table.

        Raises:
            ValueError: a server is not an address with or without a port, or there are too many.
        """
        parsed = tuple(Server.parse(text, transport.default_port) for text in servers)
        if len(parsed) > MAX_SERVERS:
            raise ValueError(f"at most {MAX_SERVERS} servers for one resolver, not {len(parsed)}")
        return cls(name, parsed, transport, tries_s, tls_name, tls_ca_file)


@dataclass(frozen=True, slots=True)
class ResolverLimits:
    """What bounds a resolver.

    ``limit_s``: from question to answer, waiting and other resolvers included. ``failure_ttl_s``:
    how long "couldn't tell" is kept, so that a dead server is not hammered (RFC 2308 §7: at most
    5 minutes). ``cache_entries`` and ``cache_bytes`` hold for the answers of all resolvers and for
    those of home alone, each.
    """

    limit_s: float = 12.0
    max_queries: int = 500
    failure_ttl_s: float = 5.0
    cache_entries: int = 50_000
    cache_bytes: int = 64 * 1024 * 1024


def system_resolver(path: Path = RESOLV_CONF) -> ResolverSettings:
    """The machine's own resolver, named ``system``; without servers where it has none.

    Lines that cannot be understood are passed over, as the C library does.
    """
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    servers: list[Server] = []
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver" or len(servers) == MAX_SERVERS:
            continue
        try:
            ipaddress.ip_address(words[1])
        except ValueError:
            continue
        servers.append(Server(words[1], 53))
    return ResolverSettings("system", tuple(servers))
