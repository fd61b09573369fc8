"""Verdicts for whom the recipient has written to: asked for where it matters, never unproven."""

from dataclasses import dataclass, field

import pytest
from tests.policy.making import address, book, facts, fail, rule, unknown

from postern.journal.record import WRITTEN
from postern.mail.address import Address
from postern.mail.finding import Finding
from postern.policy.docket import Docket
from postern.policy.judge import Gravity, Judgement
from postern.policy.recipient import at_rcpt, judge_for, key_of_rules
from postern.policy.rules.book import Book
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import Action, Scope
from postern.runtime.database.trouble import DatabaseTroubleError

WANG = address("wang@harbour.example")
LI = "li@tea.example"
LISTED = fail("dnsbl.listed")


@dataclass
class Written:
    """Whom Wang has written to, and how often that was asked."""

    to: set[str] = field(default_factory=lambda: {LI})
    asked: list[str] = field(default_factory=list)

    def __call__(self, address: Address) -> bool:
        self.asked.append(address.key)
        return address.key in self.to


def judged(
    found: list[Finding], seen: Facts, rules: Book | None = None, written: Written | None = None
) -> Judgement:
    return judge_for(WANG, found, seen, rules or book(), written or Written())


def test_mail_nothing_speaks_against_costs_no_look_up() -> None:
    written = Written()
    assert judged([], facts(proven="tea.example"), written=written).gravity is Gravity.ACCEPT
    noted = [fail("spf.softfail")]
    assert judged(noted, facts(proven="tea.example"), written=written).gravity is Gravity.ACCEPT
    assert written.asked == []


def test_of_junk_it_is_told_whether_it_is_from_somebody_known_and_no_more() -> None:
    spf = [fail("spf.fail")]
    known = judged(spf, facts(proven="tea.example"))
    assert (known.gravity, known.is_known) == (Gravity.JUNK, True)

    def broken(_: Address) -> bool:
        raise DatabaseTroubleError("the file is damaged")

    told = judge_for(WANG, spf, facts(proven="tea.example"), book(), broken)
    assert (told.gravity, told.is_known) == (Gravity.JUNK, False)
    assert key_of_rules(WANG, facts(), book(), broken) == key_of_rules(WANG, facts(), book())


def test_a_refusal_that_waited_for_a_proof_is_kept_so() -> None:
    docket = Docket()
    unproven = facts()
    judgement = judged([LISTED], unproven)
    assert judgement.awaits_proof
    docket.note(WANG, WANG, WANG.domain, unproven, [LISTED], judgement)
    docket.turned_away(WANG)
    heard = docket.heard(1, 0.0, "198.51.100.24", "")
    assert heard is not None
    assert heard.decisions[0].flags & WRITTEN


def test_whom_one_has_written_to_is_held_instead_of_refused() -> None:
    proven = facts(proven="tea.example")
    assert judged([LISTED], proven).gravity is Gravity.HOLD
    assert judged([LISTED], facts("LI@tea.example", proven="tea.example")).gravity is Gravity.HOLD
    stranger = facts("ann@tea.example", proven="tea.example")
    assert judged([LISTED], stranger).gravity is Gravity.REFUSE


def test_whom_one_has_written_to_never_waits_on_a_greylist() -> None:
    assert judged([fail("greylist.wait")], facts(proven="tea.example")).gravity is Gravity.ACCEPT


@pytest.mark.parametrize("check", ["virus.found", "standards.bare-lf", "loop.detected"])
def test_what_is_locked_or_broken_is_refused_all_the_same(check: str) -> None:
    assert judged([fail(check)], facts(proven="tea.example")).gravity is Gravity.REFUSE


def test_the_author_counts_as_well_as_the_envelope() -> None:
    shop = facts("bounce@lists.example", author=LI, proven="tea.example")
    assert judged([LISTED], shop).gravity is Gravity.HOLD
    assert judged([LISTED], facts("bounce@lists.example", author=LI)).gravity is Gravity.REFUSE


def test_a_forger_is_nobody_one_has_written_to() -> None:
    forged = facts(LI, author=LI, proven="offers.example")
    assert judged([LISTED], forged).gravity is Gravity.REFUSE


def test_a_refusal_waits_while_dkim_could_prove_the_sender() -> None:
    early = judged([LISTED], facts(LI))
    assert (early.gravity, early.waits) == (Gravity.REFUSE, True)
    assert at_rcpt([early]) is None
    late = judged([LISTED], facts(LI, author=LI))
    assert (late.gravity, late.waits) == (Gravity.REFUSE, False)


def test_a_refusal_does_not_wait_for_strangers_or_for_what_nothing_lifts() -> None:
    assert not judged([LISTED], facts("ann@tea.example")).waits
    assert not judged([LISTED, fail("virus.found")], facts(LI)).waits
    assert not judged([LISTED], facts("")).waits
    refusing = book(rule("@tea.example", Action.BLOCK))
    assert not judged([LISTED], facts(LI), refusing).waits


def test_a_proof_that_is_awaited_and_a_rule_that_is_awaited_go_together() -> None:
    # The bare line feed is nothing that being known lifts; the rule could.
    rules = book(rule("@partner.example", waive="ptr", unproven=True))
    both = judged([LISTED, fail("ptr.missing")], facts(LI), rules)
    assert both.waits


def test_not_now_is_lifted_too() -> None:
    untold = unknown("mailfrom.dns-timeout", "mailfrom.no-domain")
    assert judged([untold], facts(LI)).waits
    assert judged([untold], facts(LI, proven="tea.example")).gravity is Gravity.ACCEPT


def test_rules_about_the_known_are_asked_for_all_mail() -> None:
    junk = book(rule("known", Action.ALLOW), rule("all", Action.JUNK, Scope.SYSTEM))
    assert judged([], facts(LI, proven="tea.example"), junk).gravity is Gravity.ACCEPT
    assert judged([], facts("ann@tea.example", proven="tea.example"), junk).gravity is Gravity.JUNK
    assert judged([], facts(LI), junk).gravity is Gravity.JUNK


def test_authors_without_end_are_not_all_asked_for() -> None:
    written = Written()
    many = tuple(Address(f"u{n}", "tea.example") for n in range(1000))
    seen = Facts(0.0, header_from=many, list_id="", proven=frozenset({"tea.example"}))
    assert judged([LISTED], seen, written=written).gravity is Gravity.REFUSE
    assert len(written.asked) == 10


def test_postmaster_asks_nobody() -> None:
    written = Written()
    judge_for(address("postmaster@harbour.example"), [LISTED], facts(LI), book(), written)
    assert written.asked == []


def test_recipients_differ_where_one_of_them_wrote_to_the_sender() -> None:
    def key(sender: str, to: set[str]) -> object:
        return key_of_rules(WANG, facts(sender), book(), Written(to))

    assert key(LI, {LI}) != key(LI, set())
    assert key("ann@tea.example", {LI}) == key("ann@tea.example", set())
    assert key("", {LI}) == key("", set())
