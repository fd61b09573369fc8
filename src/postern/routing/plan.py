"""What a search for mail hosts found, and the order its addresses are tried in.

The order is made anew every few seconds from the same findings: equal preferences share the load
(RFC 5321 §5.1), and one look-up serves many messages.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from postern.mail.route import ANY_TLS, NoRoute, Target, TlsDemand
from postern.mail.tlsrpt import Untried

MAX_TARGETS = 10
MAX_ADDRESSES_PER_HOST = 4
"""RFC 5321 §5.1 asks for two at least; a host with thirty must not crowd out the backup MX."""


@dataclass(frozen=True, slots=True)
class Host:
    """A mail host with at least one address; lower preferences are tried first.

    ``tls``: what its domain, or its own zone, asks of TLS there.
    """

    name: str
    preference: int
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    tls: TlsDemand = ANY_TLS


@dataclass(frozen=True, slots=True)
class Plan:
    """Where mail can go, good for ``ttl_s`` seconds. Hosts come lowest preference first."""

    group: str
    port: int
    hosts: tuple[Host, ...]
    ttl_s: float


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """Why mail can go nowhere, good for ``ttl_s`` seconds.

    ``untried``: where that is for what must be of TLS, what reports are to say of it.
    """

    route: NoRoute
    ttl_s: float = 0.0
    untried: Untried | None = None


Found = Plan | DeadEnd


def targets(
    plan: Plan,
    chance: random.Random,
    tls: TlsDemand | None = None,
    *,
    ipv6_last: bool = False,
    only_family: int | None = None,
) -> tuple[Target, ...]:
    """The addresses to try, at most ten.

    Hosts of one preference are shuffled and give one address each in turn, so that a second
    connection goes to a second host. A host's addresses alternate between IPv6 and IPv4.

    Args:
        plan: what was found.
        chance: what shuffles.
        tls: what TLS all of them must have; None: what each host asks for.
        ipv6_last: behind every IPv4 address, whatever its host's preference: this machine cannot
            reach them, or may not prefer them.
        only_family: 4 or 6 where the source address allows no other; else None.
    """
    order: list[Target] = []
    for _, level in groupby(plan.hosts, key=lambda host: host.preference):
        hosts = list(level)
        chance.shuffle(hosts)
        rows = [_addresses(host, chance, only_family) for host in hosts]
        for turn in zip_longest(*rows):
            order.extend(
                Target(host.name, ip, plan.port, tls or host.tls)
                for host, ip in zip(hosts, turn, strict=True)
                if ip is not None
            )
    if ipv6_last:
        order.sort(key=lambda target: ":" in target.ip)
    return tuple(order[:MAX_TARGETS])


def _addresses(host: Host, chance: random.Random, only_family: int | None) -> list[str]:
    ipv6 = _shuffled(host.ipv6, chance) if only_family != 4 else []
    ipv4 = _shuffled(host.ipv4, chance) if only_family != 6 else []
    return list(_alternate(ipv6, ipv4))[:MAX_ADDRESSES_PER_HOST]


def _shuffled(addresses: Sequence[str], chance: random.Random) -> list[str]:
    mixed = list(addresses)
    chance.shuffle(mixed)
    return mixed


def _alternate(first: Sequence[str], second: Sequence[str]) -> Iterator[str]:
    for pair in zip_longest(first, second):
        yield from (ip for ip in pair if ip is not None)
