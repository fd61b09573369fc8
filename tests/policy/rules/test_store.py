"""Rules on disk: made, found again as they were meant, ended, and never guessed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.policy.making import address, facts, fail

from postern.directory.model import Problem, Refused
from postern.directory.store.site import SiteStore
from postern.measures import store as measures
from postern.policy.judge import Gravity, judge
from postern.policy.rules import store as module
from postern.policy.rules.draft import Draft
from postern.policy.rules.match import Match, parse_match
from postern.policy.rules.rule import Action, Scope, Treatment
from postern.policy.rules.store import Books, RuleStore, StoredRule
from postern.policy.store import end_rules_of
from postern.runtime.clock import FakeClock
from postern.runtime.database.trouble import DatabaseTroubleError

DAY_S = 86_400.0
WANG = address("wang@harbour.example")


class Stand:
    """A site with a domain and a mailbox, its rules, and the books that workers read."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.site = SiteStore.open(folder, self.clock, "cli:li")
        self.site.add_domain("harbour.example")
        self.site.add_mailbox("wang@harbour.example")
        self.rules = RuleStore(self.site.database, self.clock, "cli:li")
        self.books = Books(self.site.database, self.clock)

    def draft(
        self,
        words: str,
        action: Action = Action.ALLOW,
        scope: Scope = Scope.DOMAIN,
        place: str = "harbour.example",
        reason: str = "ticket 812",
        waive: str = "",
        lasts_s: float | None = None,
    ) -> Draft:
        match = parse_match(words)
        assert isinstance(match, Match), match
        waives = frozenset(waive.split(",")) if waive else frozenset()
        return Draft(action, match, scope, place, reason, waives, lasts_s=lasts_s)

    def add(self, words: str, **fields: object) -> StoredRule:
        made = self.rules.add(self.draft(words, **fields))  # type: ignore[arg-type]  # a test's own words
        assert isinstance(made, StoredRule), made
        return made

    def gravity(self, check: str = "dnsbl.listed") -> Gravity:
        self.books.forget()
        known = facts(author="li@tea.example", ip="198.51.100.24")
        return judge([fail(check)], known, self.books.of(WANG)).gravity


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.site.close()


def test_rule_is_read_back_as_it_was_made(stand: Stand) -> None:
    made = stand.add("198.51.100.0/24", waive="ptr,mailfrom", lasts_s=14 * DAY_S)
    assert made.rule.label == "D1"
    assert made.temporary.reason == "ticket 812"
    assert made.temporary.author == "cli:li"
    assert made.temporary.until == stand.clock.now() + 14 * DAY_S
    (found,) = stand.rules.of_place(Scope.DOMAIN, "harbour.example")
    assert found == made
    assert stand.rules.all() == [made]


def test_book_of_a_mailbox_holds_its_own_rules_its_domains_and_the_systems(stand: Stand) -> None:
    stand.add("all", scope=Scope.SYSTEM, place="", waive="dnsbl")
    stand.add("@tea.example", action=Action.HOLD)
    stand.add("li@tea.example", scope=Scope.MAILBOX, place="Wang@Harbour.example")
    book = stand.books.of(WANG)
    shelves = (book.mailbox, book.domain, book.system)
    assert [[rule.label for rule in shelf.rules] for shelf in shelves] == [["M3"], ["D2"], ["S1"]]
    other = stand.books.of(address("chen@harbour.example"))
    assert other.mailbox.rules == ()
    assert other.domain.rules == book.domain.rules


def test_rule_holds_until_its_end_even_for_who_read_it_before(stand: Stand) -> None:
    stand.add("198.51.100.24", waive="dnsbl", lasts_s=DAY_S)
    book = stand.books.of(WANG)
    begin = stand.clock.now()
    during, after = (facts(author="", at=begin + seconds) for seconds in (DAY_S - 1, DAY_S))
    assert judge([fail("dnsbl.listed")], during, book).gravity is Gravity.ACCEPT
    assert judge([fail("dnsbl.listed")], after, book).gravity is Gravity.REFUSE
    stand.clock.advance(DAY_S)
    assert stand.gravity() is Gravity.REFUSE
    assert stand.rules.all() == []


def test_ended_rule_does_nothing_and_stays_on_record(stand: Stand) -> None:
    made = stand.add("198.51.100.24")
    assert stand.gravity() is Gravity.ACCEPT
    ended = stand.rules.end("d1")
    assert isinstance(ended, StoredRule)
    assert ended.temporary.ended_by == "cli:li"
    assert stand.gravity() is Gravity.REFUSE
    again = stand.rules.end("D1")
    assert isinstance(again, Refused)
    assert "no rule D1" in again.text
    with stand.site.database.read() as connection:
        rows = connection.execute(sa.select(measures.temporary.c.id)).scalars().all()
    assert list(rows) == [made.rule.id]


def test_what_was_decided_for_a_mailbox_goes_with_it(stand: Stand) -> None:
    own = stand.add("all", scope=Scope.MAILBOX, place="wang@harbour.example")
    domains = stand.add("@tea.example")
    stand.site.remove_mailbox("wang@harbour.example", end_rules_of)
    stand.site.add_mailbox("wang@harbour.example")
    assert [stored.rule for stored in stand.rules.all()] == [domains.rule]
    assert list(stand.books.of(WANG).fitting(facts())) == []
    assert own.rule not in [stored.rule for stored in stand.rules.all()]


def test_what_was_decided_for_a_domain_and_all_in_it_goes_with_it(stand: Stand) -> None:
    stand.add("all", scope=Scope.MAILBOX, place="wang@harbour.example")
    stand.add("@tea.example")
    systems = stand.add("@tea.example", scope=Scope.SYSTEM, place="", waive="spf")
    stand.rules.treat("spf.fail", Treatment.REFUSE, "harbour.example")
    stand.site.remove_domain("harbour.example", end_rules_of, with_contents=True)
    stand.site.add_domain("harbour.example")
    assert [stored.rule for stored in stand.rules.all()] == [systems.rule]
    assert stand.rules.treatments("harbour.example") == {}


def test_a_removal_that_is_refused_ends_nothing(stand: Stand) -> None:
    kept = stand.add("@tea.example")
    assert isinstance(stand.site.remove_domain("harbour.example", end_rules_of), Refused)
    assert [stored.rule for stored in stand.rules.all()] == [kept.rule]


@pytest.mark.parametrize("label", ["", "D", "X1", "M1", "D1x", "D" + "9" * 30, "D-1", "D²"])
def test_label_of_no_rule_ends_nothing(stand: Stand, label: str) -> None:
    stand.add("198.51.100.24")
    assert isinstance(stand.rules.end(label), Refused)
    assert len(stand.rules.all()) == 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"reason": "  "}, "needs a reason"),
        ({"reason": "x" * 501}, "at most 500"),
        ({"reason": "a\r\nb"}, "one line"),
        ({"lasts_s": float("nan")}, "lasts some time"),
        ({"waive": "virus"}, "virus cannot be waived"),
        ({"waive": "moon"}, "no check called moon"),
        ({"waive": "spf", "action": Action.BLOCK}, "only a rule that allows"),
        ({"lasts_s": 0.0}, "lasts some time"),
        ({"place": "nowhere.example"}, "no domain nowhere.example"),
        ({"scope": Scope.MAILBOX, "place": "nobody@harbour.example"}, "nobody@harbour.example"),
        ({"scope": Scope.SYSTEM, "place": ""}, "switch every check off"),
    ],
)
def test_rule_that_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(
    stand: Stand, fields: dict[str, object], text: str
) -> None:
    refused = stand.rules.add(stand.draft("all", **fields))  # type: ignore[arg-type]  # a test's own words
    assert isinstance(refused, Refused)
    assert text in refused.text
    assert stand.rules.all() == []


def test_places_fill_up_instead_of_growing_for_ever(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RULES_OF_A_PLACE", 2)
    stand.add("198.51.100.1")
    stand.add("198.51.100.2", lasts_s=DAY_S)
    refused = stand.rules.add(stand.draft("198.51.100.3"))
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.NOT_ALLOWED
    stand.clock.advance(DAY_S)
    stand.add("198.51.100.3")


def test_treatment_of_a_domain_goes_before_that_of_all(stand: Stand) -> None:
    assert stand.rules.treat("spf.fail", Treatment.REFUSE) == ""
    assert stand.gravity("spf.fail") is Gravity.REFUSE
    assert stand.rules.treat("spf.fail", Treatment.OFF, "Harbour.example") == "harbour.example"
    assert stand.gravity("spf.fail") is Gravity.ACCEPT
    stand.rules.treat("spf.fail", Treatment.HOLD, "harbour.example")
    assert stand.gravity("spf.fail") is Gravity.HOLD
    assert stand.rules.treatments("harbour.example") == {"spf.fail": Treatment.HOLD}
    stand.rules.treat("spf.fail", None, "harbour.example")
    assert stand.gravity("spf.fail") is Gravity.REFUSE
    stand.rules.treat("spf.fail", None)
    assert stand.gravity("spf.fail") is Gravity.JUNK
    assert isinstance(stand.rules.treat("moon.full", None), Refused)


def test_unknown_and_locked_checks_cannot_be_set(stand: Stand) -> None:
    unknown = stand.rules.treat("moon.full", Treatment.REFUSE)
    assert isinstance(unknown, Refused)
    for check in ("virus.found", "standards.bare-lf"):
        locked = stand.rules.treat(check, Treatment.NOTE)
        assert isinstance(locked, Refused)
        assert "locked" in locked.text
    assert stand.rules.treatments() == {}


def test_use_is_counted_and_remembered(stand: Stand) -> None:
    made = stand.add("198.51.100.24")
    stand.rules.count_uses({made.rule.id: (3, 100.0)})
    stand.rules.count_uses({made.rule.id: (2, 250.0)})
    stand.rules.count_uses({made.rule.id: (1, 200.0)})
    (found,) = stand.rules.all()
    assert (found.temporary.hits, found.temporary.last_used_at) == (6, 250.0)


def test_address_that_needs_quotes_is_a_rule_like_any_other(stand: Stand) -> None:
    made = stand.add('"helo:a b"@tea.example', action=Action.BLOCK)
    assert stand.rules.all() == [made]
    assert isinstance(stand.rules.end(made.rule.label), StoredRule)


def test_every_change_is_in_the_log_that_other_servers_follow(stand: Stand) -> None:
    made = stand.add("@tea.example", waive="spf")
    stand.rules.end(made.rule.label)
    stand.rules.treat("spf.fail", Treatment.REFUSE)
    told = [(change.noun, change.action, change.row_id) for change in stand.site.changes()][-3:]
    assert told == [
        ("rule", "added", made.rule.id),
        ("rule", "ended", made.rule.id),
        ("treatment", "set", "spf.fail"),
    ]


def test_database_that_does_not_answer_is_told_and_is_never_no_rules(stand: Stand) -> None:
    stand.books.forget()
    with stand.site.database.write() as connection:
        connection.execute(sa.text("DROP TABLE rule"))
    with pytest.raises(DatabaseTroubleError):
        stand.books.of(WANG)


def test_migrated_tables_are_exactly_those_the_stores_declare(stand: Stand) -> None:
    for metadata in (module.metadata, measures.metadata):
        known = set(metadata.tables)

        def is_ours(
            item: object, name: str | None, kind: str, *_: object, known: set[str] = known
        ) -> bool:
            # Constraints between rooms' tables are the migration's alone.
            return kind not in {"table", "foreign_key_constraint"} or name in known

        with stand.site.database.read() as connection:
            context = MigrationContext.configure(connection, opts={"include_object": is_ours})
            assert compare_metadata(context, metadata) == []
