"""The client's address, in the forms SPF compares, asks and writes.

Source: RFC 7208 §5 (comparing; IPv4-mapped addresses are IPv4), §7.3 (``i``, ``c`` and ``v``).
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from postern.mail.dns import Answer


@dataclass(frozen=True, slots=True)
class Client:
    """An address.

    Attributes:
        number: the address as a number of ``bits`` bits.
        bits: 32 or 128.
        readable: ``192.0.2.1`` or ``2001:db8::1``.
        dotted: the same for ``%{i}``: 32 nibbles with dots between when IPv6.
    """

    number: int
    bits: int
    readable: str
    dotted: str

    @property
    def is_ipv6(self) -> bool:
        """True for a real IPv6 address."""
        return self.bits == 128

    @property
    def version(self) -> str:
        """The word of ``%{v}``."""
        return "ip6" if self.is_ipv6 else "in-addr"

    @property
    def record_type(self) -> str:
        """The record type that holds such addresses."""
        return "AAAA" if self.is_ipv6 else "A"

    def is_in(self, network: int, prefix: int) -> bool:
        """True when the first ``prefix`` bits are those of ``network``, of the same version."""
        return (self.number ^ network) >> (self.bits - prefix) == 0

    def is_among(self, answer: Answer, prefix: int) -> bool:
        """True when one of the addresses in ``answer`` has the same first ``prefix`` bits."""
        if self.readable in answer.records:
            return True
        if prefix == self.bits and not self.is_ipv6:  # an IPv4 address has one spelling
            return False
        for record in answer.records:
            try:
                address = ip_address(record)
            except ValueError:
                continue
            if address.max_prefixlen == self.bits and self.is_in(int(address), prefix):
                return True
        return False


def parse_client(ip: str) -> Client | None:
    """The client with this address, or None when it is not one. A zone index is left out."""
    try:
        address: IPv4Address | IPv6Address | None = ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            nibbles = f"{int(address):032X}"
            return Client(int(address), 128, str(address), ".".join(nibbles))
        address = address.ipv4_mapped
    assert address is not None
    return Client(int(address), 32, str(address), str(address))
