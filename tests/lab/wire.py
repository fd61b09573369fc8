"""Everything that passes a link, on record: was a message ever readable on the way?

A raw socket on the router's side of the link to ``home``. The payloads of each TCP stream are put
together by their sequence numbers, so that words are found wherever the packets were cut.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from tests.lab.namespace import Namespace

ALL_PROTOCOLS = 0x0003
PACKET_STATISTICS = 6
SOL_PACKET = 263
SO_RCVBUFFORCE = 33  # beyond the machine's limit, as root may
BUFFER_BYTES = 32 * 1024 * 1024
LONGEST_BYTES = 1 << 17
_IP4, _IP6, _TCP = 0x0800, 0x86DD, 6

Flow = tuple[str, int, str, int]
"""Source address and port, target address and port."""


@dataclass
class Wire:
    """What was seen so far."""

    sock: socket.socket
    flows: dict[Flow, dict[int, bytes]] = field(default_factory=dict)
    missed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def streams(self) -> dict[Flow, bytes]:
        """Each direction of each connection, its bytes in order; what was sent again once only."""
        with self._lock:
            return {flow: _joined(parts) for flow, parts in self.flows.items()}

    def carried(self, words: bytes, *, to: str = "") -> list[Flow]:
        """The flows (to an address, where one is given) in which these words can be read.

        Fails if packets were missed: what was not seen proves nothing.
        """
        _, missed = struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.missed += missed  # the kernel's count begins anew each time it is read
        assert self.missed == 0, f"{self.missed} packets went by unseen"
        return [
            flow
            for flow, stream in self.streams().items()
            if words in stream and to in {"", flow[2]}
        ]

    def read(self) -> None:
        """Take note of every packet until the socket is closed."""
        while True:
            try:
                frame = self.sock.recv(LONGEST_BYTES)
            except TimeoutError:
                continue
            except OSError:
                return
            if (found := payload(frame)) is not None:
                flow, sequence, data = found
                with self._lock:
                    parts = self.flows.setdefault(flow, {})
                    if len(data) > len(parts.get(sequence, b"")):  # sent again, it may be shorter
                        parts[sequence] = data


def payload(frame: bytes) -> tuple[Flow, int, bytes] | None:
    """Flow, sequence number and data of an Ethernet frame; None where it carries no TCP data."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    packet = frame[14:]
    if kind == _IP4:
        header, total = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
        protocol, source, target = packet[9], packet[12:16], packet[16:20]
    elif kind == _IP6:
        header, total = 40, 40 + struct.unpack_from("!H", packet, 4)[0]
        protocol, source, target = packet[6], packet[8:24], packet[24:40]
    else:
        return None
    if protocol != _TCP:
        return None
    from_port, to_port, sequence = struct.unpack_from("!HHI", packet, header)
    data = packet[header + (packet[header + 12] >> 4) * 4 : total]
    if not data:
        return None
    return (str(ip_address(source)), from_port, str(ip_address(target)), to_port), sequence, data


def _joined(parts: dict[int, bytes]) -> bytes:
    """The bytes in order of sequence, from the earliest; overlaps once. A stream below 2 GB."""
    if not parts:
        return b""
    first = next(iter(parts))
    stream = bytearray()
    end = None
    for sequence in sorted(parts, key=lambda number: (number - first + (1 << 31)) % (1 << 32)):
        data = parts[sequence]
        known = 0 if end is None else max(0, _distance(sequence, end))
        stream += data[known:]
        end = (sequence + max(known, len(data))) % (1 << 32)
    return bytes(stream)


def _distance(start: int, end: int) -> int:
    """How far ``end`` lies after ``start``, around the end of the numbers; negative before it."""
    return (end - start + (1 << 31)) % (1 << 32) - (1 << 31)


@contextmanager
def recorded(router: Namespace, place: str = "home") -> Iterator[Wire]:
    """Record the link to ``place`` for as long as this lasts."""
    sock = router.open_socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    sock.bind((place, ALL_PROTOCOLS))
    sock.settimeout(0.2)
    wire = Wire(sock)
    reader = threading.Thread(target=wire.read, daemon=True)
    reader.start()
    try:
        yield wire
    finally:
        sock.close()
        reader.join()
