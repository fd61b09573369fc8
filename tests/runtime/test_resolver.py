"""The resolver against servers of its own: what is kept, who is asked, what is believed."""

import asyncio
import ssl
import time
from dataclasses import replace
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from tests.peers.certificates import Authority
from tests.peers.process import free_port
from tests.runtime.dns_servers import (
    answering,
    failing,
    stream_server,
    udp_server,
)

from postern.mail.dns import Answer, Question, Status
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.forward import ForwardZone, ForwardZones
from postern.runtime.resolver.resolver import Resolver
from postern.runtime.resolver.settings import ResolverLimits, ResolverSettings, Transport

TEA = Question("tea.test", "A")
QUICK = (0.05, 0.05)
"""Time limits for servers that never answer."""
PATIENT = (20.0, 20.0)
"""Time limits for servers that always do, however busy the machine."""


def home(*servers: str, tries_s: tuple[float, ...] = PATIENT) -> ResolverSettings:
    return ResolverSettings.parse("home", servers, tries_s=tries_s)


def abroad(*servers: str, tries_s: tuple[float, ...] = PATIENT) -> ResolverSettings:
    return ResolverSettings.parse("abroad", servers, tries_s=tries_s)


def resolver(*named: ResolverSettings, clock: FakeClock | None = None, **limits: float) -> Resolver:
    allowed = ResolverLimits(limit_s=limits.get("limit_s", 60.0))
    return Resolver(named, clock or FakeClock(), allowed)


def silent(query: dns.message.Message) -> list[bytes]:
    return []


def one_address(query: dns.message.Message) -> list[bytes]:
    return [answering(query, "192.0.2.1")]


def server_failure(query: dns.message.Message) -> list[bytes]:
    return [failing(query)]


def vouching(query: dns.message.Message) -> list[bytes]:
    """Says that DNSSEC vouches for its answer."""
    response = dns.message.from_wire(answering(query, "192.0.2.1"))
    response.flags |= dns.flags.AD
    return [response.to_wire()]


# --- whose word on DNSSEC counts ------------------------------------------------------------------


async def test_our_own_resolver_is_believed_and_what_it_said_is_kept() -> None:
    async with udp_server(vouching) as server:
        under_test = resolver(home(server.address))
        assert (await under_test.ask(TEA)).secure
        kept = under_test.cached(TEA)
        assert kept is not None
        assert kept.secure


async def test_a_resolver_that_is_not_trusted_is_not_believed() -> None:
    async with udp_server(vouching) as server:
        under_test = resolver(replace(home(server.address), trusted=False))
        assert not (await under_test.ask(TEA)).secure


async def test_another_resolver_than_home_is_never_believed() -> None:
    async with udp_server(server_failure) as dead, udp_server(vouching) as server:
        other = replace(abroad(server.address), trusted=True)
        answer = await resolver(home(dead.address), other).ask(TEA)
        assert (answer.resolver, answer.secure) == ("abroad", False)


# --- the cache -----------------------------------------------------------------------------------


async def test_answer_is_asked_for_once_and_then_known_without_asking() -> None:
    async with udp_server(one_address) as server:
        under_test = resolver(home(server.address))
        assert under_test.cached(TEA) is None
        first = await under_test.ask(TEA)
        assert (first.records, first.resolver, first.ttl_s) == (("192.0.2.1",), "home", 300)
        assert under_test.cached(TEA) == first
        assert await under_test.ask(TEA) == first
        assert len(server.queries) == 1


async def test_answer_is_asked_for_again_once_its_ttl_is_over() -> None:
    clock = FakeClock()
    async with udp_server(one_address) as server:
        under_test = resolver(home(server.address), clock=clock)
        await under_test.ask(TEA)
        clock.advance(300)
        assert under_test.cached(TEA) is None
        await under_test.ask(TEA)
        assert len(server.queries) == 2


async def test_answer_with_ttl_zero_is_given_and_not_kept() -> None:
    async with udp_server(lambda query: [answering(query, "192.0.2.1", ttl=0)]) as server:
        under_test = resolver(home(server.address))
        assert (await under_test.ask(TEA)).records == ("192.0.2.1",)
        assert under_test.cached(TEA) is None


async def test_failure_is_kept_for_seconds_only() -> None:
    clock = FakeClock()
    async with udp_server(server_failure) as server:
        under_test = resolver(home(server.address), clock=clock)
        answer = await under_test.ask(TEA)
        assert (answer.status, answer.ttl_s) == (Status.SERVER_FAILURE, 0)
        await under_test.ask(TEA)
        assert len(server.queries) == 1
        clock.advance(5)
        await under_test.ask(TEA)
        assert len(server.queries) == 2


async def test_those_who_ask_the_same_at_once_share_one_query() -> None:
    async with udp_server(one_address) as server:
        under_test = resolver(home(server.address))
        answers = await asyncio.gather(*(under_test.ask(TEA) for _ in range(50)))
        assert len(server.queries) == 1
        assert {answer.records for answer in answers} == {("192.0.2.1",)}


async def test_one_who_asks_and_leaves_does_not_take_the_answer_from_the_others() -> None:
    async with udp_server(silent) as server:
        under_test = resolver(home(server.address))
        leaver = asyncio.create_task(under_test.ask(TEA))
        stayer = asyncio.create_task(under_test.ask(TEA))
        await server.wait_for(1)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        server.answer_all(lambda query: [answering(query, "192.0.2.9")])
        assert (await stayer).records == ("192.0.2.9",)
        assert len(server.queries) == 1


async def test_closing_cuts_what_is_under_way_and_answers_those_who_wait() -> None:
    async with udp_server(silent) as server:
        under_test = resolver(home(server.address))
        asking = [asyncio.create_task(under_test.ask(TEA)) for _ in range(2)]
        await server.wait_for(1)
        await under_test.aclose()
        failed = Answer(TEA, Status.SERVER_FAILURE, resolver="home")
        assert await asyncio.gather(*asking) == [failed, failed]
        assert under_test.cached(TEA) is None
        again = asyncio.create_task(under_test.ask(TEA))  # on a connection from before a reload
        await server.wait_for(2)
        server.answer_all(one_address)
        assert (await again).status is Status.OK


async def test_closing_with_time_to_spare_lets_what_is_under_way_end() -> None:
    async with udp_server(silent) as server:
        under_test = resolver(home(server.address))
        asking = asyncio.create_task(under_test.ask(TEA))
        await server.wait_for(1)
        closing = asyncio.create_task(under_test.aclose(60.0))
        await asyncio.sleep(0)
        server.answer_all(one_address)
        assert (await asking).records == ("192.0.2.1",)
        await closing


async def test_closing_answers_those_who_wait_for_a_second_resolver() -> None:
    async with udp_server(no_such_name) as near, udp_server(silent) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        confirming = asyncio.create_task(under_test.confirm(await under_test.ask(TEA)))
        await far.wait_for(1)
        await under_test.aclose()
        assert (await confirming).status is Status.SERVER_FAILURE


async def test_no_more_queries_than_allowed_are_under_way_at_once() -> None:
    async with udp_server(silent) as server:
        limits = ResolverLimits(limit_s=60.0, max_queries=3)
        under_test = Resolver([home(server.address)], FakeClock(), limits)
        asking = asyncio.gather(*(under_test.ask(Question(f"{n}.test", "A")) for n in range(9)))
        for number in (3, 6, 9):
            await server.wait_for(number)
            for _ in range(100):  # time for one too many to be sent, if it is
                await asyncio.sleep(0)
            assert len(server.queries) == number
            server.answer_all(one_address)
        assert {answer.status for answer in await asking} == {Status.OK}


async def test_waiting_for_a_free_slot_counts_towards_the_limit() -> None:
    async with udp_server(silent) as server:
        limits = ResolverLimits(limit_s=0.2, max_queries=1)
        under_test = Resolver([home(server.address)], FakeClock(), limits)
        questions = [Question(f"{n}.test", "A") for n in range(5)]
        answers = await asyncio.gather(*(under_test.ask(question) for question in questions))
        assert {answer.status for answer in answers} == {Status.TIMEOUT}


# --- failure and silence ------------------------------------------------------------------------


async def test_silence_is_a_timeout_after_every_try() -> None:
    async with udp_server(silent) as server:
        answer = await resolver(home(server.address, tries_s=QUICK)).ask(TEA)
        assert answer == Answer(TEA, Status.TIMEOUT, resolver="home")
        assert len(server.queries) == 2


async def test_whole_limit_ends_the_waiting() -> None:
    async with udp_server(silent) as server:
        began = time.monotonic()
        answer = await resolver(home(server.address), limit_s=0.2).ask(TEA)
        assert answer.status is Status.TIMEOUT
        assert time.monotonic() - began < 10


async def test_next_server_is_asked_when_the_first_fails_or_is_silent() -> None:
    async with (
        udp_server(server_failure) as broken,
        udp_server(silent) as dead,
        udp_server(one_address) as good,
    ):
        settings = home(broken.address, dead.address, good.address, tries_s=(0.7, 0.7))
        answer = await resolver(settings).ask(TEA)
        assert answer.records == ("192.0.2.1",)
        assert (len(broken.queries), len(dead.queries), len(good.queries)) == (1, 1, 1)


async def test_silent_server_is_asked_last_for_a_while() -> None:
    clock = FakeClock()
    async with udp_server(silent) as dead, udp_server(one_address) as good:
        under_test = resolver(home(dead.address, good.address, tries_s=(0.7, 20.0)), clock=clock)
        await under_test.ask(TEA)
        await under_test.ask(Question("coffee.test", "A"))
        assert len(dead.queries) == 1
        clock.advance(31)
        await under_test.ask(Question("cocoa.test", "A"))
        assert len(dead.queries) == 2


async def test_nobody_listening_is_a_quick_server_failure() -> None:
    began = time.monotonic()
    answer = await resolver(home(f"127.0.0.1:{free_port()}")).ask(TEA)
    assert answer.status is Status.SERVER_FAILURE
    assert time.monotonic() - began < 10  # not the 40 s that silence would take


async def test_machine_without_any_server_couldnt_tell_at_once() -> None:
    answer = await resolver(ResolverSettings("system", ())).ask(TEA)
    assert answer == Answer(TEA, Status.SERVER_FAILURE, resolver="system")


async def test_impossible_name_is_answered_without_asking() -> None:
    async with udp_server(one_address) as server:
        answer = await resolver(home(server.address)).ask(Question("a..test", "A"))
        assert answer.status is Status.NO_NAME
        assert not server.queries


# --- home and abroad ----------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["MX", "A", "AAAA", "TXT", "PTR"])
async def test_another_resolver_is_asked_when_home_fails(type_: str) -> None:
    data = {"A": "192.0.2.1", "AAAA": "2001:db8::1", "MX": "5 mx.test.", "PTR": "a.test."}
    answered = data.get(type_, '"v=spf1 -all"')
    async with (
        udp_server(server_failure) as near,
        udp_server(lambda query: [answering(query, answered)]) as far,
    ):
        under_test = resolver(home(near.address), abroad(far.address))
        answer = await under_test.ask(Question("tea.test", type_))
        assert (answer.status, answer.resolver) == (Status.OK, "abroad")


async def test_another_s_answer_is_a_stopgap_and_home_is_asked_again_soon() -> None:
    clock = FakeClock()
    async with udp_server(server_failure) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address), clock=clock)
        answer = await under_test.ask(TEA)
        assert (answer.resolver, answer.ttl_s) == ("abroad", 30), "its own TTL is 300"
        near.script = one_address
        clock.advance(29)
        assert (await under_test.ask(TEA)).resolver == "abroad"
        clock.advance(1)
        answer = await under_test.ask(TEA)
        assert (answer.resolver, answer.ttl_s) == ("home", 300)


async def test_a_silent_home_s_second_answer_is_no_stopgap() -> None:
    late = iter([[], [b""]])

    def second_time(query: dns.message.Message) -> list[bytes]:
        return [answering(query, "192.0.2.1")] if next(late) else []

    async with udp_server(second_time) as near, udp_server(silent) as far:
        limits = (0.05, 20.0)
        under_test = resolver(
            home(near.address, tries_s=limits), abroad(far.address, tries_s=QUICK)
        )
        answer = await under_test.ask(TEA)
        assert (answer.resolver, answer.ttl_s) == ("home", 300)


async def test_another_resolver_is_asked_when_home_is_silent_for_its_whole_share() -> None:
    async with udp_server(silent) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address, tries_s=(1.0,)), limit_s=2.0)
        assert (await under_test.ask(TEA)).resolver == "abroad"


async def test_nobody_abroad_is_asked_when_home_knows() -> None:
    async with (
        udp_server(lambda query: [failing(query, 3)]) as near,
        udp_server(one_address) as far,
    ):
        answer = await resolver(home(near.address), abroad(far.address)).ask(TEA)
        assert (answer.status, answer.resolver) == (Status.NO_NAME, "home")
        assert not far.queries


async def test_block_lists_are_never_asked_from_abroad() -> None:
    async with udp_server(server_failure) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        answer = await under_test.ask(TEA, foreign_ok=False)
        assert (answer.status, answer.resolver) == (Status.SERVER_FAILURE, "home")
        assert not far.queries
        assert (await under_test.ask(TEA)).resolver == "abroad"
        assert under_test.cached(TEA, foreign_ok=False) == answer


async def test_tlsa_is_never_asked_from_abroad() -> None:
    async with udp_server(server_failure) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        answer = await under_test.ask(Question("_25._tcp.mx.test", "TLSA"))
        assert (answer.status, answer.resolver) == (Status.SERVER_FAILURE, "home")
        assert not far.queries


async def test_home_speaks_when_nobody_could_tell() -> None:
    async with udp_server(server_failure) as near, udp_server(silent) as far:
        answer = await resolver(home(near.address), abroad(far.address, tries_s=QUICK)).ask(TEA)
        assert (answer.status, answer.resolver) == (Status.SERVER_FAILURE, "home")


async def test_another_is_asked_before_home_has_been_silent_twice() -> None:
    async with udp_server(silent) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address, tries_s=(0.3, 20.0)), abroad(far.address))
        assert (await under_test.ask(TEA)).resolver == "abroad"
        assert len(near.queries) == 1


async def test_home_is_asked_again_when_nobody_else_knows() -> None:
    async with udp_server(silent) as near, udp_server(server_failure) as far:
        under_test = resolver(home(near.address, tries_s=(0.3, 20.0)), abroad(far.address))
        asking = asyncio.create_task(under_test.ask(TEA))
        await near.wait_for(2)
        near.answer_all(one_address)
        assert (await asking).resolver == "home"


# --- "there is nothing", said by one alone --------------------------------------------------------


def no_such_name(query: dns.message.Message) -> list[bytes]:
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(dns.rcode.NXDOMAIN)
    response.authority.append(
        dns.rrset.from_text("test.", 60, "IN", "SOA", "ns.test. h.test. 1 2 3 4 60")
    )
    return [response.to_wire()]


async def test_name_that_is_not_there_is_confirmed_once_and_then_known() -> None:
    clock = FakeClock()
    async with udp_server(no_such_name) as near, udp_server(no_such_name) as far:
        under_test = resolver(home(near.address), abroad(far.address), clock=clock)
        answer = await under_test.ask(TEA)
        stands = await asyncio.gather(*(under_test.confirm(answer) for _ in range(20)))
        assert {(one.status, one.resolver, one.confirmed_by) for one in stands} == {
            (Status.NO_NAME, "abroad", "home")
        }
        again = await under_test.confirm(await under_test.ask(TEA))
        assert (again.status, again.ttl_s) == (Status.NO_NAME, 60)
        assert (len(near.queries), len(far.queries)) == (1, 1)
        clock.advance(60)  # the zone's own time, not longer
        await under_test.confirm(await under_test.ask(TEA))
        assert (len(near.queries), len(far.queries)) == (2, 2)


async def test_what_the_second_has_is_used_from_then_on_and_says_who_denied_it() -> None:
    async with udp_server(no_such_name) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        stands = await under_test.confirm(await under_test.ask(TEA))
        assert (stands.records, stands.resolver, stands.denied_by) == (
            ("192.0.2.1",), "abroad", "home",
        )  # fmt: skip
        known = under_test.cached(TEA)
        assert known is not None
        assert (known.records, known.denied_by) == (("192.0.2.1",), "home")
        assert known.ttl_s == 30, "a stopgap: home is asked again soon"


async def test_name_that_the_second_couldnt_tell_of_is_couldnt_tell_for_seconds() -> None:
    clock = FakeClock()
    async with udp_server(no_such_name) as near, udp_server(server_failure) as far:
        under_test = resolver(home(near.address), abroad(far.address), clock=clock)
        for _ in range(3):
            stands = await under_test.confirm(await under_test.ask(TEA))
            assert (stands.status, stands.denied_by) == (Status.SERVER_FAILURE, "home")
        assert (len(near.queries), len(far.queries)) == (1, 1)
        clock.advance(5)
        far.script = no_such_name
        assert (await under_test.confirm(await under_test.ask(TEA))).confirmed_by == "home"


async def test_second_that_knows_nothing_for_a_quarter_of_an_hour_holds_up_nothing() -> None:
    clock = FakeClock()
    async with udp_server(no_such_name) as near, udp_server(server_failure) as far:
        under_test = resolver(home(near.address), abroad(far.address), clock=clock)

        async def stands(name: str) -> Answer:
            return await under_test.confirm(await under_test.ask(Question(name, "A")))

        for name in ("a.test", "b.test", "c.test", "d.test"):
            assert not (await stands(name)).status.is_known
            clock.advance(230)
        assert (await stands("e.test")).status is Status.NO_NAME
        assert far.queries[-1].question[0].to_text() == ". IN NS"
        asked = len(far.queries)
        assert (await stands("f.test")).status is Status.NO_NAME
        assert len(far.queries) == asked  # it is asked twice a minute, not for every name
        clock.advance(31)
        far.script = well
        assert (await stands("g.test")).records == ("192.0.2.1",)
        far.script = server_failure
        assert not (await stands("h.test")).status.is_known  # it was at work a moment ago


def well(query: dns.message.Message) -> list[bytes]:
    """It knows the root, and the name that is asked for."""
    is_root = query.question[0].rdtype == dns.rdatatype.NS
    return [answering(query, "a.root.test.")] if is_root else one_address(query)


def at_work_for_the_root(query: dns.message.Message) -> list[bytes]:
    """It is well, but the zones it is asked for are not."""
    is_root = query.question[0].rdtype == dns.rdatatype.NS
    return [answering(query, "a.root.test.")] if is_root else [failing(query)]


@pytest.mark.parametrize(
    ("names", "apart_s"),
    [
        (["a.test"] * 6, 230),
        (["a.test", "b.test"], 901),
        (["a.test", "b.test", "c.test", "d.test", "e.test"], 1),
    ],
    ids=["one name", "a quiet server", "all at once"],
)
async def test_few_failures_do_not_show_that_the_second_is_out_of_order(
    names: list[str], apart_s: float
) -> None:
    clock = FakeClock()
    async with udp_server(no_such_name) as near, udp_server(server_failure) as far:
        under_test = resolver(home(near.address), abroad(far.address), clock=clock)
        for name in names:
            await under_test.confirm(await under_test.ask(Question(name, "A")))
            clock.advance(apart_s)
        clock.advance(901)
        stands = await under_test.confirm(await under_test.ask(Question("last.test", "A")))
        assert not stands.status.is_known


async def test_second_that_knows_the_root_is_at_work_whatever_else_it_could_not_tell() -> None:
    clock = FakeClock()
    async with udp_server(no_such_name) as near, udp_server(at_work_for_the_root) as far:
        under_test = resolver(home(near.address), abroad(far.address), clock=clock)
        for number in range(10):
            answer = await under_test.ask(Question(f"{number}.test", "A"))
            assert not (await under_test.confirm(answer)).status.is_known
            clock.advance(230)
        assert any(query.question[0].name == dns.name.root for query in far.queries)


async def test_with_one_resolver_alone_there_is_nobody_to_confirm() -> None:
    async with udp_server(no_such_name) as near:
        under_test = resolver(home(near.address))
        answer = await under_test.ask(TEA)
        assert await under_test.confirm(answer) is answer
        assert len(near.queries) == 1


async def test_answers_that_are_there_are_not_asked_for_twice() -> None:
    async with udp_server(one_address) as near, udp_server(no_such_name) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        answer = await under_test.ask(TEA)
        assert await under_test.confirm(answer) is answer
        assert not far.queries


# --- zones with a resolver of their own -----------------------------------------------------------


def through(zone: str, via: str = "abroad", until: float | None = None) -> ForwardZones:
    return ForwardZones([ForwardZone(zone, via, until, "id-1")])


async def test_names_of_a_forward_zone_are_looked_up_through_its_resolver_first() -> None:
    async with udp_server(one_address) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        under_test.forward(through("tea.test"))
        for name, expected in [
            ("tea.test", "abroad"), ("mail.tea.test", "abroad"), ("greentea.test", "home"),
        ]:  # fmt: skip
            answer = await under_test.ask(Question(name, "A"))
            assert answer.resolver == expected
            assert answer.ttl_s == 300, "whoever chose it wants its word for as long as it is good"
        assert under_test.take_forward_uses()["id-1"][0] == 2
        assert under_test.take_forward_uses() == {}
        bare = await under_test.ask(Question("9.tea.test", "A"), foreign_ok=False)
        assert bare.resolver == "home"  # a block list's, even there


async def test_home_answers_for_a_forward_zone_when_its_resolver_couldnt_tell() -> None:
    async with udp_server(one_address) as near, udp_server(server_failure) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        under_test.forward(through("tea.test"))
        answer = await under_test.ask(TEA)
        assert (answer.resolver, answer.ttl_s) == ("home", 30)


async def test_a_new_forward_zone_forgets_what_was_known_of_it_and_nothing_else() -> None:
    async with udp_server(no_such_name) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        other = Question("coffee.test", "A")
        for question in (TEA, other):
            assert (await under_test.ask(question)).status is Status.NO_NAME
        under_test.forward(through("tea.test"))
        assert (await under_test.ask(TEA)).resolver == "abroad"
        assert under_test.cached(other) is not None
        under_test.forward(ForwardZones())
        assert (await under_test.ask(TEA)).resolver == "home"


async def test_what_was_under_way_when_a_zone_changed_is_not_kept() -> None:
    async with udp_server(silent) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address))
        old = asyncio.create_task(under_test.ask(TEA))
        await near.wait_for(1)
        under_test.forward(through("tea.test"))
        assert (await under_test.ask(TEA)).resolver == "abroad"
        near.answer_all(no_such_name)
        assert (await old).status is Status.NO_NAME
        known = under_test.cached(TEA)
        assert known is not None
        assert known.resolver == "abroad"


async def test_forward_zone_ends_by_itself() -> None:
    clock = FakeClock()
    async with udp_server(one_address) as near, udp_server(one_address) as far:
        under_test = resolver(home(near.address), abroad(far.address), clock=clock)
        under_test.forward(through("tea.test", until=clock.now() + 1000))
        assert (await under_test.ask(TEA)).resolver == "abroad"
        clock.advance(1000)
        assert (await under_test.ask(TEA)).resolver == "home"


async def test_forward_zone_through_a_resolver_that_is_no_more_changes_nothing() -> None:
    async with udp_server(one_address) as near:
        under_test = resolver(home(near.address))
        under_test.forward(through("tea.test"))
        assert (await under_test.ask(TEA)).resolver == "home"


# --- liars --------------------------------------------------------------------------------------


def with_wrong_id(query: dns.message.Message) -> bytes:
    wire = bytearray(answering(query, "192.0.2.66"))
    wire[0] ^= 0xFF
    return bytes(wire)


def with_wrong_question(query: dns.message.Message) -> bytes:
    other = dns.message.make_query("bank.test.", "A", id=query.id)
    return answering(other, "192.0.2.66")


def garbage(query: dns.message.Message) -> bytes:
    return query.to_wire()[:2] + b"\xff" * 40


@pytest.mark.parametrize("lie", [with_wrong_id, with_wrong_question, garbage])
async def test_lie_before_the_truth_is_passed_over(lie: object) -> None:
    assert callable(lie)
    async with udp_server(lambda query: [lie(query), *one_address(query)]) as server:
        assert (await resolver(home(server.address)).ask(TEA)).records == ("192.0.2.1",)


async def test_lies_alone_are_no_answer() -> None:
    async with udp_server(lambda query: [with_wrong_id(query)]) as server:
        answer = await resolver(home(server.address, tries_s=QUICK)).ask(TEA)
        assert answer.status is Status.TIMEOUT


async def test_flood_of_lies_ends_the_try() -> None:
    async with udp_server(lambda query: [with_wrong_id(query)] * 60) as server:
        answer = await resolver(home(server.address)).ask(TEA)
        assert answer.status is Status.SERVER_FAILURE


async def test_answer_from_another_source_is_not_believed() -> None:
    async with udp_server(silent) as server, udp_server(silent) as stranger:

        def answer_from_elsewhere(query: dns.message.Message) -> list[bytes]:
            assert stranger.transport is not None
            wire = answering(query, "192.0.2.66")
            stranger.transport.sendto(wire, ("127.0.0.1", server.ports[-1]))
            return []

        server.script = answer_from_elsewhere
        answer = await resolver(home(server.address, tries_s=QUICK)).ask(TEA)
        assert answer.status is Status.TIMEOUT


async def test_ports_are_not_the_same_twice_over() -> None:
    async with udp_server(one_address) as server:
        under_test = resolver(home(server.address))
        for number in range(20):
            await under_test.ask(Question(f"{number}.test", "A"))
        assert len(set(server.ports)) > 10
        assert len({query.id for query in server.queries}) > 10


# --- TCP and TLS --------------------------------------------------------------------------------


def cut_short(query: dns.message.Message) -> list[bytes]:
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= dns.flags.TC
    return [response.to_wire()]


async def test_answer_cut_short_is_asked_for_again_over_tcp() -> None:
    # TCP first: of its ports many are taken, of those of UDP next to none.
    async with (
        stream_server(one_address) as address,
        udp_server(cut_short, int(address.rpartition(":")[2])) as short,
    ):
        assert (await resolver(home(short.address)).ask(TEA)).records == ("192.0.2.1",)


async def test_answer_cut_short_without_tcp_is_couldnt_tell() -> None:
    async with udp_server(cut_short) as short:
        assert (await resolver(home(short.address)).ask(TEA)).status is Status.SERVER_FAILURE


async def test_tcp_alone_is_used_where_it_is_configured() -> None:
    async with stream_server(one_address) as address:
        settings = ResolverSettings.parse("home", [address], Transport.TCP, PATIENT)
        assert (await resolver(settings).ask(TEA)).records == ("192.0.2.1",)


async def test_lie_over_tcp_is_couldnt_tell() -> None:
    async with stream_server(lambda query: [with_wrong_question(query)]) as address:
        settings = ResolverSettings.parse("home", [address], Transport.TCP, PATIENT)
        assert (await resolver(settings).ask(TEA)).status is Status.SERVER_FAILURE


async def test_silent_tcp_server_is_a_timeout() -> None:
    async with stream_server(silent) as address:
        settings = ResolverSettings.parse("home", [address], Transport.TCP, QUICK)
        assert (await resolver(settings).ask(TEA)).status is Status.TIMEOUT


async def test_tls_server_is_asked_when_its_certificate_is_right(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("dns.test")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.cert, pair.key)
    async with stream_server(one_address, tls) as address:
        for name, status in [("dns.test", Status.OK), ("other.test", Status.SERVER_FAILURE)]:
            settings = ResolverSettings.parse(
                "home", [address], Transport.TLS, PATIENT, name, str(authority.ca)
            )
            assert (await resolver(settings).ask(TEA)).status is status
