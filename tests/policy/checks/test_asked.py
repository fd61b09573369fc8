"""Every check that asks DNS asks abroad when home couldn't tell, and says who answered."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import dns.message
import pytest
from tests.mail.dkim.stand import ed25519_key, signed, zone_of
from tests.peers.dns import NsdServer
from tests.policy.checks.asking import seen, told
from tests.policy.making import address
from tests.runtime.dns_servers import failing, udp_server

from postern.mail.dkim.sign import Signer
from postern.mail.finding import Result
from postern.policy.checks.asked import Asked
from postern.policy.checks.check import Found
from postern.policy.checks.dkim import check_dkim
from postern.policy.checks.dmarc import check_dmarc
from postern.policy.checks.dnsbl import check_dnsbl
from postern.policy.checks.helo import check_helo
from postern.policy.checks.letter import Letter, LetterReader
from postern.policy.checks.mailfrom import check_mailfrom
from postern.policy.checks.ptr import check_ptr
from postern.policy.checks.spf import check_spf
from postern.policy.checks.zones import Zone, Zones
from postern.runtime.clock import FakeClock, SystemClock
from postern.runtime.resolver.resolver import Resolver
from postern.runtime.resolver.settings import ResolverSettings

pytestmark = pytest.mark.peers("nsd")

TEA = Signer("tea.test", "jan", ed25519_key())
NOW = 1.75e9
MESSAGE = b"From: Li <li@tea.test>\r\nSubject: tea\r\n\r\nHello\r\n"
(KEY,) = (record for found in zone_of(TEA).values() if isinstance(found, tuple) for record in found)
ZONES = {
    "tea.test": "@ MX 10 mail\nmail A 198.51.100.24\n"
    f'@ TXT "v=spf1 a:mail.tea.test -all"\n_dmarc TXT "v=DMARC1; p=reject"\n'
    f'jan._domainkey TXT "{KEY}"',
    "100.51.198.in-addr.arpa": "24 PTR mail.tea.test.",
    "bl.test": "2.0.0.127 A 127.0.0.2\n24.100.51.198 A 127.0.0.2",
}
SEEN = seen(helo="mail.tea.test", mail_from=address("li@tea.test"), at=NOW)


@pytest.fixture(scope="module")
def abroad() -> Iterator[NsdServer]:
    with NsdServer(ZONES) as server:
        yield server


def broken(query: dns.message.Message) -> list[bytes]:
    return [failing(query)]


@asynccontextmanager
async def looking(abroad: NsdServer) -> AsyncIterator[Asked]:
    """Home fails at everything; another knows."""
    async with udp_server(broken) as home:
        named = [
            ResolverSettings.parse("home", [home.address], tries_s=(20.0,)),
            ResolverSettings.parse("us1", [abroad.address], tries_s=(20.0,)),
        ]
        yield Asked(Resolver(named, SystemClock()))


def letter() -> Letter:
    message = signed(MESSAGE, TEA, now=NOW)
    reader = LetterReader(message, message.index(b"\r\n\r\n") + 4, NOW)
    return reader.finish()


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (check_ptr, "ptr.missing"),
        (check_helo, "helo.unresolvable"),
        (check_mailfrom, "mailfrom.no-mx"),
        (check_spf, "spf.fail"),
    ],
    ids=["ptr", "helo", "mailfrom", "spf"],
)
async def test_what_is_found_of_a_client_says_that_it_was_seen_from_abroad(
    abroad: NsdServer, check: object, expected: str
) -> None:
    assert callable(check)
    async with looking(abroad) as asked:
        found: Found = asked.placed(await check(SEEN, asked))
    passes = [one for one in found.findings if one.result is Result.PASS]
    assert expected in [one.check for one in passes]
    assert {one.place for one in found.findings} == {"us1"}


async def test_signatures_and_policies_are_looked_up_from_abroad(abroad: NsdServer) -> None:
    whole = letter()
    async with looking(abroad) as asked:
        signatures = asked.placed(await check_dkim(whole, asked))
        assert told(signatures) == [("dkim.fail", Result.PASS)]
        assert signatures.findings[0].place == "us1"
    async with looking(abroad) as asked:
        policy = asked.placed(await check_dmarc(whole, signatures.identifiers, (), asked))
        assert told(policy) == [("dmarc.reject", Result.PASS)]
        assert policy.findings[0].place == "us1"


async def test_block_lists_are_not_asked_from_abroad(abroad: NsdServer) -> None:
    zones = Zones([Zone("bl.test")], FakeClock())
    knowing = ResolverSettings.parse("us1", [abroad.address], tries_s=(20.0,))
    await zones.test_due(Resolver([knowing], SystemClock()))
    async with looking(abroad) as asked:
        found = asked.placed(await check_dnsbl("198.51.100.24", zones, asked))
    assert told(found) == [("dnsbl.couldnt-tell", Result.COULDNT_TELL)]
    assert found.findings[0].place == "home"


async def test_what_home_knew_has_no_place_of_its_own(abroad: NsdServer) -> None:
    home = ResolverSettings.parse("home", [abroad.address], tries_s=(20.0,))
    asked = Asked(Resolver([home], SystemClock()))
    found = asked.placed(await check_mailfrom(SEEN, asked))
    assert {one.place for one in found.findings} == {""}
