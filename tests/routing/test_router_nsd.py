"""Routing by a real DNS server, through the real resolver."""

import pytest
from tests.peers.dns import NsdServer
from tests.routing.conftest import FakePlaces

from postern.mail.address import Address
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.route import NoRoute, Route, SmtpRoute
from postern.routing.machine import this_machine
from postern.routing.paths.census import Census, Met
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
    "hosted.test": "@ MX 10 aspmx.l.google.com.\n@ MX 20 alt1.aspmx.l.google.com.",
    "google.com": "aspmx.l A 127.0.0.4\nalt1.aspmx.l A 127.0.0.5",
    "mixed.test": "@ MX 10 aspmx.l.google.com.\n@ MX 20 a.tea.test.",
    "fake.test": "@ MX 10 aspmx.l.google.com.fake.test.\naspmx.l.google.com A 127.0.0.6",
    "label.test": "@ MX 10 aspmx\\.google.com.",
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


@pytest.mark.peers("nsd")
async def test_a_group_is_a_providers_only_where_real_dns_says_so_of_every_host() -> None:
    with NsdServer(ZONES) as nsd:
        clock, met = SystemClock(), list[Met]()
        home = ResolverSettings.parse("home", [nsd.address], tries_s=(20.0,))
        settings = RoutingSettings(hostname="mx.host.test", port=2526)
        router = Router(
            FakePlaces(), Resolver([home], clock), settings, clock, this_machine(),
            census=Census(clock, met.append),
        )  # fmt: skip
        groups = {
            domain: (await router.route(Address("wang", domain))).group
            for domain in ("hosted.test", "mixed.test", "fake.test", "label.test", "tea.test")
        }
    assert groups == {
        "hosted.test": "google",
        "mixed.test": "google.com+tea.test",
        "fake.test": "fake.test",
        "label.test": "aspmx_google.com",
        "tea.test": "tea.test",
    }
    assert [(one.domain, one.group) for one in met] == [
        (domain, groups[domain]) for domain in groups if domain != "label.test"
    ]
    assert [target.ip for target in met[0].targets] == ["127.0.0.4", "127.0.0.5"]
