import re

import pytest
from tests.policy.making import rule

from postern.policy.rules.rule import DEFAULTS, LOCKED, Action, Treatment, family_of


def test_only_letting_through_by_name_needs_proof() -> None:
    assert rule("@tea.example").needs_proof
    assert not rule("@tea.example", unproven=True).needs_proof
    assert not rule("@tea.example", Action.BLOCK).needs_proof
    assert rule("list:offers.tea.example").needs_proof
    assert rule("helo:mail.tea.example").needs_proof
    assert not rule("198.51.100.24").needs_proof
    assert not rule("all").needs_proof


@pytest.mark.parametrize("family", sorted(LOCKED))
def test_what_is_locked_cannot_be_waived_and_refuses(family: str) -> None:
    assert not rule("all").waives_family(family)
    assert not rule("all", waive=family).waives_family(family)
    checks = [check for check in DEFAULTS if family_of(check) == family]
    assert checks
    assert all(DEFAULTS[check] is Treatment.REFUSE for check in checks)


def test_allow_waives_what_it_names_or_all_that_is_not_locked() -> None:
    assert rule("all").waives_family("spf")
    assert rule("all", waive="spf,dnsbl").waives_family("dnsbl")
    assert not rule("all", waive="spf,dnsbl").waives_family("ptr")
    assert not rule("all", Action.HOLD).waives_family("spf")


def test_every_default_is_a_check_that_outsiders_were_promised() -> None:
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", check) for check in DEFAULTS)
