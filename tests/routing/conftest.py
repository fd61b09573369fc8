"""A router whose every neighbour is a fake."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from postern.mail.address import Address
from postern.mail.outcome import Deferred, Refused
from postern.mail.route import NoRoute, Route, SmtpRoute
from postern.mail.tlsrpt import Untried
from postern.routing.machine import Machine
from postern.routing.places import NotOurs, Place
from postern.routing.router import Router
from postern.routing.routes.table import RouteTable
from postern.routing.settings import RoutingSettings
from postern.routing.tls.domains.policy import DomainPolicies
from postern.routing.tls.sts import Published
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver

OUR_ADDRESS = "192.0.2.200"


@dataclass
class FakePlaces:
    """What is ours, by domain."""

    domains: dict[str, Place] = field(default_factory=dict)

    def destination_of(self, address: Address) -> Place:
        return self.domains.get(address.domain, NotOurs())


@dataclass
class FakePolicies:
    """What domains publish by MTA-STS."""

    by_domain: dict[str, Published] = field(default_factory=dict)
    newer: dict[str, Published] = field(default_factory=dict)
    asked_anew: list[str] = field(default_factory=list)

    async def renewed(self, domain: str) -> Published:
        self.asked_anew.append(domain)
        return self.newer.get(domain) or await self.of(domain)

    async def of(self, domain: str) -> Published:
        return self.by_domain.get(domain, Published(ttl_s=86_400))


@dataclass
class FakeCounts:
    """Where TLS left no way."""

    told: list[tuple[str, Untried]] = field(default_factory=list)

    def untried(self, domain: str, why: Untried) -> None:
        self.told.append((domain, why))


@dataclass
class FakeMemory:
    """Which domains had DANE."""

    domains: set[str] = field(default_factory=set)

    def saw_dane(self, domain: str) -> None:
        self.domains.add(domain)

    def had_dane(self, domain: str) -> bool:
        return domain in self.domains


class World:
    """A router, and the strings to pull behind it."""

    def __init__(self) -> None:
        self.dns = FakeResolver()
        self.clock = FakeClock()
        self.places = FakePlaces()
        self.settings = RoutingSettings(hostname="mx.host.test")
        self.machine = Machine(has_ipv6=True, owns=lambda ip: ip == OUR_ADDRESS)
        self.chance = random.Random(4)
        self.policies = FakePolicies()
        self.dane = FakeMemory()
        self.ours = DomainPolicies()
        self.table = RouteTable(self.clock)
        self.counts = FakeCounts()
        self._router: Router | None = None

    def set(self, **changes: object) -> None:
        """Change settings; before the router is used."""
        assert self._router is None
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]  # by name

    @property
    def router(self) -> Router:
        if self._router is None:
            self._router = Router(
                self.places,
                self.dns,
                self.settings,
                self.clock,
                self.machine,
                self.chance,
                policies=self.policies,
                memory=self.dane,
                ours=self.ours,
                pins=self.table,
                untried=self.counts,
            )
        return self._router

    async def route(self, domain: str, via: str | None = None) -> Route:
        return await self.router.route(Address("wang", domain), via)

    async def smtp(self, domain: str, via: str | None = None) -> SmtpRoute:
        route = await self.route(domain, via)
        assert isinstance(route, SmtpRoute), route
        return route

    async def ips(self, domain: str, via: str | None = None) -> list[str]:
        return [target.ip for target in (await self.smtp(domain, via)).targets]

    async def refused(self, domain: str, via: str | None = None) -> Refused:
        route = await self.route(domain, via)
        assert isinstance(route, NoRoute), route
        assert isinstance(route.outcome, Refused)
        return route.outcome

    async def deferred(self, domain: str, via: str | None = None) -> Deferred:
        route = await self.route(domain, via)
        assert isinstance(route, NoRoute), route
        assert isinstance(route.outcome, Deferred)
        return route.outcome


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> Callable[[], World]:
    return World
