"""Who is suspicious, and for what."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from postern.mail.address import Address
from postern.mail.finding import Finding, Result
from postern.policy.greylist.suspicion import DYNAMIC, UNPROVEN, is_made_of, reason_of
from postern.policy.rules.match import Facts

CLEAN = Facts(
    0.0,
    ip_address("198.51.100.24"),
    "mail.tea.example",
    "mail.tea.example",
    Address("chen", "tea.example"),
    proven=frozenset({"tea.example"}),
)
WHOLE = replace(CLEAN, header_from=(), list_id="")


def found(check: str, result: Result) -> tuple[Finding, ...]:
    return (Finding("ptr.missing", Result.PASS, "it has one"), Finding(check, result, "so"))


@pytest.mark.parametrize(
    ("check", "result"),
    [
        ("ptr.missing", Result.FAIL),
        ("ptr.mismatch", Result.FAIL),
        ("helo.invalid", Result.FAIL),
        ("helo.unresolvable", Result.FAIL),
        ("spf.fail", Result.FAIL),
        ("spf.softfail", Result.FAIL),
        ("standards.early-talk", Result.FAIL),
        ("dnsbl.listed", Result.NOTE),
    ],
)
def test_what_speaks_against_a_client_is_a_reason(check: str, result: Result) -> None:
    assert reason_of(found(check, result), CLEAN) == check


@pytest.mark.parametrize(
    ("check", "result"),
    [
        ("spf.fail", Result.PASS),
        ("spf.fail", Result.NOTE),  # neutral, or none
        ("dkim.fail", Result.FAIL),
        ("dnsbl.listed", Result.PASS),
        # What nobody knows holds nothing up that its fail would not.
        ("dnsbl.couldnt-tell", Result.COULDNT_TELL),
        ("ptr.couldnt-tell", Result.COULDNT_TELL),
        ("helo.couldnt-tell", Result.COULDNT_TELL),
        ("mailfrom.dns-timeout", Result.COULDNT_TELL),
        ("spf.couldnt-tell", Result.COULDNT_TELL),
        ("standards.long-line", Result.FAIL),
    ],
)
def test_the_rest_is_none(check: str, result: Result) -> None:
    assert reason_of(found(check, result), CLEAN) == ""
    assert reason_of(found(check, result), WHOLE) == ""


def test_a_name_made_of_its_address_is_a_reason() -> None:
    facts = replace(CLEAN, ptr="24-100-51-198.dsl.isp.example")
    assert reason_of((), facts) == DYNAMIC


def test_mail_that_nobody_proves_is_one_only_once_dkim_had_its_say() -> None:
    nobody = replace(CLEAN, proven=frozenset())
    assert reason_of((), nobody) == ""
    whole = replace(nobody, header_from=(), list_id="")
    assert reason_of((), whole) == UNPROVEN
    assert reason_of(found("dkim.fail", Result.FAIL), whole) == UNPROVEN
    for silent in ("spf.couldnt-tell", "dkim.couldnt-tell"):
        assert reason_of(found(silent, Result.COULDNT_TELL), whole) == ""


@pytest.mark.parametrize(
    "name",
    [
        "198-51-100-24.dsl.isp.example",
        "24.100.51.198.dyn.isp.example",
        "ip198.51.100.24.isp.example",
        "c-198-051-100-024.isp.example",
        "host198051100024.isp.example",
        "ec2-198-51-100-24.region.cloud.example",
        "c6336418.isp.example",
    ],
)
def test_names_that_access_providers_give(name: str) -> None:
    assert is_made_of(name, ip_address("198.51.100.24"))


@pytest.mark.parametrize(
    "name",
    [
        "mail.tea.example",
        "mx24.tea.example",
        "out-198-51.provider.example",
        "198-51-100-25.isp.example",
        "mail-c633641800.isp.example",
        "o24.ptr198.example",
    ],
)
def test_names_that_mail_servers_have(name: str) -> None:
    assert not is_made_of(name, ip_address("198.51.100.24"))
    assert not is_made_of(name, ip_address("2001:db8::24"))
