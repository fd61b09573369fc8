"""Rules that stand in each other's way, told by the rules themselves, before any mail.

One rule *covers* another when it is about every mail that the other is about. A rule that comes
first and covers another may leave it nothing to do (it is *shadowed*), and one in the middle of a
wider one takes some mail from it. ``judge`` says what comes first and what is left to do then.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from postern.policy.rules.book import Book, rank
from postern.policy.rules.match import Match, MatchKind, is_within
from postern.policy.rules.rule import Action, Rule
from postern.runtime.clock import rfc3339

MAX_TOLD = 5

_DOES = {
    Action.ALLOW: "lets all of them through",
    Action.BLOCK: "blocks all of them",
    Action.HOLD: "holds all of them",
    Action.JUNK: "puts all of them into Junk",
}


def shadows(rule: Rule, book: Book, now: float) -> list[str]:
    """Which rules ``rule`` shadows, and which one shadows it: sentences without a full stop.

    ``book``: its own scope and wider ones, as they are without the rule.
    """
    others = [
        other
        for shelf in (book.mailbox, book.domain, book.system)
        for other in shelf.rules
        if not other.is_over(now)
    ]
    before = [other for other in others if rank(other) < rank(rule)]
    for other in before:
        if _covers(other, rule) and _leaves_nothing(other, rule):
            return [_shadowed_by(other, rule)]
    told = [text for other in others if rank(other) > rank(rule) for text in _taken(rule, other)]
    more = len(told) - MAX_TOLD
    return told if more <= 0 else [*told[:MAX_TOLD], f"and {more} more rules decide less"]


def _shadowed_by(other: Rule, rule: Rule) -> str:
    until = ""
    if other.until is not None and (rule.until is None or rule.until > other.until):
        until = f", until {rfc3339(other.until)[:10]}"
    if other.waives:
        return f"it changes nothing: {other.label} ({other.match}) waives that already{until}"
    return f"it never decides: {other.label} ({other.match}) {_DOES[other.action]} first{until}"


def _taken(rule: Rule, other: Rule) -> Iterator[str]:
    """What ``rule`` takes from ``other``, which comes after it."""
    is_all = _covers(rule, other)
    if is_all and rule.scope is other.scope and _leaves_nothing(rule, other):
        yield f"from now on {other.label} ({other.match}) never decides"
    elif (is_all or _covers(other, rule)) and _takes(rule, other):
        narrower = other.match if is_all else rule.match
        to = "" if rule.scope is other.scope else f" to {rule.place}"
        if rule.needs_proof and not other.needs_proof:
            to += " if SPF or DKIM proves it"
        yield f"from now on {other.label} ({other.match}) no longer decides for {narrower}{to}"


def _takes(rule: Rule, other: Rule) -> bool:
    """Whether mail that both are about has another fate because ``rule`` comes first."""
    if rule.waives or (rule.action is not Action.BLOCK and other.waives):
        return False
    return rule.action is not other.action


def _leaves_nothing(first: Rule, second: Rule) -> bool:
    """Whether a rule that comes first and covers another leaves it nothing to do (``judge``)."""
    is_waiver = second.action is Action.ALLOW
    match first.action:
        case Action.BLOCK:
            return True
        case Action.ALLOW if first.waives:
            return is_waiver and bool(second.waives) and second.waives <= first.waives
        case Action.ALLOW:
            return True
        case _:
            return not is_waiver  # what waives checks still waives them for mail that is held


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Whether ``wide`` is about every mail that ``narrow`` is about."""
    if wide.needs_proof and not narrow.needs_proof:
        return False
    return _names_all(wide.match, narrow.match)


def _names_all(wide: Match, narrow: Match) -> bool:
    match wide.kind:
        case MatchKind.ALL:
            return True
        case MatchKind.BELOW if narrow.kind in {MatchKind.BELOW, MatchKind.DOMAIN}:
            return is_within(narrow.value, wide.value)
        case MatchKind.BELOW if narrow.kind is MatchKind.ADDRESS:
            return is_within(_domain(narrow), wide.value)
        case MatchKind.DOMAIN if narrow.kind is MatchKind.ADDRESS:
            return _domain(narrow) == wide.value
        case MatchKind.NETWORK if narrow.kind is MatchKind.NETWORK:
            return _holds(ip_network(wide.value), ip_network(narrow.value))
        case _:
            return wide == narrow


def _domain(match: Match) -> str:
    return match.value.rpartition("@")[2]


def _holds(wide: IPv4Network | IPv6Network, narrow: IPv4Network | IPv6Network) -> bool:
    if isinstance(wide, IPv4Network):
        return isinstance(narrow, IPv4Network) and narrow.subnet_of(wide)
    return isinstance(narrow, IPv6Network) and narrow.subnet_of(wide)
