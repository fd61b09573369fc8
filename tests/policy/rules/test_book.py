from dataclasses import replace

from tests.policy.making import book, facts, rule

from postern.policy.rules.rule import Action, Scope, Treatment


def test_nearer_scope_comes_first_however_particular_the_wider_one_is() -> None:
    wide = rule("li@tea.example", Action.BLOCK, Scope.SYSTEM)
    middle = rule("@tea.example", Action.HOLD, Scope.DOMAIN)
    near = rule("all", Action.JUNK, Scope.MAILBOX)
    found = book(wide, middle, near).fitting(facts(author=""))
    assert list(found) == [near, middle, wide]


def test_domain_setting_goes_before_the_systems_and_that_before_the_default() -> None:
    assert book().setting("spf.fail").treatment is Treatment.JUNK
    of_system = book(system="spf.fail=hold").setting("spf.fail")
    assert (of_system.treatment, of_system.scope) == (Treatment.HOLD, Scope.SYSTEM)
    of_domain = book(system="spf.fail=hold", domain="spf.fail=off").setting("spf.fail")
    assert (of_domain.treatment, of_domain.scope) == (Treatment.OFF, Scope.DOMAIN)


def test_locked_checks_stay_whatever_anybody_set() -> None:
    made = book(system="virus.found=off", domain="rcpt.unknown=note")
    assert made.setting("virus.found").treatment is Treatment.REFUSE
    assert made.setting("rcpt.unknown").treatment is Treatment.REFUSE


def test_check_that_nobody_knows_is_noted() -> None:
    assert book().setting("moon.full").treatment is Treatment.NOTE


def test_rules_that_may_yet_allow_are_known_only_until_the_header_is_there() -> None:
    partner, wide = rule("@partner.example"), rule("list:offers.example", scope=Scope.SYSTEM)
    made = book(wide, partner, rule("@other.example", Action.BLOCK), rule("198.51.100.24"))
    assert made.not_yet_allowing(facts()) == [partner, wide]
    assert made.not_yet_allowing(facts(author="li@tea.example")) == []


def test_rule_fits_until_its_end_and_not_at_that_moment() -> None:
    made = book(replace(rule("all"), until=100.0))
    assert list(made.fitting(facts(at=99.9)))
    assert not list(made.fitting(facts(at=100.0)))
    later = book(replace(rule("@tea.example"), until=100.0))
    assert later.not_yet_allowing(facts(at=99.9))
    assert not later.not_yet_allowing(facts(at=100.0))
