"""Relays: their addresses, known ahead, so that nobody waits for DNS when the direct path is gone.

Given as an IP address a relay is known at once. A name is looked up when Postern starts and again
when its TTL is over, in the background; while DNS does not answer, what was known is kept: the
night that a country's line is cut is the night its resolver is cut off as well.
"""

import asyncio
from collections.abc import Callable, Iterator

import structlog

from postern.mail.paths import Path
from postern.mail.route import Egress, Target, TlsDemand, TlsPolicy
from postern.routing.hosts import Addresses, find_addresses, is_address
from postern.routing.settings import EgressSettings
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import Lookup

log = structlog.get_logger("postern.routing")

MIN_TTL_S = 30.0
MAX_TTL_S = 3600.0
AGAIN_S = 10.0
"""After DNS couldn't tell."""


class Relay:
    """One relay, and where it can be reached now."""

    __slots__ = ("ask_at", "egress", "name", "settings", "targets")

    def __init__(self, settings: EgressSettings) -> None:
        assert settings.relay is not None
        self.settings = settings
        self.name = settings.name
        self.egress: Egress = settings.as_egress()
        self.targets: tuple[Target, ...] = ()
        self.ask_at = 0.0

    @property
    def public_ips(self) -> tuple[str, ...]:
        """What other servers see mail of it come from; empty: not known yet."""
        return self.settings.addresses or tuple(target.ip for target in self.targets)

    def paths(self) -> tuple[Path, ...]:
        """The paths to it."""
        encrypted = self.settings.tls is not TlsPolicy.NEVER
        return tuple(Path(self.name, t.ip, t.port, encrypted) for t in self.targets)


class Relays:
    """All relays of one configuration, in their order.

    Args:
        settings: the egresses that are relays.
        lookup: the resolver; None where there is no relay.
        clock: for what is kept.
        is_us: whether an address and port are this server's: such a relay is never used.
        want_ipv6: whether IPv6 addresses are looked up.
    """

    def __init__(
        self,
        settings: tuple[EgressSettings, ...],
        lookup: Lookup | None,
        clock: Clock,
        is_us: Callable[[str, int], bool],
        *,
        want_ipv6: bool,
    ) -> None:
        self.version = 0
        self._relays = {one.name: Relay(one) for one in settings}
        self._lookup = lookup
        self._clock = clock
        self._is_us = is_us
        self._want_ipv6 = want_ipv6
        self._asked = asyncio.Event()
        for relay in self._relays.values():
            host = self._host(relay)
            if is_address(host):
                ipv4, ipv6 = ((), (host,)) if ":" in host else ((host,), ())
                self._take(relay, Addresses(ipv4, ipv6))
                relay.ask_at = float("inf")
        if not self._is_new:
            self._asked.set()

    def inherit(self, before: "Relays") -> frozenset[str]:
        """Know what was known before a reload: DNS may be silent just now.

        Returns:
            The names of relays that are set as they were.
        """
        same = [one for one in self if (old := before[one.name]) and old.settings == one.settings]
        for relay in same:
            old = before[relay.name]
            assert old is not None
            if old.targets and not relay.targets:
                ips = [target.ip for target in old.targets]
                ipv6 = tuple(ip for ip in ips if ":" in ip)
                self._take(relay, Addresses(tuple(ip for ip in ips if ":" not in ip), ipv6))
        return frozenset(relay.name for relay in same)

    def __iter__(self) -> Iterator[Relay]:
        return iter(self._relays.values())

    def __len__(self) -> int:
        return len(self._relays)

    def __getitem__(self, name: str) -> Relay | None:
        return self._relays.get(name)

    @property
    def is_asking(self) -> bool:
        """Whether DNS has not been asked about all of them yet: Postern has just started."""
        return not self._asked.is_set()

    async def wait_asked(self) -> None:
        """Until it has been, whatever it said."""
        await self._asked.wait()

    async def keep_looking_up(self) -> None:
        """Keep the addresses fresh until cancelled."""
        while True:
            await self.look_up()
            now = self._clock.monotonic()
            soonest = min((relay.ask_at for relay in self), default=now + MAX_TTL_S)
            await asyncio.sleep(min(max(1.0, soonest - now), MAX_TTL_S))

    async def look_up(self) -> None:
        """Ask for every relay whose time has come."""
        now = self._clock.monotonic()
        try:
            await asyncio.gather(*(self._ask(relay) for relay in self if relay.ask_at <= now))
        finally:
            self._asked.set()

    async def _ask(self, relay: Relay) -> None:
        host = self._host(relay)
        assert self._lookup is not None
        found = await find_addresses(self._lookup, host, want_ipv6=self._want_ipv6)
        now = self._clock.monotonic()
        if found.is_empty:
            log.warning("relay.no_address", relay=relay.name, host=host, kept=len(relay.targets))
            relay.ask_at = now + AGAIN_S
            return
        relay.ask_at = now + min(max(found.ttl_s, MIN_TTL_S), MAX_TTL_S)
        self._take(relay, found)

    def _take(self, relay: Relay, found: Addresses) -> None:
        assert relay.settings.relay is not None
        host, port = relay.settings.relay.host, relay.settings.relay.port
        source = relay.settings.source_ip
        demand = TlsDemand(relay.settings.tls)
        ips = [*found.ipv4, *found.ipv6]
        if source is not None:
            ips = [ip for ip in ips if (":" in ip) == (":" in source)]
        targets = tuple(
            Target(host, ip, port, demand) for ip in sorted(ips) if not self._is_us(ip, port)
        )
        if not targets:
            log.error("relay.is_us", relay=relay.name, host=host)
        if targets != relay.targets:
            relay.targets = targets
            self.version += 1

    @property
    def _is_new(self) -> bool:
        return any(relay.ask_at == 0.0 for relay in self)

    def _host(self, relay: Relay) -> str:
        assert relay.settings.relay is not None
        return relay.settings.relay.host
