"""Facts about this machine that routing needs; asked of the kernel, no packet is sent."""

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass

_ANYWHERE_IPV6 = ("2000::1", 53)
"""An address of the part of IPv6 that is routed in the world."""


@dataclass(frozen=True, slots=True)
class Machine:
    """``has_ipv6``: a route into the world over IPv6. ``owns``: whether an address is ours."""

    has_ipv6: bool
    owns: Callable[[str], bool]


def this_machine() -> Machine:
    """The facts as they are now."""
    return Machine(has_ipv6_route(), owns_address)


def has_ipv6_route() -> bool:
    """Whether the kernel has a source address and a route for IPv6 into the world."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect(_ANYWHERE_IPV6)
            source = ipaddress.ip_address(probe.getsockname()[0])
    except OSError:
        return False
    return not (source.is_link_local or source.is_loopback)


def owns_address(ip: str) -> bool:
    """Whether ``ip`` belongs to this machine: nobody can bind to another's address."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True
