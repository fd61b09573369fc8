"""Which addresses count as one client, and which as one network."""

from ipaddress import IPv4Address, IPv6Address, ip_network

IP = IPv4Address | IPv6Address


def as_client(ip: IP) -> str:
    """One IPv4 address; one /64 of IPv6: that is what one machine is given."""
    return str(ip) if ip.version == 4 else str(ip_network((ip, 64), strict=False))


def as_network(ip: IP) -> str:
    """One /24; one /48 of IPv6: that is what one site is given."""
    return str(ip_network((ip, 24 if ip.version == 4 else 48), strict=False))
