"""The PROXY header a load balancer puts in front of a connection: who the client really is.

Source: https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt (versions 1 and 2).
"""

import ipaddress
import struct
from dataclasses import dataclass

V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1_MAX_BYTES = 107
V2_MAX_BYTES = 16 + 2048


@dataclass(frozen=True, slots=True)
class ProxiedClient:
    """The address the balancer vouches for; empty for its own health checks (LOCAL, UNKNOWN)."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class NotYet:
    """More bytes are needed."""


@dataclass(frozen=True, slots=True)
class BadHeader:
    """No PROXY header, or a broken one; ``text`` says how."""

    text: str


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header: the client, and how many bytes it took."""

    client: ProxiedClient
    length: int


def parse_proxy_header(data: bytes) -> Header | NotYet | BadHeader:
    """Read a header from the first bytes of a connection; never raises."""
    if data.startswith(V2_SIGNATURE):
        return _version2(data)
    if V2_SIGNATURE.startswith(data) and len(data) < len(V2_SIGNATURE):
        return NotYet()
    if data.startswith(b"PROXY ") or b"PROXY ".startswith(data):
        return _version1(data)
    return BadHeader("the connection did not begin with a PROXY header")


def _version1(data: bytes) -> Header | NotYet | BadHeader:
    end = data.find(b"\r\n", 0, V1_MAX_BYTES)
    if end < 0:
        if len(data) < V1_MAX_BYTES:
            return NotYet()
        return BadHeader("the PROXY line has no end")
    words = data[:end].split(b" ")
    if len(words) >= 2 and words[1] == b"UNKNOWN":
        return Header(ProxiedClient("", 0), end + 2)
    if len(words) != 6 or words[1] not in {b"TCP4", b"TCP6"}:
        return BadHeader("the PROXY line is not of the form TCP4|TCP6 source target ports")
    try:
        source = ipaddress.ip_address(words[2].decode("ascii"))
        port = int(words[4]) if words[4].isdigit() else -1
    except ValueError:
        return BadHeader("the PROXY line holds no proper address and port")
    version = 4 if words[1] == b"TCP4" else 6
    if source.version != version or b"%" in words[2] or not 0 <= port <= 65535:
        return BadHeader("the PROXY line holds no proper address and port")
    return Header(ProxiedClient(str(source), port), end + 2)


def _version2(data: bytes) -> Header | NotYet | BadHeader:
    if len(data) < 16:
        return NotYet()
    version_command, family, length = struct.unpack_from("!BBH", data, 12)
    if version_command >> 4 != 2 or version_command & 0xF > 1:
        return BadHeader("the PROXY header has a version or command we don't know")
    end = 16 + length
    if end > V2_MAX_BYTES:
        return BadHeader("the PROXY header is too long")
    if len(data) < end:
        return NotYet()
    if version_command & 0xF == 0 or family >> 4 not in {1, 2}:
        return Header(ProxiedClient("", 0), end)
    width = 4 if family >> 4 == 1 else 16
    if length < 2 * width + 4:
        return BadHeader("the PROXY header is cut short")
    source = ipaddress.ip_address(data[16 : 16 + width])
    (port,) = struct.unpack_from("!H", data, 16 + 2 * width)
    return Header(ProxiedClient(str(source), port), end)
