"""A domain's policy on its hosts."""

import pytest
from tests.routing.conftest import World

from postern.mail.dns import Status
from postern.mail.finding import Whose
from postern.mail.outcome import Cause
from postern.mail.route import ANY_TLS, TlsDemand, TlsPolicy
from postern.mail.sts import StsMode, StsPolicy
from postern.mail.tlsrpt import PolicyType, TlsResult, Untried
from postern.routing.tls.sts import Published

RECORD = "3 1 1 " + "ab" * 32
DANE_HOST = "b.tea.test"


@pytest.fixture
def two(world: World) -> World:
    """``tea.test`` with two mail hosts."""
    world.dns.add("tea.test", "MX", "10 a.tea.test", "20 b.tea.test")
    world.dns.add("a.tea.test", "A", "192.0.2.1")
    world.dns.add("b.tea.test", "A", "192.0.2.2")
    return world


def publish(world: World, mode: StsMode, *patterns: str, fault: str = "") -> None:
    policy = StsPolicy(mode, 86_400, patterns)
    world.policies.by_domain["tea.test"] = Published(policy, fault, 300)


async def demands(world: World) -> dict[str, TlsDemand]:
    return {target.host: target.tls for target in (await world.smtp("tea.test")).targets}


def sign(world: World) -> None:
    """DNSSEC for all of it, and TLSA records for one host."""
    world.dns.add("tea.test", "MX", "10 a.tea.test", "20 b.tea.test", secure=True)
    world.dns.add("a.tea.test", "A", "192.0.2.1", secure=True)
    world.dns.add("b.tea.test", "A", "192.0.2.2", secure=True)
    world.dns.add(f"_25._tcp.{DANE_HOST}", "TLSA", RECORD, secure=True)
    world.dns.add("_25._tcp.a.tea.test", "TLSA", status=Status.NO_DATA, secure=True)


async def test_a_domain_without_policy_demands_nothing(two: World) -> None:
    assert set((await demands(two)).values()) == {ANY_TLS}


async def test_enforced_hosts_must_prove_their_name_and_others_are_left_out(two: World) -> None:
    publish(two, StsMode.ENFORCE, "b.tea.test")
    assert await demands(two) == {"b.tea.test": TlsDemand(TlsPolicy.VERIFY, source="mta-sts")}
    publish(two, StsMode.ENFORCE, "*.tea.test")
    two.router.forget()
    assert {demand.policy for demand in (await demands(two)).values()} == {TlsPolicy.VERIFY}
    assert len(await demands(two)) == 2


async def test_where_no_host_is_allowed_the_mail_waits_and_says_whose_it_is(two: World) -> None:
    publish(two, StsMode.ENFORCE, "mx.elsewhere.test")
    outcome = await two.deferred("tea.test")
    assert (outcome.cause, outcome.whose) == (Cause.TLS, Whose.RECIPIENT)
    assert outcome.reply.enhanced == "4.7.5"
    assert "a.tea.test, b.tea.test" in outcome.reply.text
    assert "MTA-STS" in outcome.reply.text
    why = Untried(PolicyType.STS, TlsResult.VALIDATION_FAILURE, "a.tea.test")
    assert two.counts.told == [("tea.test", why)], "no session tells of it"
    publish(two, StsMode.ENFORCE, "*.tea.test")
    two.clock.advance(301)
    assert len(await demands(two)) == 2


async def test_a_newer_policy_is_looked_for_before_mail_waits_and_then_every_five_minutes(
    two: World,
) -> None:
    for name in ("a.tea.test", "b.tea.test"):
        two.dns.add(name, "AAAA", status=Status.NO_DATA, ttl_s=86_400)
        two.dns.add(name, "A", "192.0.2.1", ttl_s=86_400)
    two.dns.add("tea.test", "MX", "10 a.tea.test", "20 b.tea.test", ttl_s=86_400)
    old = StsPolicy(StsMode.ENFORCE, 86_400, ("mx.elsewhere.test",))
    two.policies.by_domain["tea.test"] = Published(old, "", 86_400)
    assert (await two.deferred("tea.test")).cause is Cause.TLS
    await two.deferred("tea.test")
    assert two.policies.asked_anew == ["tea.test"]
    new = StsPolicy(StsMode.ENFORCE, 86_400, ("b.tea.test",))
    two.policies.newer["tea.test"] = Published(new, "", 86_400)
    two.clock.advance(301)
    assert set(await demands(two)) == {"b.tea.test"}
    assert two.policies.asked_anew == ["tea.test"] * 2
    assert len(two.counts.told) == 1


async def test_who_is_allowed_is_looked_at_again_every_five_minutes(two: World) -> None:
    for name in ("a.tea.test", "b.tea.test"):
        two.dns.add(name, "AAAA", status=Status.NO_DATA, ttl_s=86_400)
        two.dns.add(name, "A", "192.0.2.1", ttl_s=86_400)
    two.dns.add("tea.test", "MX", "10 a.tea.test", "20 b.tea.test", ttl_s=86_400)
    for host in ("a.tea.test", "b.tea.test"):
        policy = StsPolicy(StsMode.ENFORCE, 86_400, (host,))
        two.policies.by_domain["tea.test"] = Published(policy, "", 86_400)
        assert set(await demands(two)) == {host}
        two.clock.advance(301)
    assert two.policies.asked_anew == [], "no mail failed"


async def test_a_policy_that_is_tested_demands_nothing_and_is_counted(two: World) -> None:
    publish(two, StsMode.TESTING, "a.tea.test")
    assert await demands(two) == {
        "a.tea.test": TlsDemand(source="mta-sts-testing"),
        "b.tea.test": TlsDemand(source="mta-sts-testing", fault="validation-failure"),
    }


async def test_a_policy_that_could_not_be_had_demands_nothing_and_is_counted(two: World) -> None:
    two.policies.by_domain["tea.test"] = Published(None, "sts-policy-fetch-error", 300)
    assert set((await demands(two)).values()) == {TlsDemand(fault="sts-policy-fetch-error")}


async def test_dane_decides_where_a_host_has_both(two: World) -> None:
    sign(two)
    publish(two, StsMode.ENFORCE, "a.tea.test")
    found = await demands(two)
    assert found["a.tea.test"] == TlsDemand(TlsPolicy.VERIFY, source="mta-sts")
    assert found[DANE_HOST].policy is TlsPolicy.DANE


async def test_records_that_cannot_be_used_do_not_weaken_what_is_enforced(two: World) -> None:
    sign(two)
    two.dns.add(f"_25._tcp.{DANE_HOST}", "TLSA", "0 0 1 " + "ab" * 32, secure=True)
    publish(two, StsMode.ENFORCE, "*.tea.test")
    assert (await demands(two))[DANE_HOST].policy is TlsPolicy.VERIFY
    publish(two, StsMode.TESTING, "*.tea.test")
    two.router.forget()
    assert (await demands(two))[DANE_HOST].policy is TlsPolicy.ENCRYPT


async def test_a_route_is_kept_no_longer_than_the_policy(two: World) -> None:
    two.dns.add("tea.test", "MX", "10 a.tea.test", ttl_s=86_400)
    two.dns.add("a.tea.test", "A", "192.0.2.1", ttl_s=86_400)
    two.dns.add("a.tea.test", "AAAA", status=Status.NO_DATA, ttl_s=86_400)
    publish(two, StsMode.TESTING, "a.tea.test")
    await demands(two)
    publish(two, StsMode.ENFORCE, "a.tea.test")
    two.clock.advance(301)
    assert (await demands(two))["a.tea.test"].policy is TlsPolicy.VERIFY
