"""Policies over real HTTPS: what is taken, and what is not."""

import asyncio
import ssl
import threading
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from tests.delivery.jobs import until
from tests.peers.certificates import Authority, KeyPair, self_signed
from tests.routing.tls.policies import PolicyServer, policy, policy_server

from postern.mail.tlsrpt import TlsResult
from postern.routing.tls.sts_fetch import NOT_ASKED, NotAsked, NotFetched, StsFetcher, StsSettings
from postern.routing.tls.sts_slots import Slots, network_of
from postern.runtime.resolver.fake import FakeResolver

HOST = "mta-sts.tea.test"
GOOD = policy("enforce", "mx.tea.test")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> KeyPair:
    return authority.issue(HOST)


async def fetched(
    served: PolicyServer, pair: KeyPair, ca_file: Path, limit_s: float = 20.0
) -> bytes | NotFetched | NotAsked:
    dns = FakeResolver()
    dns.add(HOST, "A", "127.0.0.1")
    async with policy_server(pair, served):
        settings = StsSettings(limit_s=limit_s, port=served.port, ca_file=ca_file)
        return await StsFetcher(dns, settings, has_ipv6=False).fetch("tea.test")


async def result(served: PolicyServer, pair: KeyPair, authority: Authority) -> NotFetched:
    found = await fetched(served, pair, authority.ca)
    assert isinstance(found, NotFetched)
    return found


def where_to_find(dns: FakeResolver, domain: str, ip: str) -> None:
    dns.add(f"mta-sts.{domain}", "A", ip)


async def test_the_policy_is_asked_for_by_name_and_brought_as_it_is_served(
    authority: Authority, pair: KeyPair
) -> None:
    served = PolicyServer(GOOD)
    assert await fetched(served, pair, authority.ca) == GOOD
    (request,) = served.requests
    assert request.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
    assert b"Host: mta-sts.tea.test\r\n" in request


async def test_no_proxy_of_the_environment_is_asked(
    authority: Authority, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await fetched(PolicyServer(GOOD), pair, authority.ca) == GOOD


async def test_a_body_in_chunks_is_put_together(authority: Authority, pair: KeyPair) -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nver\r\n5\r\nsion:\r\n0\r\n\r\n"
    )
    assert await fetched(PolicyServer(raw=raw), pair, authority.ca) == b"version:"


@pytest.mark.parametrize(
    ("served", "expected", "words"),
    [
        (
            PolicyServer(GOOD, "301 Moved", more="Location: https://mta-sts.tea.test/x\r\n"),
            TlsResult.STS_POLICY_FETCH_ERROR,
            "301",
        ),
        (PolicyServer(GOOD, "404 Not Found"), TlsResult.STS_POLICY_FETCH_ERROR, "404"),
        (PolicyServer(GOOD, kind="text/html"), TlsResult.STS_POLICY_INVALID, "text/plain"),
        (PolicyServer(b"x" * 65_537), TlsResult.STS_POLICY_INVALID, "longer"),
        (PolicyServer(raw=b"220 mx ESMTP\r\n"), TlsResult.STS_POLICY_FETCH_ERROR, "did not"),
        (PolicyServer(raw=b""), TlsResult.STS_POLICY_FETCH_ERROR, "did not"),
        (
            PolicyServer(raw=b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"[:-1]),
            TlsResult.STS_POLICY_FETCH_ERROR,
            "did not",
        ),
        (
            PolicyServer(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000),
            TlsResult.STS_POLICY_FETCH_ERROR,
            "did not",
        ),
    ],
    ids=["redirect", "missing", "html", "long", "no http", "nothing", "cut", "endless head"],
)
async def test_what_is_not_a_policy_served_as_one_is_not_taken(
    served: PolicyServer, expected: TlsResult, words: str, authority: Authority, pair: KeyPair
) -> None:
    found = await result(served, pair, authority)
    assert found.result is expected
    assert words in found.text
    assert len(served.requests) == 1


async def test_the_certificate_must_be_good_and_for_that_name(
    authority: Authority, tmp_path: Path
) -> None:
    bad = [
        authority.issue("tea.test"),
        authority.issue("old.test", HOST, valid=timedelta(days=-1)),
        self_signed(tmp_path, HOST),
    ]
    for pair in bad:
        served = PolicyServer(GOOD)
        found = await result(served, pair, authority)
        assert found.result is TlsResult.STS_WEBPKI_INVALID
        assert served.requests == []


async def test_the_common_name_of_a_certificate_is_no_name_of_its_server(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue(HOST, alternatives=("192.0.2.1",))
    served = PolicyServer(GOOD)
    found = await result(served, pair, authority)
    assert found.result is TlsResult.STS_WEBPKI_INVALID
    assert served.requests == []


async def test_the_authorities_are_read_once_and_not_on_the_loop(
    authority: Authority, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    make = ssl.create_default_context

    def noted(*, cafile: str | None = None) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return make(cafile=cafile)

    monkeypatch.setattr(ssl, "create_default_context", noted)
    dns = FakeResolver()
    where_to_find(dns, "tea.test", "127.0.0.1")
    async with policy_server(pair, PolicyServer(GOOD)) as served:
        settings = StsSettings(port=served.port, ca_file=authority.ca)
        fetcher = StsFetcher(dns, settings, has_ipv6=False)
        found = await asyncio.gather(*(fetcher.fetch("tea.test") for _ in range(5)))
    assert found == [GOOD] * 5
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


@pytest.mark.parametrize(
    ("addresses", "asked"),
    [(["127.0.0.2"] * 20, 2), ([f"127.0.1.{number}" for number in range(1, 21)], 8)],
    ids=["one address", "one network"],
)
async def test_who_serves_many_policies_slowly_is_in_nobody_s_way_but_his_own(
    authority: Authority, addresses: list[str], asked: int
) -> None:
    slow_ones = {f"e{number}.test": ip for number, ip in enumerate(addresses)}
    names = [f"mta-sts.{domain}" for domain in slow_ones]
    pair = authority.issue("many.test", HOST, *names)
    dns = FakeResolver()
    where_to_find(dns, "tea.test", "127.0.0.1")
    for domain, ip in slow_ones.items():
        where_to_find(dns, domain, ip)
    slow = PolicyServer(is_silent=True)
    good = PolicyServer(GOOD)
    async with policy_server(pair, good), AsyncExitStack() as stack:
        port = good.port
        settings = StsSettings(port=port, ca_file=authority.ca, limit_s=20.0)
        fetcher = StsFetcher(dns, settings, has_ipv6=False, slots=Slots(wait_s=0.3))
        for ip in set(addresses):  # each an address of its own, all at the one port
            await stack.enter_async_context(policy_server(pair, slow, ip, port))
        late = [asyncio.create_task(fetcher.fetch(domain)) for domain in slow_ones]
        await until(lambda: len(slow.requests) == asked)
        assert await fetcher.fetch("tea.test") == GOOD
        await until(lambda: sum(task.done() for task in late) == len(late) - asked)
        assert {task.result() for task in late if task.done()} == {NOT_ASKED}
        assert len(slow.requests) == len(fetcher.asking) == asked
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    assert fetcher.asking == set()


async def test_the_time_limit_begins_with_the_slot(authority: Authority, pair: KeyPair) -> None:
    dns = FakeResolver()
    where_to_find(dns, "tea.test", "127.0.0.1")
    async with policy_server(pair, PolicyServer(is_silent=True)) as served:
        settings = StsSettings(limit_s=0.8, port=served.port, ca_file=authority.ca)
        slots = Slots(at_one_address=1, wait_s=60.0)
        fetcher = StsFetcher(dns, settings, has_ipv6=False, slots=slots)
        found = await asyncio.gather(*(fetcher.fetch("tea.test") for _ in range(2)))
        assert all(isinstance(one, NotFetched) for one in found)
        assert len(served.requests) == 2


@pytest.mark.parametrize(
    ("ip", "network"),
    [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48")],
)
def test_neighbours_share_their_slots(ip: str, network: str) -> None:
    assert network_of(ip) == network


async def test_slots_that_nobody_uses_are_forgotten() -> None:
    slots = Slots(at_once=1, wait_s=0.0)
    async with slots.taken("192.0.2.1") as one, slots.taken("198.51.100.1") as other:
        assert (one, other) == (True, False), "there is one of all"
    async with slots.taken("198.51.100.1") as one:
        assert one
    assert vars(slots)["_places"] == {}


async def test_a_server_that_keeps_silent_costs_its_time_limit_and_no_more(
    authority: Authority, pair: KeyPair
) -> None:
    found = await fetched(PolicyServer(is_silent=True), pair, authority.ca, limit_s=0.3)
    assert isinstance(found, NotFetched)
    assert found.result is TlsResult.STS_POLICY_FETCH_ERROR


async def test_the_next_address_is_asked_where_nobody_listens_at_the_first(
    authority: Authority, pair: KeyPair
) -> None:
    dns = FakeResolver()
    dns.add(HOST, "A", "127.0.0.9", "127.0.0.1")
    async with policy_server(pair, PolicyServer(GOOD)) as served:
        settings = StsSettings(port=served.port, ca_file=authority.ca)
        assert await StsFetcher(dns, settings, has_ipv6=False).fetch("tea.test") == GOOD


async def test_a_host_without_an_address_has_no_policy() -> None:
    found = await StsFetcher(FakeResolver(), StsSettings(), has_ipv6=True).fetch("tea.test")
    assert isinstance(found, NotFetched)
    assert found.result is TlsResult.STS_POLICY_FETCH_ERROR


@pytest.mark.parametrize("ip", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1"])
async def test_nobody_has_us_knock_at_addresses_of_our_own_network(ip: str) -> None:
    dns = FakeResolver()
    dns.add(HOST, "A", ip)
    found = await StsFetcher(dns, StsSettings(), has_ipv6=False).fetch("tea.test")
    assert isinstance(found, NotFetched)
    assert "no address" in found.text
