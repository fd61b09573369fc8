"""The openspf.org test suite for RFC 7208; where it is from and its licence stand in the file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.mail.spf.asking import check

from postern.runtime.resolver.fake import FakeResolver

SUITE: dict[str, Any] = json.loads(
    Path(__file__).with_name("rfc7208_suite.json").read_text("utf-8")
)
TYPES = ("TXT", "A", "AAAA", "MX", "PTR")


@dataclass(frozen=True)
class Case:
    name: str
    scenario: str
    test: dict[str, Any]
    zone: dict[str, list[list[str]]]


CASES = [
    Case(name, scenario["description"], test, scenario["zone"])
    for scenario in SUITE["scenarios"]
    for name, test in scenario["tests"].items()
]


def resolver_of(zone: dict[str, list[list[str]]]) -> FakeResolver:
    """Answers from a zone; aliases are followed here, as a resolver follows them."""
    resolver = FakeResolver()
    for name in zone:
        rows = follow(zone, name)
        if rows is None:
            for type_ in TYPES:
                resolver.fail(name, type_)
            continue
        for type_ in TYPES:
            records = [value for kind, value in rows if kind == type_]
            if records:
                resolver.add(name, type_, *records)
            elif ["*", "TIMEOUT"] in rows:
                resolver.time_out(name, type_)
        if not rows:
            resolver.add(name, "NS", "ns.test")  # the name exists
    return resolver


def follow(zone: dict[str, list[list[str]]], name: str) -> list[list[str]] | None:
    """What stands at the end of the aliases that begin at ``name``; None when they go round."""
    for _ in range(8):
        rows = zone.get(name.lower(), [])
        alias = next((value for kind, value in rows if kind == "CNAME"), None)
        if alias is None:
            return rows
        name = alias
    return None


def test_the_suite_is_whole_and_carries_its_licence() -> None:
    assert len(CASES) == 203
    assert any("Redistribution" in line for line in SUITE["license"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_openspf_suite(case: Case) -> None:
    test = case.test
    sender, helo = test["mailfrom"] or f"postmaster@{test['helo']}", test["helo"]
    result = check(resolver_of(case.zone), test["host"], sender, helo)
    assert result.code.value in test["results"], (case.scenario, test, result)
    if "explanation" in test:
        # DEFAULT is the driver's word for an explanation of the receiver's own.
        spoken = "" if test["explanation"] == "DEFAULT" else test["explanation"]
        assert result.explanation == spoken
