"""What there is of rules and settings, at a glance."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.policy.rules.test_store import DAY_S, Stand

from postern.directory.model import Refused
from postern.policy.rules.rule import Action, Rule, Scope, Treatment
from postern.policy.rules.store import StoredRule
from postern.policy.store import TRIED, inventory, tried


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.site.close()


def test_places_with_rules_that_hold_are_named_each_once(stand: Stand) -> None:
    found = inventory(stand.site.database, stand.clock.now())
    assert not found.places | found.treated_domains
    assert not found.has_harsh
    stand.add("198.51.100.24")
    stand.add("198.51.100.25")
    stand.add("@tea.example", scope=Scope.MAILBOX, place="wang@harbour.example", lasts_s=DAY_S)
    ended = stand.add("all", scope=Scope.SYSTEM, place="", waive="spf")
    stand.rules.end(ended.rule.label)
    found = inventory(stand.site.database, stand.clock.now())
    mailbox = (Scope.MAILBOX, "wang@harbour.example")
    assert found.places == {(Scope.DOMAIN, "harbour.example"), mailbox}
    stand.clock.advance(2 * DAY_S)
    assert mailbox not in inventory(stand.site.database, stand.clock.now()).places


def test_one_harsh_rule_is_enough(stand: Stand) -> None:
    stand.add("198.51.100.24")
    made = stand.add("@offers.example", action=Action.JUNK)
    assert inventory(stand.site.database, stand.clock.now()).has_harsh
    stand.rules.end(made.rule.label)
    assert not inventory(stand.site.database, stand.clock.now()).has_harsh


def test_a_check_weighs_where_anybody_has_it_weigh(stand: Stand) -> None:
    weighing = inventory(stand.site.database, stand.clock.now()).weighing
    assert {"ptr.missing", "spf.fail", "virus.found"} <= weighing
    assert not {"ptr.mismatch", "spf.softfail", "dkim.fail"} & weighing
    stand.rules.treat("spf.softfail", Treatment.JUNK, "harbour.example")
    stand.rules.treat("ptr.missing", Treatment.OFF)
    found = inventory(stand.site.database, stand.clock.now())
    assert "spf.softfail" in found.weighing
    assert "ptr.missing" in found.weighing  # a domain that says otherwise might not be asked
    assert found.treated_domains == {"harbour.example"}


def test_a_rule_that_is_tried_is_made_by_nobody(stand: Stand) -> None:
    database = stand.site.database
    made = tried(database, stand.draft("all", place="Harbour.Example", lasts_s=DAY_S), 5.0)
    assert isinstance(made, Rule)
    assert (made.label, made.place) == (TRIED, "harbour.example")
    assert made.until == 5.0 + DAY_S
    assert stand.rules.all() == []
    for flawed in (stand.draft("all", place="other.example"), stand.draft("all", reason="")):
        assert isinstance(tried(database, flawed, 5.0), Refused)


def test_a_rule_is_found_by_its_label_until_it_has_ended(stand: Stand) -> None:
    made = stand.add("198.51.100.24")
    found = stand.rules.labelled(made.rule.label.lower())
    assert isinstance(found, StoredRule)
    assert found.rule == made.rule
    stand.rules.end(made.rule.label)
    assert stand.rules.labelled(made.rule.label) is None
