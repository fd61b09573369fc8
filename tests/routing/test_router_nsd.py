"""Routing by a real DNS server, through the real resolver."""

import pytest
from tests.peers.dns import NsdServer
from tests.routing.conftest import FakePlaces

from postern.mail.address import Address
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.route import NoRoute, Route, SmtpRoute
from postern.routing.machine import this_machine
from postern.routing.router import Router
from postern.routing.settings import HostPort, RoutingSettings
from postern.runtime.clock import SystemClock
from postern.runtime.resolver.resolver import Resolver
from postern.runtime.resolver.settings import ResolverSettings

ZONES = {
    "tea.test": "@ MX 20 b.tea.test.\n@ MX 10 a.tea.test.\na A 127.0.0.1\nb A 127.0.0.2",
    "null.test": "@ MX 0 .",
    "plain.test": "@ A 127.0.0.3",
    "loop.test": "@ MX 10 mx.host.test.",
}


@pytest.mark.peers("nsd")
async def test_every_kind_of_domain_finds_its_way_by_real_dns() -> None:
    with NsdServer(ZONES) as nsd:
        clock = SystemClock()
        home = ResolverSettings.parse("home", [nsd.address], tries_s=(20.0,))
        settings = RoutingSettings(
            hostname="mx.host.test", listeners=(HostPort("127.0.0.1", 2525),), port=2526
        )
        router = Router(FakePlaces(), Resolver([home], clock), settings, clock, this_machine())

        async def route(domain: str) -> Route:
            return await router.route(Address("wang", domain))

        mail = await route("tea.test")
        assert isinstance(mail, SmtpRoute)
        assert [(t.host, t.ip, t.port) for t in mail.targets] == [
            ("a.tea.test", "127.0.0.1", 2526),
            ("b.tea.test", "127.0.0.2", 2526),
        ]
        assert router.cached_route(Address("li", "tea.test")) == mail
        implicit = await route("plain.test")
        assert isinstance(implicit, SmtpRoute)
        assert [t.ip for t in implicit.targets] == ["127.0.0.3"]
        for domain, kind, cause in [
            ("null.test", Refused, Cause.NO_MAIL_HOST),
            ("nothing.tea.test", Refused, Cause.NO_DOMAIN),
            ("loop.test", Refused, Cause.LOOP),
            ("elsewhere.example", Deferred, Cause.DNS),
        ]:
            none = await route(domain)
            assert isinstance(none, NoRoute)
            assert (type(none.outcome), none.outcome.cause) == (kind, cause)
