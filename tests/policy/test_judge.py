"""One recipient's verdict, each combination of finding and rule that people meet."""

import pytest
from tests.policy.making import book, facts, fail, rule, unknown

from postern.mail.finding import Finding, Result
from postern.policy.judge import Gravity, judge
from postern.policy.rules.rule import Action, Scope

LISTED = fail("dnsbl.listed")
WHOLE = facts(author="li@tea.example")


def test_mail_without_fault_is_accepted_for_no_reason() -> None:
    judgement = judge([Finding("ptr.missing", Result.PASS, "fine")], WHOLE, book())
    assert judgement.gravity is Gravity.ACCEPT
    assert judgement.because is None
    assert judgement.rule is None


@pytest.mark.parametrize(
    ("check", "gravity"),
    [
        ("ptr.missing", Gravity.REFUSE),
        ("ptr.mismatch", Gravity.ACCEPT),
        ("spf.fail", Gravity.JUNK),
        ("dmarc.quarantine", Gravity.JUNK),
        ("greylist.wait", Gravity.REFUSE_FOR_NOW),
        ("quota.full", Gravity.REFUSE_FOR_NOW),
        ("virus.found", Gravity.REFUSE),
        ("helo.unresolvable", Gravity.ACCEPT),
    ],
)
def test_each_check_is_treated_as_by_default(check: str, gravity: Gravity) -> None:
    judgement = judge([fail(check)], WHOLE, book())
    assert judgement.gravity is gravity
    assert (judgement.because is None) == (gravity is Gravity.ACCEPT)


def test_gravest_finding_decides_and_of_equals_the_first() -> None:
    found = [fail("spf.fail"), fail("ptr.missing"), LISTED]
    assert judge(found, WHOLE, book()).because is found[1]


def test_mailbox_lets_through_what_a_blocklist_lists() -> None:
    let = rule("@tea.example", unproven=True)
    judgement = judge([LISTED], WHOLE, book(let))
    assert judgement.gravity is Gravity.ACCEPT
    assert judgement.rule is let
    assert [(one.finding, one.waived_by) for one in judgement.weighed] == [(LISTED, let)]


def test_who_only_says_to_be_the_partner_is_not_let_through() -> None:
    assert judge([LISTED], WHOLE, book(rule("@tea.example"))).gravity is Gravity.REFUSE
    proven = facts(author="li@tea.example", proven="tea.example")
    assert judge([LISTED], proven, book(rule("@tea.example"))).gravity is Gravity.ACCEPT


def test_named_waiver_uncovers_what_it_does_not_name() -> None:
    let = rule("198.51.100.24", waive="mailfrom")
    found = [fail("mailfrom.no-mx"), fail("ptr.missing")]
    judgement = judge(found, WHOLE, book(let))
    assert judgement.gravity is Gravity.REFUSE
    assert judgement.because is found[1]


@pytest.mark.parametrize("check", ["virus.found", "rcpt.unknown", "size.too-big", "loop.detected"])
def test_nothing_lets_through_what_is_locked(check: str) -> None:
    everything = [rule("all", scope=scope) for scope in Scope]
    judgement = judge([fail(check)], WHOLE, book(*everything, domain=f"{check}=off"))
    assert judgement.gravity is Gravity.REFUSE


def test_nearer_allow_beats_a_wider_block_and_nearer_block_a_wider_allow() -> None:
    allow, block = rule("all"), rule("li@tea.example", Action.BLOCK, Scope.SYSTEM)
    assert judge([], WHOLE, book(allow, block)).gravity is Gravity.ACCEPT
    allow, block = rule("all", scope=Scope.SYSTEM), rule("li@tea.example", Action.BLOCK)
    judgement = judge([], WHOLE, book(allow, block))
    assert judgement.gravity is Gravity.REFUSE
    assert judgement.rule is block
    assert judgement.because is not None
    assert judgement.because.check == "rule.block"
    assert block.label in judgement.because.text
    # The sender need not learn whose rule it is, or what else it is about.
    assert "li@tea.example" not in judgement.because.text


def test_waiver_of_one_check_does_not_lift_a_wider_block() -> None:
    let = rule("all", waive="spf")
    block = rule("@tea.example", Action.BLOCK, Scope.DOMAIN)
    assert judge([fail("spf.fail")], WHOLE, book(let, block)).rule is block


@pytest.mark.parametrize(
    ("action", "gravity", "check"),
    [
        (Action.HOLD, Gravity.HOLD, "rule.hold"),
        (Action.JUNK, Gravity.JUNK, "rule.junk"),
    ],
)
def test_rule_that_is_milder_than_a_finding_does_not_rescue_it(
    action: Action, gravity: Gravity, check: str
) -> None:
    mild = book(rule("@tea.example", action))
    judgement = judge([], WHOLE, mild)
    assert judgement.gravity is gravity
    assert judgement.because is not None
    assert judgement.because.check == check
    assert judge([LISTED], WHOLE, mild).because is LISTED


def test_what_a_domain_set_for_itself_the_systems_rules_do_not_switch_off() -> None:
    let = rule("all", scope=Scope.SYSTEM)
    strict = "spf.fail=refuse"
    assert judge([fail("spf.fail")], WHOLE, book(let)).gravity is Gravity.ACCEPT
    assert judge([fail("spf.fail")], WHOLE, book(let, domain=strict)).gravity is Gravity.REFUSE
    own = rule("all", scope=Scope.DOMAIN)
    assert judge([fail("spf.fail")], WHOLE, book(own, domain=strict)).gravity is Gravity.ACCEPT


def test_refusal_names_the_rule_that_the_header_may_yet_bring() -> None:
    partner = rule("@partner.example")
    early = judge([LISTED], facts(), book(partner))
    assert early.gravity is Gravity.REFUSE
    assert early.awaits is partner
    assert judge([LISTED], WHOLE, book(partner)).awaits is None
    assert judge([fail("rcpt.unknown")], facts(), book(partner)).awaits is None


def test_nothing_is_awaited_when_something_else_refuses_that_it_could_not_lift() -> None:
    partner = rule("@partner.example", scope=Scope.DOMAIN)
    both = [LISTED, fail("rcpt.unknown")]
    assert judge(both, facts(), book(partner)).awaits is None
    only_lists = rule("@partner.example", waive="dnsbl")
    assert judge([LISTED, fail("ptr.missing")], facts(), book(only_lists)).awaits is None
    of_system = rule("@partner.example", scope=Scope.SYSTEM)
    strict = book(of_system, domain="spf.fail=refuse")
    assert judge([fail("spf.fail")], facts(), strict).awaits is None


def test_nearer_allow_that_proof_may_bring_is_awaited_before_a_wider_block() -> None:
    allow = rule("@tea.example")
    block = rule("198.51.100.0/24", Action.BLOCK, Scope.SYSTEM)
    early = judge([], facts(), book(allow, block))
    assert early.gravity is Gravity.REFUSE
    assert early.awaits is allow
    proven = facts(author="li@tea.example", proven="tea.example")
    assert judge([], proven, book(allow, block)).gravity is Gravity.ACCEPT
    nearer = rule("198.51.100.0/24", Action.BLOCK)
    wider = rule("@tea.example", scope=Scope.DOMAIN)
    assert judge([], facts(), book(nearer, wider)).awaits is None


def test_mild_rule_in_front_of_a_waiver_makes_nothing_harsher() -> None:
    waiver = rule("all", scope=Scope.DOMAIN, waive="dnsbl")
    assert judge([LISTED], WHOLE, book(waiver)).gravity is Gravity.ACCEPT
    judgement = judge([LISTED], WHOLE, book(rule("all", Action.JUNK), waiver))
    assert judgement.gravity is Gravity.JUNK


def test_rule_that_overrules_a_wider_block_is_the_one_to_thank() -> None:
    allow, block = rule("all"), rule("all", Action.BLOCK, Scope.SYSTEM)
    assert judge([], WHOLE, book(allow, block)).rule is allow
    assert judge([], WHOLE, book(allow)).rule is None


# --- couldn't tell -------------------------------------------------------------------------------


def test_couldnt_tell_is_not_now_only_where_a_fail_would_refuse() -> None:
    silent = unknown("mailfrom.dns-timeout")
    assert judge([silent], WHOLE, book()).gravity is Gravity.REFUSE_FOR_NOW
    mild = book(system="mailfrom.no-domain=note mailfrom.no-mx=junk")
    assert judge([silent], WHOLE, mild).gravity is Gravity.ACCEPT
    assert judge([unknown("spf.couldnt-tell")], WHOLE, book()).gravity is Gravity.ACCEPT
    strict = book(domain="spf.fail=refuse")
    assert judge([unknown("spf.couldnt-tell")], WHOLE, strict).gravity is Gravity.REFUSE_FOR_NOW


@pytest.mark.parametrize("family", ["dnsbl", "greylist", "spam"])
def test_silence_of_a_mere_hint_holds_nothing_up(family: str) -> None:
    made = book(system="dnsbl.listed=refuse greylist.wait=refuse spam.score=refuse")
    judgement = judge([unknown(f"{family}.couldnt-tell")], WHOLE, made)
    assert judgement.gravity is Gravity.ACCEPT


def test_nothing_goes_unscanned_whoever_would_let_it_through() -> None:
    judgement = judge([unknown("virus.couldnt-tell")], WHOLE, book(rule("all")))
    assert judgement.gravity is Gravity.REFUSE_FOR_NOW


def test_silence_does_not_soften_what_is_known() -> None:
    judgement = judge([unknown("mailfrom.dns-timeout"), LISTED], WHOLE, book())
    assert judgement.because is LISTED


def test_silence_is_waived_like_the_check_it_belongs_to() -> None:
    let = rule("198.51.100.24", waive="mailfrom")
    judgement = judge([unknown("mailfrom.dns-timeout")], WHOLE, book(let))
    assert judgement.gravity is Gravity.ACCEPT
    assert judgement.rule is let


def test_silence_weighs_as_much_as_what_it_might_have_been() -> None:
    backwards = unknown("ptr.couldnt-tell", "ptr.mismatch")
    assert judge([backwards], WHOLE, book()).gravity is Gravity.ACCEPT
    strict = book(system="ptr.mismatch=refuse ptr.missing=note")
    assert judge([backwards], WHOLE, strict).gravity is Gravity.REFUSE_FOR_NOW
    missing = unknown("ptr.couldnt-tell", "ptr.missing")
    assert judge([missing], WHOLE, strict).gravity is Gravity.ACCEPT


def test_error_of_our_own_in_any_check_that_refuses_delays_and_never_passes() -> None:
    for family in ("standards", "rate", "ptr", "mailfrom", "command", "content", "loop"):
        judgement = judge([unknown(f"{family}.couldnt-tell")], WHOLE, book())
        assert judgement.gravity is Gravity.REFUSE_FOR_NOW, family


def test_silence_in_what_a_domain_set_for_itself_the_system_does_not_waive() -> None:
    let = rule("all", scope=Scope.SYSTEM)
    made = book(let, domain="spf.fail=refuse")
    judgement = judge([unknown("spf.couldnt-tell", "spf.fail")], WHOLE, made)
    assert judgement.gravity is Gravity.REFUSE_FOR_NOW


# --- those somebody has written to ---------------------------------------------------------------


def test_correspondents_are_held_instead_of_refused_and_never_greylisted() -> None:
    friend = facts(author="li@tea.example", known=True)
    assert judge([LISTED], friend, book()).gravity is Gravity.HOLD
    assert judge([fail("greylist.wait")], friend, book()).gravity is Gravity.ACCEPT
    assert judge([fail("virus.found")], friend, book()).gravity is Gravity.REFUSE
    # A fail would hold, so not to know does not turn away.
    silent = unknown("mailfrom.dns-timeout")
    assert judge([silent], friend, book()).gravity is Gravity.ACCEPT
    assert judge([fail("standards.bare-lf")], friend, book()).gravity is Gravity.REFUSE


# --- what scanners could not tell -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "settings", "gravity"),
    [
        ("virus", "", Gravity.REFUSE_FOR_NOW),
        ("virus", "virus.couldnt-tell=hold", Gravity.HOLD),
        ("virus", "virus.couldnt-tell=note", Gravity.ACCEPT),
        ("command", "", Gravity.REFUSE_FOR_NOW),
        ("command", "command.found=off", Gravity.ACCEPT),
        ("command", "command.found=junk", Gravity.ACCEPT),
        ("command", "command.couldnt-tell=hold", Gravity.HOLD),
        ("command", "command.found=off command.couldnt-tell=refuse", Gravity.ACCEPT),
        ("spam", "", Gravity.ACCEPT),
        ("spam", "spam.score=refuse", Gravity.ACCEPT),
        ("spam", "spam.couldnt-tell=refuse", Gravity.REFUSE_FOR_NOW),
        ("spam", "spam.couldnt-tell=hold", Gravity.HOLD),
        ("spam", "spam.score=note spam.couldnt-tell=refuse", Gravity.ACCEPT),
    ],
)
def test_unscanned_is_treated_as_somebody_said(check: str, settings: str, gravity: Gravity) -> None:
    finding = unknown(f"{check}.couldnt-tell")
    for book_ in (book(domain=settings), book(system=settings)):
        judgement = judge([finding], WHOLE, book_)
        assert judgement.gravity is gravity
        assert (judgement.because is finding) == (gravity is not Gravity.ACCEPT)


def test_domain_says_otherwise_than_the_system_of_what_is_unscanned() -> None:
    both = book(system="virus.couldnt-tell=note", domain="virus.couldnt-tell=refuse")
    assert judge([unknown("virus.couldnt-tell")], WHOLE, both).gravity is Gravity.REFUSE_FOR_NOW


def test_no_rule_waives_what_was_not_scanned_for_viruses() -> None:
    let = rule("all", unproven=True)
    for settings, gravity in (
        ("", Gravity.REFUSE_FOR_NOW),
        ("virus.couldnt-tell=hold", Gravity.HOLD),
    ):
        judgement = judge([unknown("virus.couldnt-tell")], WHOLE, book(let, domain=settings))
        assert judgement.gravity is gravity
    assert judge([unknown("command.couldnt-tell")], WHOLE, book(let)).gravity is Gravity.ACCEPT
