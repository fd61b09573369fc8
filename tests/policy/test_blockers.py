"""All that refuses, in the order in which it would."""

from tests.policy.making import book, facts, fail, rule, unknown

from postern.mail.finding import Finding
from postern.policy.blockers import next_refusals
from postern.policy.judge import Gravity, Judgement, judge
from postern.policy.rules.book import Book
from postern.policy.rules.rule import Action, family_of

SILENT = (
    unknown("mailfrom.dns-timeout"),
    unknown("spf.couldnt-tell"),
    fail("helo.invalid"),
    fail("ptr.mismatch"),
)


def judged(findings: tuple[Finding, ...], about: Book | None = None) -> Judgement:
    return judge(findings, facts(), about or book())


def test_what_would_refuse_next_is_what_the_judge_says_once_the_first_is_left_out() -> None:
    rules = book(domain="spf.fail=refuse ptr.mismatch=refuse")
    told = judged(SILENT, rules)
    assert next_refusals(told) == ("ptr.mismatch", "mailfrom.dns-timeout", "spf.couldnt-tell")
    left: tuple[Finding, ...] = SILENT
    refused = []
    while (now := judged(left, rules)).gravity >= Gravity.REFUSE_FOR_NOW:
        assert now.because is not None
        refused.append(now.because.check)
        family = family_of(now.because.check)
        left = tuple(one for one in left if family_of(one.check) != family)
    assert refused == ["helo.invalid", *next_refusals(told)]


def test_what_is_only_noted_or_was_waived_would_not_refuse() -> None:
    assert next_refusals(judged(SILENT)) == ("mailfrom.dns-timeout",)
    waiver = rule("198.51.100.24", waive="mailfrom")
    assert next_refusals(judged(SILENT, book(waiver))) == ()


def test_behind_a_rule_that_refuses_are_the_checks_that_do() -> None:
    told = judged((fail("ptr.missing"),), book(rule("all", Action.BLOCK)))
    assert told.because is not None
    assert told.because.check == "rule.block"
    assert next_refusals(told) == ("ptr.missing",)


def test_two_findings_of_one_family_are_one_cause() -> None:
    assert next_refusals(judged((fail("dnsbl.listed"), fail("dnsbl.listed")))) == ()
