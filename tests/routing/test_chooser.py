"""Which ways an attempt gets, in which order: pinned, direct, blocked last, relays at the end."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.routing.paths.rig import until

from postern.journal.record import AttemptRecord
from postern.mail.dns import Answer, Question
from postern.mail.envelope import TlsWish
from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import Egress, SmtpRoute, Target, TlsDemand, TlsPolicy, Way
from postern.measures.temporary import Kind, Temporary
from postern.routing.chooser import Chooser, MailClass, MessageFacts
from postern.routing.mandates import Mandates
from postern.routing.paths.board import Board
from postern.routing.relays import Relays
from postern.routing.routes.route import GroupPolicy, PinnedRoute, Policy, RouteMatch
from postern.routing.routes.table import RouteTable
from postern.routing.settings import EgressSettings, HostPort, RoutingSettings
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver

DIRECT = Egress("direct")
US1 = EgressSettings("us1", HostPort("198.51.100.5", 587))
DE1 = EgressSettings("de1", HostPort("198.51.100.6", 587))
MX = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
SIGNED = MessageFacts(sender_domain="harbour.example", aligned=True)
PLAIN = MessageFacts(sender_domain="harbour.example")


@dataclass
class FakeSteering:
    """A path controller on strings."""

    canaries: list[str] = field(default_factory=list)
    quiet: set[str] = field(default_factory=set)
    told: list[tuple[str, Sequence[AttemptRecord]]] = field(default_factory=list)

    def may_relay(self, group: str) -> bool:
        return group not in self.quiet

    def takes_canary(self, group: str) -> bool:
        if group not in self.canaries:
            return False
        self.canaries.remove(group)
        return True

    def ended(self, group: str, attempts: Sequence[AttemptRecord]) -> None:
        self.told.append((group, attempts))


class Stand:
    """A chooser, and the strings to pull behind it."""

    def __init__(self, *egresses: EgressSettings) -> None:
        self.clock = FakeClock()
        self.board = Board(self.clock)
        self.table = RouteTable(self.clock)
        self.dns = FakeResolver()
        self.steering = FakeSteering()
        self.settings = RoutingSettings(
            "mx.host.test", egresses=egresses or (EgressSettings("direct"), US1)
        )
        self.relays = Relays(
            self.settings.relays, self.dns, self.clock, lambda _ip, _port: False, want_ipv6=True
        )
        self.mandates = Mandates(self.dns, self.clock, "mx.host.test")
        self.refreshed = 0
        self.chooser = Chooser(
            self.settings, self.board, self.table, self.relays, self.mandates, self.steering,
            self._refresh,
        )  # fmt: skip

    def _refresh(self) -> None:
        self.refreshed += 1

    def pin(self, via: str = "us1", *, is_automatic: bool = True) -> PinnedRoute:
        author = "postern" if is_automatic else "cli:li"
        why = "google is blocked: 3 of 3 MX addresses do not answer since 09:02 UTC"
        temporary = Temporary("01R", Kind.ROUTE, why, author, 0.0, None)
        made = PinnedRoute("R3", RouteMatch.GROUP, "google", via, is_automatic, temporary)
        self.table.load([made], [])
        return made

    def fail(self, ip: str, egress: str = "direct", port: int = 25, times: int = 2) -> None:
        for _ in range(times):
            self.clock.advance(1)
            group = "google" if egress == "direct" else f"relay:{egress}"
            path = Path(egress, ip, port, encrypted=True)
            seen = Observation(path, group, "mx", Sign.REFUSED, self.clock.now(), 0.0)
            self.board.saw(seen)

    def ways(self, facts: MessageFacts = SIGNED, route: SmtpRoute | None = None) -> list[str]:
        return named(self.chooser.ways(route or google(), facts))


def google(domain: str = "tea.example", tls: TlsDemand | None = None) -> SmtpRoute:
    demand = tls or TlsDemand()
    targets = tuple(Target(f"mx{n}.example", ip, 25, demand) for n, ip in enumerate(MX, 1))
    return SmtpRoute("google", DIRECT, targets, domain)


def named(ways: Sequence[Way]) -> list[str]:
    """``direct .1``; a fallback has a question mark behind it."""
    return [
        f"{way.egress.name} .{way.target.ip.rpartition('.')[2]}{'?' if way.is_fallback else ''}"
        for way in ways
    ]


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_direct_addresses_in_mx_order_then_the_relay_as_a_fallback(stand: Stand) -> None:
    assert stand.ways() == ["direct .1", "direct .2", "direct .3", "us1 .5?"]
    (*_, relay) = stand.chooser.ways(google(), SIGNED)
    assert (relay.group, relay.reason) == ("relay:us1", "no direct address answered")
    assert stand.refreshed == 2, "what people changed holds for every attempt"


def test_addresses_that_are_blocked_go_last_and_lower_mx_first(stand: Stand) -> None:
    stand.fail(MX[0])
    stand.fail(MX[1])
    assert stand.ways()[:3] == ["direct .3", "direct .1", "direct .2"]


def test_an_address_that_lost_a_race_goes_last_for_a_minute(stand: Stand) -> None:
    stand.board.lost(Path("direct", MX[0], 25, encrypted=True))
    assert stand.ways()[:3] == ["direct .2", "direct .3", "direct .1"]
    stand.clock.advance(60)
    assert stand.ways()[:3] == ["direct .1", "direct .2", "direct .3"]


def test_an_engaged_relay_goes_first_and_what_it_cannot_take_falls_back(stand: Stand) -> None:
    stand.pin()
    assert stand.ways() == ["us1 .5", "direct .1", "direct .2", "direct .3"]
    first = stand.chooser.ways(google("unknown.example"), SIGNED)[0]
    assert first.reason == (
        "relayed: google is blocked: 3 of 3 MX addresses do not answer since 09:02 UTC, route R3"
    )
    other = SmtpRoute("other", DIRECT, google().targets, "other.example")
    assert stand.ways(route=other)[0] == "direct .1", "no other group is touched"


def test_a_relay_that_is_dead_goes_behind_the_direct_path(stand: Stand) -> None:
    stand.pin()
    stand.fail("198.51.100.5", "us1", 587)
    assert stand.ways() == ["direct .1", "direct .2", "direct .3", "us1 .5?"]


def test_another_relay_stands_in_for_an_engaged_one_that_is_dead() -> None:
    stand = Stand(EgressSettings("direct"), US1, DE1)
    stand.pin()
    stand.fail("198.51.100.5", "us1", 587)
    assert stand.ways() == ["de1 .6", "direct .1", "direct .2", "direct .3", "us1 .5?"]
    first = stand.chooser.ways(google(), SIGNED)[0]
    assert first.reason.startswith("de1 stands in for us1: relayed: google is blocked")
    stand.steering.canaries.append("google")
    assert stand.ways() == ["direct .1", "direct .2", "direct .3", "de1 .6?", "us1 .5?"]
    stand.pin(is_automatic=False)
    assert stand.ways() == ["direct .1", "direct .2", "direct .3", "us1 .5?"], "he said us1"


async def test_another_relay_stands_in_where_spf_lets_only_that_have_the_mail() -> None:
    stand = Stand(EgressSettings("direct"), US1, DE1)
    stand.dns.add("harbour.example", "TXT", "v=spf1 ip4:198.51.100.6 -all")
    stand.pin()
    stand.ways(PLAIN)
    await stand.mandates.settle()
    assert stand.ways(PLAIN) == ["de1 .6", "direct .1", "direct .2", "direct .3"]


def test_a_canary_goes_direct_with_the_relay_behind_it(stand: Stand) -> None:
    stand.pin()
    stand.steering.canaries.append("google")
    assert stand.ways() == ["direct .1", "direct .2", "direct .3", "us1 .5?"]
    assert stand.ways()[0] == "us1 .5", "one message at a time"


async def test_unsigned_mail_takes_a_relay_only_inside_the_senders_spf(stand: Stand) -> None:
    assert stand.ways(PLAIN) == ["direct .1", "direct .2", "direct .3"]
    stand.pin()
    assert stand.ways(PLAIN) == ["direct .1", "direct .2", "direct .3"]
    assert stand.ways(replace(PLAIN, sender_domain=""))[0] == "us1 .5", "a notice has no domain"
    await stand.mandates.settle()


async def test_a_strangers_spf_is_asked_about_only_where_something_is_amiss(stand: Stand) -> None:
    forwarded = replace(PLAIN, mail_class=MailClass.FORWARDED)
    stand.ways(forwarded)
    await stand.mandates.settle()
    assert stand.dns.queries == []
    stand.fail(MX[0])
    stand.ways(forwarded)
    await stand.mandates.settle()
    assert stand.dns.queries != []


async def test_what_spf_says_is_asked_in_the_background_and_known_to_the_next_try() -> None:
    stand = Stand()
    stand.dns.add("harbour.example", "TXT", "v=spf1 ip4:198.51.100.5 -all")
    stand.dns.add("other.example", "TXT", "v=spf1 -all")
    assert stand.ways(PLAIN)[-1] == "direct .3"
    stand.ways(replace(PLAIN, sender_domain="other.example"))
    await stand.mandates.settle()
    assert stand.ways(PLAIN)[-1] == "us1 .5?"
    assert stand.ways(replace(PLAIN, sender_domain="other.example"))[-1] == "direct .3"
    asked = len(stand.dns.queries)
    stand.ways(PLAIN)
    await stand.mandates.settle()
    assert len(stand.dns.queries) == asked, "remembered"
    stand.clock.advance(301)
    stand.ways(PLAIN)
    await stand.mandates.settle()
    assert len(stand.dns.queries) > asked, "for as long as its TTL"


class SlowResolver(FakeResolver):
    """Answers nothing before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
        answer = await super().ask(question, foreign_ok=foreign_ok)
        await self.go.wait()
        return answer


def slow_stand(*egresses: EgressSettings) -> tuple[Stand, SlowResolver]:
    stand, dns = Stand(*egresses), SlowResolver()
    stand.dns = dns
    dns.add("harbour.example", "TXT", "v=spf1 ip4:198.51.100.5 -all")
    dns.add("relay.example", "A", "198.51.100.5")
    stand.relays = Relays(
        stand.settings.relays, dns, stand.clock, lambda _ip, _port: False, want_ipv6=True
    )
    stand.mandates = Mandates(dns, stand.clock, "mx.host.test")
    stand.chooser = Chooser(
        stand.settings, stand.board, stand.table, stand.relays, stand.mandates, stand.steering,
        stand._refresh,
    )  # fmt: skip
    return stand, dns


async def test_the_first_message_of_a_domain_waits_for_what_lets_the_relay_have_it() -> None:
    stand, dns = slow_stand()
    assert stand.chooser.is_unsure(google(), PLAIN)
    waiting = asyncio.ensure_future(stand.chooser.make_sure(google(), PLAIN))
    await until(lambda: bool(dns.queries))
    assert not waiting.done()
    dns.go.set()
    await waiting
    assert stand.ways(PLAIN)[-1] == "us1 .5?"
    assert not stand.chooser.is_unsure(google(), PLAIN), "once"
    stand.clock.advance(10 * 3600)
    assert not stand.chooser.is_unsure(google(), PLAIN), "what is known is asked anew meanwhile"
    await stand.mandates.settle()


async def test_a_message_waits_for_its_domain_though_all_others_are_being_asked_about() -> None:
    stand, dns = slow_stand()
    (relay,) = stand.relays
    for number in range(30):
        stand.mandates.covers(f"own{number}.example", relay)
    waiting = asyncio.ensure_future(stand.chooser.make_sure(google(), PLAIN))
    await until(lambda: Question.of("harbour.example", "TXT") in dns.queries)
    dns.go.set()
    await waiting
    assert stand.ways(PLAIN)[-1] == "us1 .5?"
    await stand.mandates.close()


async def test_through_an_engaged_route_a_message_of_a_new_domain_goes_at_once() -> None:
    stand, dns = slow_stand()
    stand.pin()
    waiting = asyncio.ensure_future(stand.chooser.make_sure(google(), PLAIN))
    await until(lambda: bool(dns.queries))
    dns.go.set()
    await waiting
    assert stand.ways(PLAIN)[0] == "us1 .5"


@pytest.mark.parametrize(("is_dead", "patience_s"), [(False, 1.0), (True, 3.0)])
async def test_what_dns_does_not_tell_is_waited_for_once_however_many_messages_there_are(
    *, is_dead: bool, patience_s: float
) -> None:
    stand, dns = slow_stand()
    if is_dead:
        for ip in MX:
            stand.fail(ip)
    first = asyncio.ensure_future(stand.chooser.make_sure(google(), PLAIN))
    await until(lambda: bool(dns.queries))
    stand.clock.advance(patience_s - 0.01)
    await asyncio.wait_for(stand.chooser.make_sure(google(), PLAIN), 0.5)
    stand.clock.advance(0.02)
    await stand.chooser.make_sure(google(), PLAIN)  # does not wait at all
    assert not first.done()
    first.cancel()
    await stand.mandates.close()


async def test_right_after_the_start_the_relays_own_address_is_waited_for() -> None:
    named_relay = EgressSettings("us1", HostPort("relay.example", 587))
    stand, dns = slow_stand(EgressSettings("direct"), named_relay)
    assert stand.chooser.is_unsure(google(), SIGNED)
    waiting = asyncio.ensure_future(stand.chooser.make_sure(google(), SIGNED))
    looking = asyncio.ensure_future(stand.relays.look_up())
    await until(lambda: bool(dns.queries))
    assert not waiting.done()
    dns.go.set()
    await asyncio.gather(waiting, looking)
    assert stand.ways(SIGNED)[-1] == "us1 .5?"
    assert not stand.chooser.is_unsure(google(), SIGNED)


async def test_who_needs_no_relay_waits_for_nothing(stand: Stand) -> None:
    unsure = stand.chooser.is_unsure
    assert not unsure(google(), SIGNED)
    assert not unsure(google(), replace(PLAIN, sender_domain=""))
    assert not unsure(google(), replace(PLAIN, via="direct"))
    assert not unsure(google(), replace(PLAIN, mail_class=MailClass.FORWARDED))
    assert not unsure(replace(google(), domain=""), PLAIN)
    assert unsure(google(), PLAIN)
    stand.pin(is_automatic=False)
    assert not unsure(google(), PLAIN), "a person has said that it takes the relay"
    stand.table.load([], [GroupPolicy("google", Policy.NEVER, "cli:li", 0.0)])
    assert not unsure(google(), PLAIN)
    assert not Stand(EgressSettings("direct")).chooser.is_unsure(google(), PLAIN)


async def test_spf_that_could_not_be_told_lets_no_relay_have_the_mail() -> None:
    stand = Stand()
    stand.dns.time_out("harbour.example", "TXT")
    stand.ways(PLAIN)
    await stand.mandates.settle()
    assert stand.ways(PLAIN)[-1] == "direct .3"
    await stand.mandates.settle()


async def test_a_reload_while_dns_is_silent_keeps_whose_spf_covers_a_relay() -> None:
    before, after = Stand(), Stand()
    before.dns.add("harbour.example", "TXT", "v=spf1 ip4:198.51.100.5 -all")
    before.ways(PLAIN)
    await before.mandates.settle()
    after.dns.fail_all()
    after.mandates.inherit(before.mandates, after.relays.inherit(before.relays))
    assert after.ways(PLAIN)[-1] == "us1 .5?"
    fresh = Mandates(after.dns, after.clock, "mx.host.test")
    fresh.inherit(before.mandates, frozenset())
    relay = after.relays["us1"]
    assert relay is not None
    assert not fresh.covers("harbour.example", relay, ask=False), "set otherwise than it was"


async def test_what_spf_said_is_kept_for_a_day_while_dns_is_silent() -> None:
    stand = Stand()
    stand.dns.add("harbour.example", "TXT", "v=spf1 ip4:198.51.100.5 -all")
    stand.ways(PLAIN)
    await stand.mandates.settle()
    stand.dns.time_out("harbour.example", "TXT")
    for hours, last in ((1, "us1 .5?"), (22, "us1 .5?"), (2, "direct .3")):
        stand.clock.advance(hours * 3600)
        stand.ways(PLAIN)
        await stand.mandates.settle()
        assert stand.ways(PLAIN)[-1] == last


def test_what_a_person_pinned_takes_unsigned_mail_too(stand: Stand) -> None:
    stand.pin(is_automatic=False)
    assert stand.ways(PLAIN)[0] == "us1 .5"


@pytest.mark.parametrize(
    ("tls", "wish"),
    [
        (TlsDemand(TlsPolicy.DANE), TlsWish.NONE),
        (TlsDemand(TlsPolicy.VERIFY, source="mta-sts"), TlsWish.NONE),
        (TlsDemand(), TlsWish.REQUIRETLS),
        (TlsDemand(), TlsWish.ENCRYPT),
    ],
    ids=["dane", "mta-sts", "requiretls", "encrypt"],
)
def test_protected_mail_takes_only_a_relay_that_enforces_it(tls: TlsDemand, wish: TlsWish) -> None:
    facts = replace(SIGNED, tls_wish=wish)
    plain = Stand()
    plain.pin(is_automatic=False)
    assert plain.ways(facts, google(tls=tls)) == ["direct .1", "direct .2", "direct .3"]
    strict = Stand(EgressSettings("direct"), replace(US1, enforces_tls=True))
    strict.pin()
    first = strict.chooser.ways(google(tls=tls), facts)[0]
    assert first.egress.name == "us1"
    assert first.target.tls.policy is TlsPolicy.VERIFY, "the way to the relay is no weaker"


def test_mail_that_has_been_through_a_relay_is_not_given_to_it_again() -> None:
    stand = Stand(EgressSettings("direct"), US1, DE1)
    assert stand.ways(replace(SIGNED, hops=("us1",)))[3:] == ["de1 .6?"]
    stand.pin()
    assert stand.ways(replace(SIGNED, hops=("us1", "de1"))) == [
        "direct .1",
        "direct .2",
        "direct .3",
    ]


@pytest.mark.parametrize("policy", [Policy.PROPOSE, Policy.NEVER], ids=["propose", "never"])
def test_without_leave_no_relay_is_taken(stand: Stand, policy: Policy) -> None:
    stand.table.load([], [GroupPolicy("google", policy, "cli:li", 0.0)])
    assert stand.ways() == ["direct .1", "direct .2", "direct .3"]


def test_after_a_person_withdrew_it_no_relay_is_taken(stand: Stand) -> None:
    stand.steering.quiet.add("google")
    assert stand.ways() == ["direct .1", "direct .2", "direct .3"]


def test_the_relay_is_behind_again_as_soon_as_it_may_be(stand: Stand) -> None:
    stand.steering.quiet.add("google")
    route = google()
    assert stand.ways(route=route) == ["direct .1", "direct .2", "direct .3"]
    stand.steering.quiet.clear()
    assert stand.ways(route=route)[-1] == "us1 .5?", "what was remembered is of another moment"


def test_mail_for_our_own_domains_and_what_somebody_routed_by_hand_takes_no_relay(
    stand: Stand,
) -> None:
    gateway = SmtpRoute("gateway:mx.customer.example:25", DIRECT, google().targets)
    assert stand.ways(route=gateway) == ["direct .1", "direct .2", "direct .3"]
    stand.pin()
    by_hand = replace(SIGNED, via="direct")
    assert stand.ways(by_hand) == ["direct .1", "direct .2", "direct .3"]


def test_all_mail_through_a_relay_by_configuration_stays_so(stand: Stand) -> None:
    target = Target("relay.example", "198.51.100.5", 587)
    route = SmtpRoute("relay:us1", US1.as_egress(), (target,))
    assert stand.ways(PLAIN, route) == ["us1 .5"]


def test_other_source_addresses_come_before_the_relay() -> None:
    stand = Stand(
        EgressSettings("direct", source_ip="203.0.113.5"),
        EgressSettings("second", source_ip="203.0.113.6"),
        EgressSettings("six", source_ip="2001:db8::6"),
        US1,
    )
    route = replace(google(), egress=Egress("direct", "203.0.113.5"))
    assert stand.ways(route=route) == [
        "direct .1", "direct .2", "direct .3", "second .1", "second .2", "second .3", "us1 .5?",
    ]  # fmt: skip


def test_the_source_address_of_another_class_of_mail_is_left_to_it() -> None:
    stand = Stand(EgressSettings("direct"), EgressSettings("lists", source_ip="203.0.113.6"))
    assert "lists .1" in stand.ways()
    settings = replace(stand.settings, reserved=frozenset({"lists"}))
    stand.chooser = Chooser(
        settings, stand.board, stand.table, stand.relays, stand.mandates, stand.steering,
        lambda: None,
    )  # fmt: skip
    assert stand.ways() == ["direct .1", "direct .2", "direct .3"]


def test_a_person_may_pin_another_source_address() -> None:
    stand = Stand(EgressSettings("direct"), EgressSettings("second", source_ip="203.0.113.6"))
    stand.pin("second", is_automatic=False)
    assert stand.ways()[:4] == ["second .1", "second .2", "second .3", "direct .1"]


def test_a_person_may_pin_the_address_that_the_machine_itself_takes() -> None:
    stand = Stand(EgressSettings("cn1", source_ip="203.0.113.5"), US1)
    stand.pin("direct", is_automatic=False)
    by_cn1 = replace(google(), egress=Egress("cn1", source_ip="203.0.113.5"))
    assert stand.ways(route=by_cn1)[:4] == ["direct .1", "direct .2", "direct .3", "cn1 .1"]


def test_a_route_through_an_egress_that_is_gone_from_the_configuration_is_passed_over(
    stand: Stand,
) -> None:
    stand.pin("gone")
    assert stand.ways() == ["direct .1", "direct .2", "direct .3"]


def test_ways_are_remembered_until_something_changes(stand: Stand) -> None:
    route = google()
    first = stand.chooser.ways(route, SIGNED)
    assert [a is b for a, b in zip(first, stand.chooser.ways(route, SIGNED), strict=True)] == [
        True, True, True, True,
    ]  # fmt: skip
    stand.fail(MX[0])
    assert named(stand.chooser.ways(route, SIGNED))[0] == "direct .2"


def test_a_way_that_cannot_have_its_tls_is_left_out(stand: Stand) -> None:
    class OnlyFirst:
        def fit(self, way: Way, facts: MessageFacts, domain: str = "") -> Way | None:
            del facts
            return way if way.target.ip == MX[0] else None

    chooser = Chooser(
        stand.settings, stand.board, stand.table, stand.relays, stand.mandates, stand.steering,
        lambda: None, OnlyFirst(),
    )  # fmt: skip
    assert named(chooser.ways(google(), SIGNED)) == ["direct .1"]


def test_an_address_without_tls_comes_behind_those_with_it_and_before_those_that_fail(
    stand: Stand,
) -> None:
    class FirstInClear:
        def fit(self, way: Way, facts: MessageFacts, domain: str = "") -> Way | None:
            assert domain == google().domain
            if way.is_relay or way.target.ip != MX[0]:
                return way
            return replace(way, target=replace(way.target, tls=TlsDemand(TlsPolicy.NEVER)))

    chooser = Chooser(
        stand.settings, stand.board, stand.table, stand.relays, stand.mandates, stand.steering,
        lambda: None, FirstInClear(),
    )  # fmt: skip
    first = named(chooser.ways(google(), SIGNED))
    assert first.index("direct .1") == len(MX) - 1
    for ip in MX:
        stand.fail(ip)
    assert named(chooser.ways(google(), SIGNED))[0] == "direct .1"
    assert sorted(first) == sorted(named(chooser.ways(google(), SIGNED)))


def test_the_end_of_an_attempt_is_told_of_groups_alone(stand: Stand) -> None:
    stand.chooser.ended(google(), ())
    stand.chooser.ended(SmtpRoute("gateway:x:25", DIRECT, ()), ())
    assert stand.steering.told == [("google", ())]
