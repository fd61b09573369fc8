"""Two countries and the rest of the world, in network namespaces that a test makes and removes.

::

    home                        router                       world
    192.0.2.10, .11   --------  cuts, slows,  -------------  203.0.113.0/24, every address of it:
    2001:db8:1::10              records the                  the DNS server (.53) and all MX hosts
    Postern, its resolver       wire                         2001:db8:3::/64
                                   |
                                   |  198.51.100.10, 2001:db8:2::10
                                abroad: the relay us1

IPv6 is ready a second after IPv4: the kernel gathers its news of links for so long.

All links are made inside the namespaces; nothing of the machine's own network is touched. Needs
root. :mod:`tests.lab.guard` takes the world down, after a kill -9 too.
"""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from tests.lab import guard
from tests.lab.cuts import Cut, Flaky, How, Slow, Trouble, apply
from tests.lab.namespace import Namespace, run

HOME = "192.0.2.10"
HOME_SECOND = "192.0.2.11"
HOME6 = "2001:db8:1::10"
ABROAD = "198.51.100.10"
ABROAD6 = "2001:db8:2::10"
DNS = "203.0.113.53"
NETWORKS = {
    "home": ("192.0.2.0/25", "2001:db8:1::/64"),
    "abroad": ("198.51.100.0/24", "2001:db8:2::/64"),
    "world": ("203.0.113.0/24", "2001:db8:3::/64"),
}
"""Place to its networks."""

NEEDS = ("ip", "nft", "root")
"""What ``@pytest.mark.peers`` is to ask for."""

_numbers = itertools.count()


@dataclass
class World:
    """The namespaces, and what is wrong between them at this moment."""

    home: Namespace
    abroad: Namespace
    world: Namespace
    router: Namespace
    troubles: list[Trouble] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def cut(self, place: str, *targets: str, how: How = How.DROP) -> list[Trouble]:
        """From now on ``place`` does not reach ``targets`` (addresses), in this manner."""
        return self._add([Cut(_source(place, ip), ip, how) for ip in targets])

    def flaky(
        self, place: str, *targets: str, every: int = 2, how: How = How.DROP
    ) -> list[Trouble]:
        """From now on one in ``every`` connections to each target fails, the first one too."""
        return self._add([Flaky(_source(place, ip), ip, every, how) for ip in targets])

    def slow(self, place: str, *targets: str, bytes_per_s: int) -> list[Trouble]:
        """From now on what each target sends to ``place`` comes thinly."""
        return self._add([Slow(_source(place, ip), ip, bytes_per_s) for ip in targets])

    def mend(self, *targets: str) -> None:
        """End what is wrong on the way to these addresses; without any: everything."""
        with self._lock:
            self._set([one for one in self.troubles if targets and one.target not in targets])

    def _add(self, more: "list[Trouble]") -> "list[Trouble]":
        named = {(one.source, one.target) for one in more}
        with self._lock:
            kept = [one for one in self.troubles if (one.source, one.target) not in named]
            self._set([*kept, *more])
        return more

    def _set(self, troubles: "list[Trouble]") -> None:
        apply(self.router, troubles)
        self.troubles = troubles


def _source(place: str, target: str) -> str:
    """The network of a place that speaks the target's family."""
    version = ip_network(target).version
    return next(net for net in NETWORKS[place] if ip_network(net).version == version)


@contextmanager
def world() -> Iterator[World]:
    """Make one, and take it down with all that runs in it."""
    guard.sweep()
    prefix = guard.prefix(next(_numbers))
    keeper = guard.watch(prefix)
    try:
        names = (f"{prefix}{place}" for place in ("home", "abroad", "world", "router"))
        home, abroad, outside, router = map(Namespace, names)
        made = World(home, abroad, outside, router)
        _lay(made)
        apply(made.router, [])
        yield made
    finally:
        guard.dismiss(keeper)


def _lay(made: World) -> None:
    """Namespaces, links, addresses, routes."""
    places = {"home": made.home, "abroad": made.abroad, "world": made.world}
    spaces = (made.router, *places.values())
    run("ip", "-batch", "-", stdin="".join(f"netns add {space.name}\n" for space in spaces))
    links = (
        f"link add eth0 netns {space.name} type veth peer name {place} netns {made.router.name}\n"
        for place, space in places.items()
    )
    run("ip", "-batch", "-", stdin="".join(links))
    router = ["link set lo up"]
    for place, space in places.items():
        gates, own = _ENDS[place]
        router += [f"address add {gate} dev {place} nodad" for gate in gates]
        router.append(f"link set {place} up")
        lines = ["link set lo up"]
        lines += [f"address add {address} dev eth0 nodad" for address in own]
        lines.append("link set eth0 up")
        lines += [f"route add default via {gate.split('/')[0]}" for gate in gates]
        if place == "world":  # each address of its networks is here, without being listed
            lines += [f"route add local {net} dev lo" for net in NETWORKS[place]]
            vias = (address.split("/")[0] for address in own)
            router += [f"route add {n} via {v}" for n, v in zip(NETWORKS[place], vias, strict=True)]
        _batch(space, lines)
    _batch(made.router, router)
    _tell_kernel(made.router, **{"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
    # Binding a single address of a network that is here as a whole: IPv4 gives leave by itself.
    _tell_kernel(made.world, **{"ipv6/ip_nonlocal_bind": 1})


_ENDS = {
    "home": (
        ("192.0.2.1/25", "2001:db8:1::1/64"),
        (f"{HOME}/25", f"{HOME6}/64", f"{HOME_SECOND}/25"),
    ),
    "abroad": (
        ("198.51.100.1/24", "2001:db8:2::1/64"),
        (f"{ABROAD}/24", f"{ABROAD6}/64"),
    ),
    "world": (
        ("192.0.2.253/30", "2001:db8:ff::1/64"),
        ("192.0.2.254/30", "2001:db8:ff::2/64"),
    ),
}
"""Place to the router's addresses on the link to it, and to its own."""


def _tell_kernel(space: Namespace, **settings: int) -> None:
    """Set what the kernel keeps for each namespace, below ``/proc/sys/net``."""
    lines = (f"echo {value} >/proc/sys/net/{name}" for name, value in settings.items())
    space.run("sh", "-e", "-c", "\n".join(lines))


def _batch(space: Namespace, lines: "list[str]") -> None:
    """Many ``ip`` commands at once, inside a namespace."""
    run("ip", "-n", space.name, "-batch", "-", stdin="\n".join(lines) + "\n")


def mx(number: int) -> str:
    """The IPv4 address of the world with this number, as MX hosts are given them."""
    net = ip_network(NETWORKS["world"][0])
    assert 1 < number < 254, number
    return str(ip_address(int(net[0]) + number))
