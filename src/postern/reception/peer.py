"""Who the kernel says is at the other end."""

import asyncio
import socket
import struct
from functools import lru_cache

from postern.reception.limits import parse_ip, plain_ip
from postern.reception.settings import Network


def peer_address(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Address and port, or None when the client has gone already."""
    peer = transport.get_extra_info("peername")
    return None if peer is None else (plain_ip(str(peer[0])), int(peer[1]))


def peer_user(transport: asyncio.BaseTransport) -> str:
    """``uid:1000``: who is at the other end of a unix socket."""
    sock = transport.get_extra_info("socket")
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", raw)
    return f"uid:{uid}"


@lru_cache(maxsize=4096)
def is_within(ip: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of the networks."""
    if not networks:
        return False
    address = parse_ip(ip)
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


def lost_text(error: Exception | None) -> str:
    """How a connection ended that nobody ended properly."""
    if error is None:
        return "the client closed the connection without QUIT"
    return f"the connection broke: {error}"
