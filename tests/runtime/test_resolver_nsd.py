"""The resolver against a real DNS server."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop
from tests.peers.dns import NsdServer

from postern.mail.dns import Answer, MxRecord, Question, Status
from postern.runtime.clock import SystemClock
from postern.runtime.resolver.resolver import Resolver
from postern.runtime.resolver.settings import ResolverSettings, Transport

pytestmark = pytest.mark.peers("nsd")

LONG_TXT = "\n".join(f'long TXT "{number:04d}{"x" * 200}"' for number in range(20))
ZONES = {
    "tea.test": f"""
@ 120 MX 20 mx2
@ 120 MX 10 mx1
mx1 A 127.0.0.1
mx1 AAAA ::1
mx2 A 127.0.0.2
@ TXT "v=spf1 " "-all"
alias CNAME mx1
far CNAME host.coffee.test.
out CNAME host.nowhere.example.
{LONG_TXT}
""",
    "coffee.test": "@ MX 0 .\nhost A 127.0.0.3",
    "127.in-addr.arpa": "1.0.0 PTR mx1.tea.test.",
}


@pytest.fixture(scope="module")
def nsd() -> Iterator[NsdServer]:
    with NsdServer(ZONES) as server:
        yield server


def asking(nsd: NsdServer, transport: Transport = Transport.UDP) -> Resolver:
    settings = ResolverSettings.parse("home", [nsd.address], transport, (20.0,))
    return Resolver([settings], SystemClock())


async def test_mx_addresses_text_and_ptr_are_read(nsd: NsdServer) -> None:
    resolver = asking(nsd)
    mx = await resolver.ask(Question("tea.test", "MX"))
    assert mx.mx() == (MxRecord(10, "mx1.tea.test"), MxRecord(20, "mx2.tea.test"))
    assert mx.ttl_s == 120
    assert (await resolver.ask(Question("mx1.tea.test", "A"))).records == ("127.0.0.1",)
    assert (await resolver.ask(Question("mx1.tea.test", "AAAA"))).records == ("::1",)
    assert (await resolver.ask(Question("tea.test", "TXT"))).records == ("v=spf1 -all",)
    assert (await resolver.ask(Question.reverse("127.0.0.1"))).records == ("mx1.tea.test",)
    assert (await resolver.ask(Question("coffee.test", "MX"))).mx() == (MxRecord(0, ""),)


async def test_missing_name_missing_type_and_refusal_stay_apart(nsd: NsdServer) -> None:
    resolver = asking(nsd)
    no_name = await resolver.ask(Question("nobody.tea.test", "A"))
    assert (no_name.status, no_name.ttl_s) == (Status.NO_NAME, 60)
    no_data = await resolver.ask(Question("mx2.tea.test", "AAAA"))
    assert (no_data.status, no_data.ttl_s) == (Status.NO_DATA, 60)
    refused = await resolver.ask(Question("elsewhere.example", "A"))
    assert (refused.status, refused.ttl_s) == (Status.SERVER_FAILURE, 0)


async def test_aliases_are_followed_as_far_as_the_answer_goes(nsd: NsdServer) -> None:
    resolver = asking(nsd)
    assert (await resolver.ask(Question("alias.tea.test", "A"))).records == ("127.0.0.1",)
    assert (await resolver.ask(Question("far.tea.test", "A"))).records == ("127.0.0.3",)
    assert (await resolver.ask(Question("out.tea.test", "A"))).status is Status.SERVER_FAILURE


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_long_answer_arrives_whole(nsd: NsdServer, transport: Transport) -> None:
    answer = await asking(nsd, transport).ask(Question("long.tea.test", "TXT"))
    assert len(answer.records) == 20
    assert sum(map(len, answer.records)) == 20 * 204


def test_resolver_works_on_uvloop_too(nsd: NsdServer) -> None:
    async def ask() -> tuple[Answer, Answer]:
        resolver = asking(nsd)
        return (
            await resolver.ask(Question("mx1.tea.test", "A")),
            await resolver.ask(Question("long.tea.test", "TXT")),
        )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        short, long = runner.run(ask())
    assert short.records == ("127.0.0.1",)
    assert len(long.records) == 20
