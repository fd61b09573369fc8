"""Short ways to say a rule, a fact, a finding."""

from ipaddress import ip_address
from itertools import count

from postern.mail.address import Address, parse_address
from postern.mail.finding import Finding, Result
from postern.policy.rules.book import Book
from postern.policy.rules.match import Facts, Match, parse_match
from postern.policy.rules.rule import Action, Rule, Scope, Treatment
from postern.policy.rules.shelf import Shelf

_serials = count(1)


def rule(
    words: str,
    action: Action = Action.ALLOW,
    scope: Scope = Scope.MAILBOX,
    *,
    waive: str = "",
    unproven: bool = False,
) -> Rule:
    """A rule as its author types it; each is later than the one before."""
    match = parse_match(words)
    assert isinstance(match, Match), match
    serial = next(_serials)
    waives = frozenset(waive.split(",")) if waive else frozenset()
    place = {Scope.MAILBOX: "wang@harbour.example", Scope.DOMAIN: "harbour.example"}.get(scope, "")
    return Rule(f"{scope.value}{serial}", scope, place, match, action, waives, unproven, serial)


def book(*rules: Rule, domain: str = "", system: str = "") -> Book:
    """The rules of one recipient; settings as ``"ptr.missing=off spf.fail=refuse"``."""
    shelves = {scope: Shelf(r for r in rules if r.scope is scope) for scope in Scope}
    return Book(
        shelves[Scope.MAILBOX],
        shelves[Scope.DOMAIN],
        shelves[Scope.SYSTEM],
        _settings(domain),
        _settings(system),
    )


def _settings(words: str) -> dict[str, Treatment]:
    pairs = (word.split("=") for word in words.split())
    return {check: Treatment(treatment) for check, treatment in pairs}


def address(text: str) -> Address:
    found = parse_address(text)
    assert found is not None
    return found


def facts(
    sender: str = "li@tea.example",
    *,
    author: str | None = None,
    ip: str = "198.51.100.24",
    proven: str = "",
    list_id: str | None = None,
    helo: str = "mail.tea.example",
    ptr: str = "",
    known: bool = False,
    at: float = 0.0,
) -> Facts:
    """What is known; ``author`` None: the header has not come yet."""
    has_header = author is not None
    return Facts(
        at,
        ip_address(ip),
        helo,
        ptr,
        address(sender) if sender else None,
        (address(author),) if author else (() if has_header else None),
        (list_id or "") if has_header else None,
        frozenset(proven.split()),
        known,
    )


def fail(check: str) -> Finding:
    return Finding(check, Result.FAIL, f"{check} was found")


def unknown(check: str, *could_be: str) -> Finding:
    return Finding(check, Result.COULDNT_TELL, f"{check} got no answer", could_be=could_be)
