"""The router: for each recipient the next place its mail goes, remembered while DNS allows.

What is ours comes first (mailbox, gateway), then a relay where the mail is to leave through one,
then an address literal, then DNS. What DNS said is kept for its smallest TTL; the order of targets
is shuffled anew every few seconds, so that one message's recipients find one and the same route.
"""

import asyncio
import ipaddress
import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from postern.mail.address import Address
from postern.mail.finding import Whose
from postern.mail.route import (
    LmtpRoute,
    MaildirRoute,
    NoRoute,
    Route,
    SmtpRoute,
    TlsDemand,
)
from postern.mail.tlsrpt import UNCOUNTED, TlsUntried
from postern.routing import dead_ends
from postern.routing.group import LOCAL
from postern.routing.hosts import find_addresses
from postern.routing.loops import Ourselves
from postern.routing.machine import Machine
from postern.routing.mx import MxSearch
from postern.routing.paths.census import Census
from postern.routing.places import (
    GatewayDomain,
    LocalDomainUnknown,
    LocalMailbox,
    NotOurs,
    Places,
)
from postern.routing.plan import DeadEnd, Found, Host, Plan, targets
from postern.routing.settings import (
    DIRECT,
    EgressSettings,
    HostPort,
    Ipv6Policy,
    LiteralPolicy,
    RoutingSettings,
)
from postern.routing.tls.dane import DaneMemory, DaneSearch, NoMemory
from postern.routing.tls.domains.policy import DomainPolicies
from postern.routing.tls.published import demanded
from postern.routing.tls.sts import Published
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import Lookup

MAX_KEPT = 20_000
"""Domains whose mail hosts are remembered."""
SHUFFLE_S = 5.0


@dataclass(frozen=True, slots=True)
class _ToDomain:
    """Mail hosts are to be found in DNS."""

    domain: str
    egress: str


@dataclass(frozen=True, slots=True)
class _ToHost:
    """Somebody wrote down the host: a relay or a customer's server."""

    group: str
    host: str
    port: int
    egress: str
    whose: Whose


_Way = _ToDomain | _ToHost


@dataclass(slots=True)
class _Kept:
    found: Found
    until: float
    route: Route
    shuffle_at: float
    seen: tuple[int, int]


class Pins(Protocol):
    """Knows which domains a person routes. ``version`` moves with every change."""

    version: int

    def has_domain(self, domain: str) -> bool:
        """Whether a route was made for this domain alone."""
        ...


class Policies(Protocol):
    """Knows what domains demand by MTA-STS."""

    async def of(self, domain: str) -> Published:
        """The policy for mail to ``domain``, within some seconds."""
        ...

    async def renewed(self, domain: str) -> Published:
        """The same, asked for anew where that is not too soon: before mail fails by it."""
        ...


class Router:
    """Finds routes. Belongs to one event loop.

    Args:
        places: what is ours.
        lookup: the resolver.
        settings: who we are and which ways out there are.
        clock: for what is kept.
        machine: facts of this machine, see ``machine.this_machine``.
        chance: what shuffles equal hosts.
        policies: what domains demand by MTA-STS; None: that is not asked.
        memory: which domains had DANE.
        census: is told which domain is in which group.
        ours: what we ask of TLS for domains ourselves.
        pins: which domains a person routes; None: none.
        untried: is told where TLS leaves no way.
    """

    def __init__(
        self,
        places: Places,
        lookup: Lookup,
        settings: RoutingSettings,
        clock: Clock,
        machine: Machine,
        chance: random.Random | None = None,
        policies: Policies | None = None,
        memory: DaneMemory | None = None,
        census: Census | None = None,
        ours: DomainPolicies | None = None,
        pins: Pins | None = None,
        untried: TlsUntried = UNCOUNTED,
    ) -> None:
        self._places = places
        self._lookup = lookup
        self._settings = settings
        self._clock = clock
        self._chance = chance or random.SystemRandom()
        self._census = census
        self._want_ipv6 = settings.ipv6 is not Ipv6Policy.NEVER
        self._ipv6_last = settings.ipv6 is Ipv6Policy.LAST or not machine.has_ipv6
        self._ourselves = Ourselves(settings.hostname, settings.listeners, machine.owns)
        self._mx = MxSearch(
            lookup,
            self._ourselves,
            hostname=settings.hostname,
            port=settings.port,
            want_ipv6=self._want_ipv6,
            chance=self._chance,
            providers=settings.providers,
            dane=DaneSearch(lookup, settings.port, memory or NoMemory()),
        )
        self._policies = policies
        self._ours = ours or DomainPolicies()
        self._pins = pins
        self._untried = untried
        self._kept: OrderedDict[_Way, _Kept] = OrderedDict()

    def cached_route(self, address: Address, via: str | None = None) -> Route | None:
        """The route if it is known without asking anyone, else None. Never blocks."""
        start = self._start(address, via)
        return self._recall(start) if isinstance(start, _Way) else start

    async def route(self, address: Address, via: str | None = None) -> Route:
        """The route, after asking DNS where needed.

        Args:
            address: the recipient, aliases already expanded.
            via: name of an egress to leave through; None for the usual one. Mail for our own
                domains never leaves through a relay.

        Raises whatever the directory raises; what DNS does is in the route.
        """
        start = self._start(address, via)
        if not isinstance(start, _Way):
            return start
        known = self._recall(start)
        if known is not None:
            return known
        if isinstance(start, _ToDomain):
            found = await self._find_domain(start.domain)
        else:
            found = await self._find_host(start)
        return self._keep(start, found)

    def group_of(self, domain: str) -> str | None:
        """The MX group of a domain that is not ours, if it is known now without asking."""
        egress = self._settings.egress(None)
        if egress is None:
            return None
        kept = self._recall(self._way_out(domain, egress))
        return None if kept is None else kept.group

    def forget(self) -> None:
        """Drop everything remembered; the next messages ask the resolver again."""
        self._kept.clear()

    def _start(self, address: Address, via: str | None) -> Route | _Way:
        match self._places.destination_of(address):
            case LocalMailbox(home):
                lmtp = self._settings.lmtp
                return LmtpRoute(LOCAL, lmtp) if lmtp else MaildirRoute(LOCAL, home)
            case GatewayDomain(host, port):
                group = f"gateway:{HostPort(host, port)}"
                egress = self._direct(via)
                return _ToHost(group, host, port, egress.name, Whose.RECIPIENT)
            case LocalDomainUnknown():
                return dead_ends.no_such_mailbox(str(address), LOCAL)
            case NotOurs():
                return self._start_outside(address.domain, via)

    def _start_outside(self, domain: str, via: str | None) -> Route | _Way:
        if not domain:
            return dead_ends.no_domain_given(LOCAL)
        egress = self._settings.egress(via)
        if egress is None:
            return dead_ends.no_egress(via or self._settings.via, domain)
        if domain.startswith("[") and egress.relay is None:
            return self._literal(domain, egress)
        return self._way_out(domain, egress)

    def _way_out(self, domain: str, egress: EgressSettings) -> _Way:
        if egress.relay is None:
            return _ToDomain(domain, egress.name)
        # A relay is one group, whatever the domain: it is the relay's slots and health that count,
        # and nothing need be asked about the domain where only the relay has the internet.
        group = f"relay:{egress.name}"
        return _ToHost(group, egress.relay.host, egress.relay.port, egress.name, Whose.US)

    def _direct(self, via: str | None) -> EgressSettings:
        """The direct egress for a customer's server: a relay outside would send it back to us."""
        chosen = (self._settings.egress(via), self._settings.egress(None))
        for egress in (*chosen, *self._settings.egresses):
            if egress is not None and egress.relay is None:
                return egress
        return EgressSettings(DIRECT)

    def _literal(self, literal: str, egress: EgressSettings) -> Route:
        """RFC 5321 §4.1.3: the address is the mail host."""
        inner = literal[1:].removesuffix("]")
        if inner[:5].lower() == "ipv6:":
            inner = inner[5:]
        try:
            address = ipaddress.ip_address(inner)
        except ValueError:
            return dead_ends.bad_literal(literal)
        ip, policy = str(address), self._settings.literals
        if self._ourselves.is_our_address(ip, self._settings.port):
            return dead_ends.loop(literal, literal, self._settings.hostname)
        if policy is LiteralPolicy.NEVER or address.is_unspecified or address.is_multicast:
            return dead_ends.literal_not_allowed(literal)
        if policy is LiteralPolicy.PUBLIC and not address.is_global:
            return dead_ends.literal_not_allowed(literal)
        ipv4, ipv6 = ((), (ip,)) if address.version == 6 else ((ip,), ())
        plan = Plan(literal, self._settings.port, (Host(literal, 0, ipv4, ipv6),), 0.0)
        return self._make(plan, egress, None, "")

    async def _find_domain(self, domain: str) -> Found:
        found = await self._find_demanded(domain)
        if isinstance(found, DeadEnd) and found.untried is not None:
            self._untried.untried(domain, found.untried)
        return found

    async def _find_demanded(self, domain: str) -> Found:
        if self._policies is None:
            return await self._mx.find(domain)
        # Both at once. Not by gather: compiled, what it makes of two kinds is no tuple.
        asked = asyncio.ensure_future(self._policies.of(domain))
        found = await self._mx.find(domain)
        allowed = demanded(found, domain, await asked)
        if isinstance(found, DeadEnd) or not isinstance(allowed, DeadEnd):
            return allowed
        return demanded(found, domain, await self._policies.renewed(domain))

    async def _find_host(self, way: _ToHost) -> Found:
        found = await find_addresses(self._lookup, way.host, want_ipv6=self._want_ipv6)
        name = str(HostPort(way.host, way.port))
        ips = (*found.ipv4, *found.ipv6)
        if any(self._ourselves.is_our_address(ip, way.port) for ip in ips):
            return DeadEnd(dead_ends.fixed_host_is_us(name, way.group), found.ttl_s)
        if ips:
            host = Host(way.host, 0, found.ipv4, found.ipv6)
            return Plan(way.group, way.port, (host,), found.ttl_s)
        if found.unsure:
            return DeadEnd(dead_ends.dns_silent(f"the host {way.host}", way.group))
        return DeadEnd(dead_ends.fixed_host_missing(name, way.group, way.whose), found.ttl_s)

    @property
    def _versions(self) -> tuple[int, int]:
        """Of what people decide for domains."""
        return self._ours.version, 0 if self._pins is None else self._pins.version

    def _recall(self, way: _Way) -> Route | None:
        kept = self._kept.get(way)
        if kept is None:
            return None
        now = self._clock.monotonic()
        if now >= kept.until:
            del self._kept[way]
            return None
        self._kept.move_to_end(way)
        if now >= kept.shuffle_at or kept.seen != self._versions:
            kept.route = self._follow(way, kept.found)
            kept.shuffle_at = now + SHUFFLE_S
            kept.seen = self._versions
        return kept.route

    def _keep(self, way: _Way, found: Found) -> Route:
        route = self._follow(way, found)
        if self._census is not None and isinstance(route, SmtpRoute):
            self._census.met(route)
        if found.ttl_s > 0:
            now = self._clock.monotonic()
            until, shuffle_at = now + found.ttl_s, now + SHUFFLE_S
            self._kept[way] = _Kept(found, until, route, shuffle_at, self._versions)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return route

    def _follow(self, way: _Way, found: Found) -> Route:
        if isinstance(found, DeadEnd):
            return found.route
        egress = self._settings.egress(way.egress) or EgressSettings(DIRECT)
        tls = TlsDemand(egress.tls) if egress.relay is not None else None
        return self._make(found, egress, tls, way.domain if isinstance(way, _ToDomain) else "")

    def _make(
        self, plan: Plan, egress: EgressSettings, tls: TlsDemand | None, domain: str
    ) -> SmtpRoute | NoRoute:
        family = ipaddress.ip_address(egress.source_ip).version if egress.source_ip else None
        order = targets(plan, self._chance, tls, ipv6_last=self._ipv6_last, only_family=family)
        if not order:
            return dead_ends.no_address_for_source(egress.name, plan.group)
        order = self._ours.on(order, domain)
        is_apart = self._pins is not None and self._pins.has_domain(domain)
        return SmtpRoute(plan.group, egress.as_egress(), order, domain, is_apart)
