"""Ourselves: what must not be connected to, lest mail goes round in a circle.

*Self* is our host name, or a listener's address and port. With another delivery port than 25 the
mail hosts of a laboratory may all live on loopback; with 25, loopback is this machine's own mail
server, and no domain elsewhere has business naming it.
"""

import ipaddress
from collections.abc import Callable, Iterable

from postern.routing.settings import SMTP_PORT, HostPort


class Ourselves:
    """Tells whether a mail host is this server.

    Args:
        hostname: our name.
        listeners: addresses (``0.0.0.0`` and ``::`` for all) and ports we listen on.
        owns: whether an address is one of this machine's; asked only where a listener takes all.
    """

    def __init__(
        self, hostname: str, listeners: Iterable[HostPort], owns: Callable[[str], bool]
    ) -> None:
        self._hostname = hostname.lower().removesuffix(".")
        self._exact: set[HostPort] = set()
        self._all_ports: set[int] = set()
        for listener in listeners:
            address = ipaddress.ip_address(listener.host)
            if address.is_unspecified:
                self._all_ports.add(listener.port)
            else:
                self._exact.add(HostPort(str(address), listener.port))
        self._owns = owns

    def is_our_name(self, host: str) -> bool:
        """Whether ``host`` is our host name."""
        return host == self._hostname

    def is_our_address(self, ip: str, port: int) -> bool:
        """Whether a connection to ``ip`` and ``port`` would come in at our own door."""
        address = ipaddress.ip_address(ip)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # ::ffff:127.0.0.1 comes in at 127.0.0.1's door
        if HostPort(str(address), port) in self._exact:
            return True
        if port == SMTP_PORT and address.is_loopback:
            return True
        return port in self._all_ports and (address.is_loopback or self._owns(str(address)))
