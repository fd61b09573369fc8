"""How many connections are open, in all and per address (one /64 counts as one in IPv6)."""

import ipaddress
from collections.abc import Callable

from postern.runtime.headcount import Headcount


def limit_key(ip: str) -> str:
    """What one client counts as: its IPv4 address, or its IPv6 /64."""
    if ":" not in ip:
        return ip
    address = parse_ip(ip)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


def parse_ip(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as the kernel names it; IPv4 in IPv6 clothes counts as IPv4."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def plain_ip(ip: str) -> str:
    """The address as people write it: IPv4 that came over an IPv6 socket is IPv4."""
    if ":" not in ip:
        return ip
    address = parse_ip(ip)
    return ip if address is None else str(address)


CROWDED_SHARE = 1.125
CROWDED_SLACK = 3


class ConnectionCounts:
    """Open connections: the limits are for all workers, ``open`` and ``ever`` are this worker's.

    ``crowded`` is called when this worker has clearly more of them than its even part.
    """

    def __init__(
        self, most: int, most_per_address: int, headcount: Headcount, worker: int = 0
    ) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._headcount = headcount
        self._worker = worker
        self.crowded: Callable[[], None] = _nobody_cares
        self.open = 0
        self.ever = 0

    def allow(self, most: int, most_per_address: int) -> None:
        """Change the limits; connections that are open stay."""
        self._most = most
        self._most_per_address = most_per_address

    def enter(self, key: str) -> str:
        """Count a connection in; returns why it may not stay, or nothing."""
        self.open += 1
        self.ever += 1
        in_all, of_address = self._headcount.change(self._worker, key, 1)
        if self.open > self._part(in_all):
            self.crowded()
        if in_all > self._most:
            return "this server has too many connections open; try again in a minute"
        if of_address > self._most_per_address:
            return f"too many connections from {key} at once; close some and try again"
        return ""

    def has_its_part(self) -> bool:
        """True when one connection more would not crowd this worker."""
        return self.open < self._part(self._headcount.in_all())

    def _part(self, in_all: int) -> float:
        """Connections a worker may have of so many before it leaves new ones to the others."""
        return in_all / self._headcount.workers * CROWDED_SHARE + CROWDED_SLACK

    def leave(self, key: str) -> None:
        """Count a connection out."""
        self.open -= 1
        self._headcount.change(self._worker, key, -1)


def _nobody_cares() -> None:
    """Where nothing is done about it."""
