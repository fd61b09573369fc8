"""What is wrong between two places: rules of the router's packet filter.

All rules stand in one nftables table of the router's namespace and are written anew, in one
transaction, whenever a play cuts or mends something.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from tests.lab.namespace import Namespace

_TABLE = """\
table inet lab
delete table inet lab
table inet lab {{
  set unlucky4 {{
    type ipv4_addr . inet_service . ipv4_addr; flags dynamic; timeout 2m; size 65535
  }}
  set unlucky6 {{
    type ipv6_addr . inet_service . ipv6_addr; flags dynamic; timeout 2m; size 65535
  }}
  chain passing {{
    type filter hook forward priority 0; policy accept;
{rules}
  }}
}}
"""


class How(Enum):
    """What becomes of packets."""

    DROP = "drop"  # nothing passes either way: a new connection is silent, an old one too
    REFUSE = "refuse"  # a new connection is answered with RST; old ones go on
    RESET = "reset"  # a connection is made, and reset at its first packet; old ones as well
    BLACKHOLE = "blackhole"  # a connection is made, and nothing more ever comes back
    UNREACHABLE = "unreachable"  # ICMP says that there is no such host


@dataclass(frozen=True, slots=True)
class Cut:
    """Packets from ``source`` (a network) to ``target`` (an address or network), and back."""

    source: str
    target: str
    how: How

    def rules(self) -> Sequence[str]:
        """Its lines in the chain."""
        there, back = _directions(self.source, self.target)
        match self.how:
            case How.DROP:
                return (f"{there} drop", f"{back} drop")
            case How.REFUSE:
                return (f"{there} {_OPENS} reject with tcp reset",)
            case How.RESET:
                return (f"{there} {_GOES_ON} reject with tcp reset", f"{back} {_GOES_ON} drop")
            case How.BLACKHOLE:
                return (f"{back} {_GOES_ON} drop",)
            case How.UNREACHABLE:
                return (f"{there} reject with icmpx host-unreachable", f"{back} drop")


@dataclass(frozen=True, slots=True)
class Flaky:
    """The first of every ``every`` connections fails, silent (DROP) or refused (REFUSE).

    A SYN that was dropped is sent again by the kernel, from the same port: it stays unlucky.
    """

    source: str
    target: str
    every: int
    how: How

    def rules(self) -> Sequence[str]:
        """Its lines in the chain."""
        there, _ = _directions(self.source, self.target)
        turn = f"numgen inc mod {self.every} 0"
        if self.how is How.REFUSE:
            return (f"{there} {_OPENS} {turn} reject with tcp reset",)
        family, seen = _family(self.target)
        which = f"{family} saddr . tcp sport . {family} daddr"
        return (
            f"{there} {_OPENS} {which} @{seen} drop",
            f"{there} {_OPENS} {turn} add @{seen} {{ {which} }} drop",
        )


@dataclass(frozen=True, slots=True)
class Slow:
    """What comes back from ``target`` is thinned to this many bytes a second."""

    source: str
    target: str
    bytes_per_s: int

    def rules(self) -> Sequence[str]:
        """Its lines in the chain."""
        _, back = _directions(self.source, self.target)
        rate = f"limit rate over {self.bytes_per_s} bytes/second burst 1600 bytes"
        return (f"{back} tcp flags & syn == 0 {rate} drop",)


Trouble = Cut | Flaky | Slow

_OPENS = "tcp flags & (syn | ack) == syn"
_GOES_ON = "tcp flags & syn == 0"


def _family(address: str) -> tuple[str, str]:
    return ("ip6", "unlucky6") if ":" in address else ("ip", "unlucky4")


def _directions(source: str, target: str) -> tuple[str, str]:
    """The matches of packets there and back."""
    family, _ = _family(target)
    return (
        f"{family} saddr {source} {family} daddr {target}",
        f"{family} saddr {target} {family} daddr {source}",
    )


def apply(router: Namespace, troubles: Iterable[Trouble]) -> None:
    """Make the router's table say this and nothing else, in one transaction."""
    rules = "\n".join(f"    {rule}" for trouble in troubles for rule in trouble.rules())
    router.run("nft", "-f", "-", stdin=_TABLE.format(rules=rules))
