"""Which policy of MTA-STS counts, over days and through outages."""

import asyncio
from pathlib import Path

import dns.message
import pytest
from tests.routing.tls.policies import policy
from tests.runtime.dns_servers import answering, udp_server

from postern.mail.dns import Question, Status
from postern.mail.sts import StsMode
from postern.mail.tlsrpt import TlsResult
from postern.routing.tls import sts
from postern.routing.tls.shelf import Shelf
from postern.routing.tls.store import StoredPolicy
from postern.routing.tls.sts import MEANWHILE_S, Published, StsPolicies
from postern.routing.tls.sts_fetch import NOT_ASKED, NotAsked, NotFetched
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver
from postern.runtime.resolver.resolver import Resolver
from postern.runtime.resolver.settings import ResolverSettings

TXT = "_mta-sts.tea.test"
DAY_S = 86_400.0
DOWN = NotFetched(TlsResult.STS_POLICY_FETCH_ERROR, "did not serve its policy")


class Fetches:
    """A fetcher that brings what it was told to, and holds back while ``held``."""

    def __init__(self) -> None:
        self.body: bytes | NotFetched | NotAsked = policy(
            "enforce", "mx.tea.test", max_age=int(7 * DAY_S)
        )
        self.asked: list[str] = []
        self.asking: set[str] = set()
        self.has_no_slot = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, domain: str) -> bytes | NotFetched | NotAsked:
        self.asked.append(domain)
        if not self.has_no_slot:
            self.asking.add(domain)
        await self.gate.wait()
        self.asking.discard(domain)
        return self.body


class Rig:
    """Policies, and everything around them."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.clock = FakeClock()
        self.dns = FakeResolver()
        self.fetches = Fetches()
        self.shelf = Shelf(path, self.clock)
        self.announce("1")
        self.restart()

    def restart(self, wait_s: float = 20.0) -> None:
        """As if the worker had begun anew."""
        self.shelf.close()
        self.shelf = Shelf(self.path, self.clock)
        self.policies = StsPolicies(self.dns, self.fetches, self.shelf, self.clock, wait_s)

    def announce(self, id_: str) -> None:
        self.dns.add(TXT, "TXT", f"v=STSv1; id={id_};", ttl_s=60)

    async def mode(self) -> StsMode | None:
        published = await self.policies.of("tea.test")
        return None if published.policy is None else published.policy.mode


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "tls.db")


async def test_a_domain_without_record_costs_one_question_and_no_fetch(rig: Rig) -> None:
    assert await rig.policies.of("coffee.test") == Published()
    assert rig.dns.queries == [Question("_mta-sts.coffee.test", "TXT")]
    assert rig.fetches.asked == []


async def test_a_policy_is_fetched_once_for_all_who_ask_and_kept(rig: Rig) -> None:
    found = await asyncio.gather(*(rig.policies.of("tea.test") for _ in range(20)))
    assert {one.policy is not None and one.policy.mode for one in found} == {StsMode.ENFORCE}
    assert await rig.mode() is StsMode.ENFORCE
    assert rig.fetches.asked == ["tea.test"]


async def test_a_policy_outlives_a_restart(rig: Rig) -> None:
    await rig.mode()
    rig.restart()
    assert await rig.mode() is StsMode.ENFORCE
    assert rig.fetches.asked == ["tea.test"]


async def test_a_policy_counts_until_its_end_whatever_dns_says_meanwhile(rig: Rig) -> None:
    await rig.mode()
    for status in (Status.NO_NAME, Status.NO_DATA, Status.SERVER_FAILURE, Status.TIMEOUT):
        rig.dns.add(TXT, "TXT", status=status)
        assert await rig.mode() is StsMode.ENFORCE
    rig.clock.advance(7 * DAY_S - 1)
    assert await rig.mode() is StsMode.ENFORCE
    rig.clock.advance(2)
    assert await rig.policies.of("tea.test") == Published(ttl_s=60.0)


async def test_a_route_is_not_kept_longer_than_the_policy_it_rests_on(rig: Rig) -> None:
    await rig.mode()
    rig.clock.advance(7 * DAY_S - 10)
    assert (await rig.policies.of("tea.test")).ttl_s == pytest.approx(10)


async def test_another_id_has_the_policy_fetched_anew(rig: Rig) -> None:
    await rig.mode()
    rig.announce("2")
    rig.fetches.body = policy("testing", "mx2.tea.test")
    assert await rig.mode() is StsMode.TESTING
    assert rig.fetches.asked == ["tea.test"] * 2


async def test_a_new_policy_that_cannot_be_had_leaves_the_old_one_in_force(rig: Rig) -> None:
    await rig.mode()
    rig.announce("2")
    bodies: list[tuple[bytes | NotFetched, str]] = [
        (DOWN, "sts-policy-fetch-error"),
        (b"<html>", "sts-policy-invalid"),
    ]
    for body, fault in bodies:
        rig.fetches.body = body
        published = await rig.policies.of("tea.test")
        assert published.policy is not None
        assert published.policy.mode is StsMode.ENFORCE
        assert published.fault == fault
        rig.clock.advance(301)


async def test_a_first_policy_that_cannot_be_had_is_as_none_but_noted(rig: Rig) -> None:
    rig.fetches.body = DOWN
    published = await rig.policies.of("tea.test")
    assert (published.policy, published.fault) == (None, "sts-policy-fetch-error")


async def test_a_failed_fetch_is_not_repeated_for_five_minutes_but_for_another_id(
    rig: Rig,
) -> None:
    rig.fetches.body = DOWN
    for _ in range(3):
        await rig.mode()
    assert len(rig.fetches.asked) == 1
    rig.announce("2")
    await rig.mode()
    assert len(rig.fetches.asked) == 2
    rig.clock.advance(301)
    rig.fetches.body = policy("enforce", "mx.tea.test")
    assert await rig.mode() is StsMode.ENFORCE


async def test_mode_none_ends_what_was_enforced(rig: Rig) -> None:
    await rig.mode()
    rig.announce("2")
    rig.fetches.body = policy("none")
    assert await rig.mode() is None
    assert (await rig.policies.of("tea.test")).fault == ""


async def test_mail_waits_for_a_slow_server_only_so_long_and_the_next_has_its_policy(
    rig: Rig,
) -> None:
    rig.restart(wait_s=0.05)
    rig.fetches.gate.clear()
    published = await rig.policies.of("tea.test")
    assert published == Published(None, "sts-policy-fetch-error", MEANWHILE_S)
    fetching = asyncio.create_task(rig.policies.of("tea.test"))
    rig.fetches.gate.set()
    fetched = (await fetching).policy
    assert fetched is not None
    assert fetched.mode is StsMode.ENFORCE
    assert rig.fetches.asked == ["tea.test"]


async def test_while_a_new_policy_is_slow_the_old_one_counts(rig: Rig) -> None:
    await rig.mode()
    rig.announce("2")
    rig.restart(wait_s=0.05)
    rig.fetches.gate.clear()
    assert await rig.mode() is StsMode.ENFORCE
    await rig.policies.aclose()


async def test_policies_are_fetched_again_each_day_while_mail_goes_by_them(rig: Rig) -> None:
    await rig.mode()
    rig.shelf.flush()
    await rig.policies.refresh()
    assert len(rig.fetches.asked) == 1, "it is fresh"
    for day in range(2, 20):
        rig.clock.advance(DAY_S + 1)
        await rig.policies.refresh()
        rig.shelf.flush()
        assert len(rig.fetches.asked) == day
    rig.dns.add(TXT, "TXT", status=Status.TIMEOUT)
    assert await rig.mode() is StsMode.ENFORCE, "its seven days began anew each day"


async def test_a_policy_that_no_mail_goes_by_is_left_to_end(rig: Rig) -> None:
    rig.fetches.body = policy("enforce", "mx.tea.test", max_age=int(300 * DAY_S))
    await rig.mode()
    rig.shelf.flush()
    rig.clock.advance(91 * DAY_S)
    await rig.policies.refresh()
    assert len(rig.fetches.asked) == 1
    assert await rig.mode() is StsMode.ENFORCE
    rig.shelf.flush()
    await rig.policies.refresh()
    assert len(rig.fetches.asked) == 2, "mail goes by it again"


async def test_one_that_cannot_be_refreshed_is_tried_tomorrow(rig: Rig) -> None:
    await rig.mode()
    rig.shelf.flush()
    rig.clock.advance(DAY_S + 1)
    rig.fetches.body = DOWN
    for _ in range(3):
        await rig.policies.refresh()
        rig.shelf.flush()
    assert len(rig.fetches.asked) == 2
    assert await rig.mode() is StsMode.ENFORCE


@pytest.mark.parametrize("age_s", [1_200, 3_600, 86_400, 604_800, 31_536_000])
async def test_a_policy_of_any_age_is_fetched_anew_long_before_it_ends(
    rig: Rig, age_s: int
) -> None:
    rig.fetches.body = policy("enforce", "mx.tea.test", max_age=age_s)
    await rig.mode()
    rig.shelf.flush()
    step_s = min(60.0 if age_s < 86_400 else 3_600.0, age_s / 8)
    for _ in range(40):
        rig.clock.advance(step_s)
        await rig.policies.refresh()
        assert await rig.mode() is StsMode.ENFORCE
    expected = 40 * step_s / max(300.0, min(age_s / 4, DAY_S))
    assert len(rig.fetches.asked) - 1 == pytest.approx(expected, abs=expected / 4 + 1)
    # From now on somebody drops what goes to its server: most of its age is still to come.
    rig.fetches.body = DOWN
    rig.clock.advance(age_s / 2)
    await rig.policies.refresh()
    assert await rig.mode() is StsMode.ENFORCE


async def test_what_is_over_is_fetched_once_more_before_it_is_dropped(rig: Rig) -> None:
    await rig.mode()
    rig.shelf.flush()
    rig.clock.advance(8 * DAY_S)  # nothing of this ran for eight days
    await rig.policies.refresh()
    rig.dns.add(TXT, "TXT", status=Status.TIMEOUT)
    assert await rig.mode() is StsMode.ENFORCE
    rig.clock.advance(8 * DAY_S)
    rig.fetches.body = DOWN
    await rig.policies.refresh()
    rig.shelf.flush()
    assert await rig.mode() is None
    assert len(rig.fetches.asked) == 2, "it is not known where DNS does not tell of it"


async def test_a_short_policy_is_fetched_anew_only_while_mail_goes_by_it(rig: Rig) -> None:
    rig.fetches.body = policy("enforce", "mx.tea.test", max_age=3_600)
    await rig.mode()
    rig.shelf.flush()
    for _ in range(6 * 24 * 4):
        rig.clock.advance(900.0 + 1)
        await rig.policies.refresh()
    assert len(rig.fetches.asked) < 1 + (90 * 3_600 + DAY_S) / 900 + 2
    rig.dns.add(TXT, "TXT", status=Status.TIMEOUT)
    assert await rig.mode() is None


async def test_a_round_fetches_all_that_are_due_those_that_end_first_first(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sts, "BATCH", 10)
    monkeypatch.setattr(sts, "REFRESH_AT_ONCE", 1)
    now = rig.clock.now()
    names = [f"{number}.test" for number in range(95)]
    for number, name in enumerate(names):
        rig.dns.add(f"_mta-sts.{name}", "TXT", "v=STSv1; id=1;")
        age_s = (200 - number) * DAY_S
        rig.shelf.put(StoredPolicy(name, "1", policy("none"), now, now + age_s))
        if number % 50 == 49:
            rig.shelf.flush()
    rig.shelf.flush()
    rig.clock.advance(DAY_S + 1)
    await rig.policies.refresh()
    assert len(rig.fetches.asked) == len(names)
    assert rig.fetches.asked == names[::-1]
    await rig.policies.refresh()
    assert len(rig.fetches.asked) == len(names), "now they are fresh"


async def test_those_that_found_no_slot_are_still_due_and_hold_up_no_other(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sts, "BATCH", 2)
    now = rig.clock.now()
    names = [f"{number}.test" for number in range(9)]
    for name in names:
        rig.dns.add(f"_mta-sts.{name}", "TXT", "v=STSv1; id=1;")
        rig.shelf.put(StoredPolicy(name, "1", policy("none"), now, now + 7 * DAY_S))
    rig.shelf.flush()
    rig.clock.advance(DAY_S + 1)
    rig.fetches.body = NOT_ASKED
    for number in (1, 2):
        await rig.policies.refresh()
        assert sorted(rig.fetches.asked) == sorted(names * number)


async def test_no_slot_is_no_failure_of_the_domain_and_is_not_remembered(rig: Rig) -> None:
    rig.fetches.body = NOT_ASKED
    assert await rig.policies.of("tea.test") == Published(None, "", MEANWHILE_S)
    rig.fetches.body = policy("enforce", "mx.tea.test")
    assert await rig.mode() is StsMode.ENFORCE


async def test_who_only_waits_for_a_slot_has_not_failed(rig: Rig) -> None:
    rig.restart(wait_s=0.05)
    rig.fetches.gate.clear()
    rig.fetches.has_no_slot = True
    assert await rig.policies.of("tea.test") == Published(None, "", MEANWHILE_S)
    await rig.policies.aclose()


# --- before mail fails by a policy ----------------------------------------------------------------


async def test_before_mail_fails_record_and_policy_are_asked_for_anew_every_five_minutes(
    rig: Rig,
) -> None:
    await rig.mode()
    rig.clock.advance(301)
    rig.fetches.body = policy("enforce", "new.tea.test", max_age=int(7 * DAY_S))
    for _ in range(3):
        published = await rig.policies.renewed("tea.test")
        assert published.policy is not None
        assert published.policy.patterns == ("new.tea.test",), "though its id is the same"
    assert len(rig.fetches.asked) == 2
    rig.fetches.body = DOWN
    rig.clock.advance(301)
    published = await rig.policies.renewed("tea.test")
    assert published.fault == "sts-policy-fetch-error"
    assert published.policy is not None


async def test_a_policy_that_mail_failed_by_is_asked_for_anew_at_the_next_look(rig: Rig) -> None:
    await rig.mode()
    rig.policies.doubt("tea.test")
    await rig.mode()
    assert len(rig.fetches.asked) == 1, "it was fetched just now"
    rig.clock.advance(301)
    rig.fetches.body = policy("none")
    assert await rig.mode() is None
    assert len(rig.fetches.asked) == 2
    rig.clock.advance(301)
    await rig.mode()
    assert len(rig.fetches.asked) == 2, "nobody doubts it any more"


async def test_what_another_worker_asked_for_anew_is_new_for_all(rig: Rig) -> None:
    await rig.mode()
    rig.clock.advance(301)
    await rig.policies.renewed("tea.test")
    rig.shelf.flush()
    other = StsPolicies(rig.dns, rig.fetches, rig.shelf, rig.clock, 20.0)
    await other.renewed("tea.test")
    assert len(rig.fetches.asked) == 2


async def test_what_dns_said_of_a_policy_is_forgotten_where_it_is_asked_for_anew() -> None:
    """Over real DNS: the record is kept for a day, and a new one is seen all the same."""
    record = ["v=STSv1; id=1;"]

    def told(query: dns.message.Message) -> list[bytes]:
        return [answering(query, f'"{record[0]}"', ttl=86_400)]

    clock = FakeClock()
    fetches = Fetches()
    shelf = Shelf(None, clock)
    async with udp_server(told) as server:
        home = ResolverSettings.parse("home", [server.address], tries_s=(20.0,))
        policies = StsPolicies(Resolver([home], clock), fetches, shelf, clock, wait_s=20.0)
        await policies.of("tea.test")
        clock.advance(301)
        record[0] = "v=STSv1; id=2;"
        await policies.of("tea.test")
        assert len(fetches.asked) == 1
        await policies.renewed("tea.test")
        assert len(fetches.asked) == 2
        assert len(server.queries) == 2
        kept = shelf.policy("tea.test")
        assert kept is not None
        assert kept.id == "2"
    shelf.close()


async def test_without_a_file_the_policies_fetched_last_are_in_memory() -> None:
    rig = Rig(None)
    await rig.mode()
    rig.dns.add(TXT, "TXT", status=Status.NO_NAME)
    assert await rig.mode() is StsMode.ENFORCE


async def test_a_file_that_cannot_be_opened_stops_no_mail(tmp_path: Path) -> None:
    (tmp_path / "tls.db").mkdir()
    rig = Rig(tmp_path / "tls.db")
    assert await rig.mode() is StsMode.ENFORCE
    rig.shelf.saw_dane("tea.test")
    assert rig.shelf.had_dane("tea.test")


async def test_policies_are_refreshed_round_by_round_whatever_breaks(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sts, "CHECK_S", 0.0)
    rounds = 0
    enough = asyncio.Event()

    def current() -> StsPolicies:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            enough.set()
        if rounds == 1:
            raise OSError("no network")
        return rig.policies

    job = asyncio.create_task(sts.keep_fresh(current))
    async with asyncio.timeout(20):
        await enough.wait()
    job.cancel()
    assert rounds >= 3
