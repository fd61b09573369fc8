"""Exemptions on disk, tested again, renewed and ended; and what is asked of TLS for domains."""

from collections.abc import Iterator
from pathlib import Path as File

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

from postern.directory.model import Problem, Refused
from postern.directory.store.site import SiteStore
from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import Target, TlsDemand, TlsPolicy, Way
from postern.measures import store as measures
from postern.measures.temporary import Kind
from postern.routing.settings import EgressSettings, HostPort, RoutingSettings
from postern.routing.tls.domains import store as domains
from postern.routing.tls.domains.policy import DomainPolicy, Guarded
from postern.routing.tls.domains.store import KEEP_GUARDED_S, TlsDomainStore
from postern.routing.tls.exemptions import store as module
from postern.routing.tls.exemptions.exemption import DAY_S, Exemption, Place
from postern.routing.tls.exemptions.retest import Retests, RetestSettings, way_to
from postern.routing.tls.exemptions.store import ExemptionDraft, ExemptionStore
from postern.runtime.clock import FakeClock

IP = "203.0.113.7"
WEEK_S = 7 * DAY_S
ROUTING = RoutingSettings(
    "us.example",
    egresses=(
        EgressSettings("us1", relay=HostPort("us1.example", 587)),
        EgressSettings("second", source_ip="192.0.2.5"),
    ),
    port=2525,
)
PLACE = Place(IP, "mx1.provider.example", 25, "direct")


class Stand:
    """A site, its exemptions, and a server whose TLS is as ``sign`` says."""

    def __init__(self, folder: File) -> None:
        self.clock = FakeClock()
        self.site = SiteStore.open(folder, self.clock, "cli:li")
        self.exemptions = ExemptionStore(self.site.database, self.clock, "cli:li")
        self.learned = ExemptionStore(self.site.database, self.clock, "postern")
        self.domains = TlsDomainStore(self.site.database, self.clock, "cli:li")
        self.sign = Sign.TLS_STALLED
        self.probed: list[Way] = []
        self.changes: list[tuple[str, str, str]] = []
        self.retests = Retests(
            self.learned, self, ROUTING, self.changed, RetestSettings(), self.clock
        )

    def exempt(self, ip: str = IP, *, insists: bool = False, lasts_s: float = WEEK_S) -> Exemption:
        draft = ExemptionDraft(ip, "ticket 812", lasts_s, insists)
        made = self.exemptions.add(draft)
        assert not isinstance(made, Refused), made
        return made[0]

    def learn(self) -> Exemption:
        made = self.learned.learn(PLACE, "did not go on after STARTTLS", WEEK_S)
        assert not isinstance(made, Refused), made
        return made[0]

    def changed(self, action: str, subject: str, text: str) -> None:
        self.changes.append((action, subject, text))

    async def probe(self, way: Way) -> Observation:
        self.probed.append(way)
        is_good = self.sign is Sign.ANSWERED
        path = Path(way.egress.name, way.target.ip, way.target.port, encrypted=True)
        text = "" if is_good else "no answer in 20 s"
        return Observation(path, "", way.target.host, self.sign, self.clock.now(), 1.0, text)

    async def days(self, days: float) -> None:
        """Let time pass, with a look at what is due each hour."""
        for _ in range(round(days * 24)):
            self.clock.advance(3600)
            await self.retests.test_due()

    def use(self, exemption: Exemption) -> None:
        with self.site.database.write() as connection:
            uses = {exemption.temporary.id: (1, self.clock.now())}
            measures.count_uses(connection, uses)


@pytest.fixture
def stand(tmp_path: File) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.site.close()


def test_an_exemption_is_found_again_as_it_was_made(stand: Stand) -> None:
    made = stand.exempt("[2001:DB8::7]")
    assert (made.label, made.ip, made.insists, made.is_learned) == (
        "X1",
        "2001:db8::7",
        False,
        False,
    )
    temporary = made.temporary
    assert (temporary.kind, temporary.reason, temporary.author) == (
        Kind.TLS, "ticket 812", "cli:li",
    )  # fmt: skip
    assert temporary.until == stand.clock.now() + WEEK_S
    assert stand.exemptions.all() == [made]
    stand.clock.advance(WEEK_S)
    assert stand.exemptions.all() == []


def test_a_new_one_takes_the_place_of_one_for_the_same_address(stand: Stand) -> None:
    first = stand.learn()
    second, before = _granted(stand.exemptions.add(ExemptionDraft(IP, "longer", 2 * WEEK_S)))
    assert [one.label for one in before] == [first.label]
    assert [one.label for one in stand.exemptions.all()] == [second.label]
    assert second.place == PLACE, "what was known of the address is not lost"


def _granted(
    result: tuple[Exemption, tuple[Exemption, ...]] | Refused,
) -> tuple[Exemption, tuple[Exemption, ...]]:
    assert not isinstance(result, Refused), result
    return result


@pytest.mark.parametrize(
    ("ip", "reason", "problem"),
    [
        ("mx.example", "why", Problem.MALFORMED),
        ("203.0.113.0/24", "why", Problem.MALFORMED),
        (IP, " ", Problem.NOT_ALLOWED),
        (IP, "two\nlines", Problem.NOT_ALLOWED),
        (IP, "x" * 501, Problem.NOT_ALLOWED),
    ],
    ids=["name", "network", "no-reason", "two-lines", "too-long"],
)
def test_what_is_no_exemption_is_refused(
    stand: Stand, ip: str, reason: str, problem: Problem
) -> None:
    refused = stand.exemptions.add(ExemptionDraft(ip, reason, WEEK_S))
    assert isinstance(refused, Refused)
    assert refused.problem is problem


def test_an_address_that_serves_a_domain_with_dane_or_sts_needs_a_person_who_insists(
    stand: Stand,
) -> None:
    now = stand.clock.now()
    stand.domains.note([Guarded(IP, "tea.example", "mta-sts", now)])
    refused = stand.exemptions.add(ExemptionDraft(IP, "why", WEEK_S))
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.NOT_ALLOWED
    assert "tea.example (mta-sts)" in refused.text
    assert "--i-accept-cleartext" in refused.text
    stand.exempt("203.0.113.8")
    assert stand.exempt(insists=True).insists


def test_what_was_served_there_long_ago_guards_it_no_more(stand: Stand) -> None:
    stand.domains.note([Guarded(IP, "tea.example", "dane", stand.clock.now())])
    stand.clock.advance(KEEP_GUARDED_S + 1)
    stand.exempt()
    stand.domains.note([])
    with stand.site.database.read() as connection:
        assert domains.guarded_at(connection, IP, 0.0) == []


def test_workers_that_learn_the_same_make_one(stand: Stand) -> None:
    first = stand.learned.learn(PLACE, "stalls", WEEK_S)
    second = stand.learned.learn(PLACE, "stalls", WEEK_S)
    assert not isinstance(first, Refused)
    assert not isinstance(second, Refused)
    assert first[1]
    assert not second[1]
    assert first[0] == second[0]
    assert (first[0].temporary.author, first[0].is_learned) == ("postern", True)


def test_what_is_learned_leaves_room_for_people(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LEARNED", 1)
    stand.learn()
    assert isinstance(stand.learned.learn(Place("203.0.113.8"), "stalls", WEEK_S), Refused)
    stand.exempt("203.0.113.9")
    assert [one.ip for one in stand.exemptions.all()] == [IP, "203.0.113.9"]


def test_an_ended_one_can_be_ended_only_once(stand: Stand) -> None:
    stand.exempt()
    ended = stand.exemptions.end("x1")
    assert isinstance(ended, Exemption)
    assert ended.temporary.ended_by == "cli:li"
    refused = stand.exemptions.end("X1")
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.NOT_THERE


def test_making_and_ending_are_told_to_workers_and_tests_are_not(stand: Stand) -> None:
    def changes() -> list[str]:
        return [c.action for c in stand.site.changes(0, 100) if c.noun == "tls-exemption"]

    made = stand.exempt()
    stand.learned.note_test(made, made.tests)
    stand.exemptions.end("X1")
    assert changes() == ["added", "ended"]


async def test_tls_that_works_again_ends_it_after_two_good_tests(stand: Stand) -> None:
    made = stand.exempt()
    await stand.days(0.9)
    assert stand.probed == []
    await stand.days(0.2)
    assert len(stand.probed) == 1
    assert stand.exemptions.all()[0].tests.text == "tls-stalled (no answer in 20 s)"
    stand.sign = Sign.ANSWERED
    await stand.days(21 / 24)
    (left,) = stand.exemptions.all()
    assert left.tests.good == 1, "one good test may be luck"
    await stand.days(0.2)
    assert stand.exemptions.all() == []
    ((action, ip, text),) = stand.changes
    assert (action, ip) == ("tls.ended", IP)
    assert text.startswith(f"{made.label} ended: TLS works again since 20")


async def test_tls_that_was_taken_out_once_is_back_within_two_hours(stand: Stand) -> None:
    stand.learn()
    stand.sign = Sign.ANSWERED
    await stand.days(1 / 24)
    (way,) = stand.probed
    assert way.target == Target(PLACE.host, IP, 25, TlsDemand(TlsPolicy.ENCRYPT, source="X1"))
    await stand.days(1 / 24)
    assert stand.exemptions.all() == []


async def test_what_was_learned_is_tested_ever_more_seldom_down_to_once_a_day(stand: Stand) -> None:
    stand.learn()
    began, tested = stand.clock.now(), list[float]()
    while len(tested) < 7:
        await stand.days(1 / 24)
        if len(stand.probed) > len(tested):
            tested.append((stand.clock.now() - began) / 3600)
    assert tested == [1, 2, 4, 8, 16, 32, 56]


async def test_one_good_test_between_bad_ones_ends_nothing(stand: Stand) -> None:
    stand.learn()
    for sign in (Sign.ANSWERED, Sign.TLS_BROKEN, Sign.ANSWERED, Sign.TLS_REFUSED):
        stand.sign = sign
        before = len(stand.probed)
        while len(stand.probed) == before:
            await stand.days(1 / 24)
        (left,) = stand.exemptions.all()
        assert left.tests.good == (1 if sign is Sign.ANSWERED else 0)
    assert stand.changes == []


async def test_a_learned_one_is_renewed_while_it_is_broken_and_used(stand: Stand) -> None:
    made = stand.learn()
    for _ in range(10):
        await stand.days(1)
        stand.use(made)
    (left,) = stand.exemptions.all()
    assert left.temporary.until is not None
    assert left.temporary.until > stand.clock.now()
    assert {action for action, _, _ in stand.changes} == {"tls.renewed"}


async def test_one_that_nobody_uses_ends_by_its_date(stand: Stand) -> None:
    stand.learn()
    await stand.days(6.9)
    assert len(stand.exemptions.all()) == 1
    await stand.days(0.2)
    assert stand.exemptions.all() == []
    assert len(stand.probed) == 11


async def test_what_a_person_made_ends_by_its_date_however_broken_it_is(stand: Stand) -> None:
    made = stand.exempt()
    for _ in range(8):
        await stand.days(1)
        stand.use(made)
    assert stand.exemptions.all() == []
    assert stand.probed
    assert stand.changes == []


async def test_what_a_person_insisted_on_is_not_ended_by_any_certificate(stand: Stand) -> None:
    stand.exempt(insists=True)
    stand.sign = Sign.ANSWERED
    await stand.days(6)
    assert len(stand.exemptions.all()) == 1


async def test_an_address_that_does_not_answer_tells_nothing(stand: Stand) -> None:
    stand.sign = Sign.SILENT
    stand.use(stand.learn())
    await stand.days(6)
    assert stand.probed
    await stand.days(2)
    assert stand.exemptions.all() == []


async def test_a_probe_that_fails_by_a_bug_stops_no_other(stand: Stand) -> None:
    stand.learn()

    async def broken(way: Way) -> Observation:
        raise RuntimeError("bug")

    stand.exempt("203.0.113.8")
    probe, stand.probe = stand.probe, broken  # type: ignore[method-assign]  # a bug of ours
    await stand.days(1.1)
    stand.probe = probe  # type: ignore[method-assign]  # mended
    await stand.days(0.1)
    assert len(stand.probed) == 2


def test_tls_is_tried_straight_there_whatever_takes_the_mail_now(stand: Stand) -> None:
    learned = way_to(stand.learn(), ROUTING)
    assert (learned.egress.name, learned.target.port) == ("direct", 25)
    made = way_to(stand.exempt("203.0.113.9"), ROUTING)
    assert (made.egress.name, made.egress.source_ip) == ("second", "192.0.2.5")
    assert made.target.port == 2525


def test_tls_is_asked_for_a_domain_and_taken_back(stand: Stand) -> None:
    made = stand.domains.require("Teehändler.Example", TlsPolicy.VERIFY, "contract")
    assert isinstance(made, DomainPolicy)
    assert stand.domains.all() == [made]
    assert (made.domain, made.policy) == ("xn--teehndler-y2a.example", TlsPolicy.VERIFY)
    stand.domains.require("teehändler.example", TlsPolicy.ENCRYPT, "")
    assert [one.policy for one in stand.domains.all()] == [TlsPolicy.ENCRYPT]
    stand.domains.require("teehändler.example", TlsPolicy.OPPORTUNISTIC, "")
    assert stand.domains.all() == []


@pytest.mark.parametrize("policy", [TlsPolicy.NEVER, TlsPolicy.DANE])
def test_what_only_others_can_ask_is_refused(stand: Stand, policy: TlsPolicy) -> None:
    refused = stand.domains.require("tea.example", policy, "")
    assert isinstance(refused, Refused)
    assert isinstance(stand.domains.require("no domain", TlsPolicy.VERIFY, ""), Refused)


@pytest.mark.parametrize("metadata", [module.metadata, domains.metadata], ids=["exempt", "domains"])
def test_migrated_tables_are_those_the_stores_declare(stand: Stand, metadata: MetaData) -> None:
    tables = metadata.tables

    def is_ours(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return kind not in {"table", "foreign_key_constraint"} or (
            kind == "table" and name in tables
        )

    with stand.site.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        differences = compare_metadata(context, metadata)
    assert differences == []
