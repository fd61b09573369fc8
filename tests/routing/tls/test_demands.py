"""What one way must have: the strongest of what domain, site and sender ask, and exemptions."""

from dataclasses import replace

import pytest

from postern.mail.envelope import TlsWish
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.route import Egress, Target, Tlsa, TlsDemand, TlsPolicy, Way
from postern.measures.temporary import Kind, Temporary
from postern.routing.chooser import MailClass, MessageFacts
from postern.routing.tls.demands import Demands, nothing_fits
from postern.routing.tls.domains.policy import DomainPolicies, DomainPolicy, GuardedAddresses
from postern.routing.tls.exemptions.book import ExemptionBook
from postern.routing.tls.exemptions.exemption import Exemption, Place
from postern.runtime.clock import FakeClock

IP = "203.0.113.7"
DOMAIN = "tea.example"
STS = TlsDemand(TlsPolicy.VERIFY, ("mx.tea.example",), source="mta-sts")
DANE = TlsDemand(TlsPolicy.DANE, tlsa=(Tlsa(3, 1, 1, b"x" * 32),), source="dane")
TESTING = TlsDemand(names=("mx.tea.example",), source="mta-sts-testing")
NEVER, ANY, ENCRYPT, VERIFY = (
    TlsPolicy.NEVER, TlsPolicy.OPPORTUNISTIC, TlsPolicy.ENCRYPT, TlsPolicy.VERIFY,
)  # fmt: skip
WEEK_S = 7 * 86_400.0


def way(demand: TlsDemand | None = None, host: str = "mx.tea.example") -> Way:
    return Way(Egress("direct"), Target(host, IP, 25, demand or TlsDemand()), group="tea.example")


def relay(policy: TlsPolicy, name: str = "us1") -> Way:
    target = Target("us1.host.example", "198.51.100.9", 587, TlsDemand(policy))
    return Way(Egress(name), target, is_fallback=True, group=f"relay:{name}")


def wishing(wish: TlsWish, sender_domain: str = "here.example") -> MessageFacts:
    return MessageFacts(MailClass.USER, sender_domain, tls_wish=wish)


PLAIN = wishing(TlsWish.NONE)


class Stand:
    """Demands over what a test says is known."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.book = ExemptionBook(self.clock)
        self.domains = DomainPolicies()
        self.guarded = GuardedAddresses(self.clock)
        self.demands = Demands(self.book, self.domains, self.guarded, frozenset({"us1"}))

    def exempt(self, *, insists: bool = False, until: float | None = None) -> None:
        made = Temporary("id", Kind.TLS, "it stalls", "cli:li", 0.0, until)
        self.book.fill([Exemption("X3", Place(IP), made, insists)])

    def ask(self, policy: TlsPolicy) -> None:
        self.domains.fill([DomainPolicy(DOMAIN, policy, "", "cli:li", 0.0)])

    def fit(self, candidate: Way, facts: MessageFacts = PLAIN) -> TlsDemand | None:
        target = candidate.target
        if not candidate.is_relay:  # as the router has it
            (target,) = self.domains.on((target,), DOMAIN)
        candidate = replace(candidate, target=target)
        found = self.demands.fit(candidate, facts, DOMAIN)
        if found is None:
            return None
        assert replace(found, target=replace(found.target, tls=candidate.target.tls)) == candidate
        return found.target.tls


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_where_nobody_asks_the_way_is_as_it_was(stand: Stand) -> None:
    candidate = way()
    assert stand.demands.fit(candidate, PLAIN, DOMAIN) is candidate


def policy_of(demand: TlsDemand | None) -> TlsPolicy | None:
    return None if demand is None else demand.policy


@pytest.mark.parametrize(
    ("published", "ours", "wish", "is_exempt", "found"),
    [
        (TlsDemand(), None, TlsWish.NONE, True, NEVER),
        (TlsDemand(), None, TlsWish.OPTIONAL, True, NEVER),
        (TlsDemand(), None, TlsWish.ENCRYPT, True, ENCRYPT),
        (STS, None, TlsWish.REQUIRETLS, True, VERIFY),
        (DANE, None, TlsWish.REQUIRETLS, True, TlsPolicy.DANE),
        (TlsDemand(), ENCRYPT, TlsWish.NONE, True, ENCRYPT),
        (TlsDemand(), ENCRYPT, TlsWish.NONE, False, ENCRYPT),
        (TlsDemand(), VERIFY, TlsWish.NONE, False, VERIFY),
        (TlsDemand(), None, TlsWish.ENCRYPT, False, ENCRYPT),
        (TlsDemand(), VERIFY, TlsWish.ENCRYPT, False, VERIFY),
        (TlsDemand(), ENCRYPT, TlsWish.OPTIONAL, False, ENCRYPT),
        (STS, None, TlsWish.NONE, True, VERIFY),
        (STS, ENCRYPT, TlsWish.NONE, False, VERIFY),
        (STS, None, TlsWish.ENCRYPT, False, VERIFY),
        (STS, None, TlsWish.OPTIONAL, False, ANY),
        (STS, ENCRYPT, TlsWish.OPTIONAL, False, ENCRYPT),
        (STS, None, TlsWish.REQUIRETLS, False, VERIFY),
        (DANE, None, TlsWish.NONE, True, TlsPolicy.DANE),
        (DANE, VERIFY, TlsWish.NONE, False, TlsPolicy.DANE),
        (DANE, None, TlsWish.OPTIONAL, False, ANY),
        (DANE, None, TlsWish.REQUIRETLS, False, TlsPolicy.DANE),
        (TESTING, None, TlsWish.REQUIRETLS, False, VERIFY),
        (TESTING, None, TlsWish.NONE, False, ANY),
        (replace(TESTING, fault="validation-failure"), None, TlsWish.REQUIRETLS, False, None),
        (TlsDemand(), None, TlsWish.REQUIRETLS, False, None),
        (TlsDemand(), VERIFY, TlsWish.REQUIRETLS, False, None),
    ],
    ids=str,
)
def test_the_strongest_wins_and_an_exemption_yields_to_all(
    stand: Stand,
    published: TlsDemand,
    ours: TlsPolicy | None,
    wish: TlsWish,
    found: TlsPolicy | None,
    *,
    is_exempt: bool,
) -> None:
    if ours is not None:
        stand.ask(ours)
    if is_exempt:
        stand.exempt()
    assert policy_of(stand.fit(way(published), wishing(wish))) is found


@pytest.mark.parametrize("published", [STS, DANE, TlsDemand()], ids=["sts", "dane", "ours"])
def test_who_insists_overrides_what_domains_ask_and_never_what_senders_ask(
    stand: Stand, published: TlsDemand
) -> None:
    stand.ask(ENCRYPT)
    stand.exempt(insists=True)
    assert stand.fit(way(published)) == TlsDemand(NEVER, source="X3")
    unforced = Stand()
    unforced.ask(ENCRYPT)
    for wish in (TlsWish.ENCRYPT, TlsWish.REQUIRETLS):
        asked = unforced.fit(way(published), wishing(wish))
        assert stand.fit(way(published), wishing(wish)) == asked
        assert policy_of(asked) is not NEVER


def test_an_exemption_is_over_at_its_end_without_anybody_doing_anything(stand: Stand) -> None:
    stand.exempt(until=stand.clock.now() + WEEK_S)
    assert policy_of(stand.fit(way())) is NEVER
    stand.clock.advance(WEEK_S)
    assert policy_of(stand.fit(way())) is ANY


def test_an_exemption_is_of_one_address(stand: Stand) -> None:
    stand.exempt()
    other = Way(Egress("direct"), Target("mx.tea.example", "203.0.113.8", 25))
    assert stand.demands.fit(other, PLAIN, DOMAIN) is other


def test_who_asks_is_named(stand: Stand) -> None:
    stand.exempt()
    assert stand.fit(way()) == TlsDemand(NEVER, source="X3")
    stand.ask(VERIFY)
    assert stand.fit(way()) == TlsDemand(VERIFY, source="domain")
    found = Stand().fit(way(), wishing(TlsWish.ENCRYPT))
    assert found == TlsDemand(ENCRYPT, source="message")


def test_a_relay_carries_what_must_be_encrypted_only_where_it_keeps_to_that(stand: Stand) -> None:
    for wish in (TlsWish.ENCRYPT, TlsWish.NONE):
        assert policy_of(stand.fit(relay(VERIFY), wishing(wish))) is VERIFY
    assert stand.fit(relay(VERIFY, "other"), wishing(TlsWish.ENCRYPT)) is None
    assert policy_of(stand.fit(relay(ANY), wishing(TlsWish.ENCRYPT))) is VERIFY
    assert stand.fit(relay(NEVER), wishing(TlsWish.ENCRYPT)) is None


def test_requiretls_takes_a_relay_that_is_verified(stand: Stand) -> None:
    required = wishing(TlsWish.REQUIRETLS)
    assert policy_of(stand.fit(relay(VERIFY, "other"), required)) is VERIFY
    assert stand.fit(relay(ENCRYPT), required) is None
    assert stand.fit(relay(ANY), required) is None


def test_requiretls_takes_a_host_that_is_the_domain_itself_or_that_a_person_named(
    stand: Stand,
) -> None:
    required = wishing(TlsWish.REQUIRETLS)
    assert policy_of(stand.fit(way(host=DOMAIN), required)) is VERIFY
    found = stand.demands.fit(way(host="mx.customer.example"), required, "")
    assert found is not None
    assert found.target.tls.policy is VERIFY


def test_a_notice_about_mail_with_requiretls_is_encrypted_and_no_more(stand: Stand) -> None:
    notice = wishing(TlsWish.REQUIRETLS, sender_domain="")
    assert policy_of(stand.fit(way(), notice)) is ENCRYPT


def test_addresses_that_serve_a_domain_which_asks_are_noted_once_a_day(stand: Stand) -> None:
    for _ in range(3):
        stand.fit(way(STS))
        stand.fit(way(TESTING))
        stand.fit(way())
    (noted,) = stand.guarded.take()
    assert (noted.ip, noted.domain, noted.source) == (IP, DOMAIN, "mta-sts")
    stand.fit(way(STS))
    assert stand.guarded.take() == []
    stand.clock.advance(86_401)
    stand.fit(way(STS))
    assert len(stand.guarded.take()) == 1


def test_what_nothing_can_carry_waits_and_says_why() -> None:
    outcome = nothing_fits(wishing(TlsWish.ENCRYPT), "provider.example")
    assert isinstance(outcome, Deferred)
    assert (outcome.cause, outcome.reply.enhanced) == (Cause.UNENCRYPTED, "4.7.10")
    assert isinstance(nothing_fits(wishing(TlsWish.REQUIRETLS, ""), "p.example"), Deferred)


def test_what_requires_tls_on_all_its_way_comes_back_at_once() -> None:
    outcome = nothing_fits(wishing(TlsWish.REQUIRETLS), "provider.example")
    assert isinstance(outcome, Refused)
    assert outcome.reply.enhanced == "5.7.30"
