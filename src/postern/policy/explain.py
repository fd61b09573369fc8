"""What a recipient's rules come to, before any mail: for whoever asks, and for whoever adds a rule.

Nothing is reckoned here: ``judge`` is asked, as it is for mail, with one finding at a time.
"""

from dataclasses import dataclass, replace
from ipaddress import ip_network

from postern.mail.address import Address, parse_address
from postern.mail.finding import Finding, Result
from postern.policy.judge import Gravity, Judgement
from postern.policy.recipient import is_postmaster, judge_for
from postern.policy.rules.book import Book, Setting, nearness, rank
from postern.policy.rules.match import Facts, Match, MatchKind
from postern.policy.rules.rule import DEFAULTS, UNTOLD, Action, Rule, family_of, is_locked


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check as it stands for a recipient and some mail.

    Attributes:
        gravity: what a fail (or not to know) leads to, by itself, for this mail.
        waived_by: the rule that switches it off for this mail.
        elsewhere: rules that switch it off for other mail.
    """

    check: str
    setting: Setting
    gravity: Gravity
    waived_by: Rule | None
    elsewhere: tuple[Rule, ...]

    @property
    def is_locked(self) -> bool:
        """True for what nobody can waive, nor set otherwise."""
        return is_locked(self.check)


@dataclass(frozen=True, slots=True)
class Explanation:
    """All checks, and what the rules say of mail that no check has anything against."""

    checks: tuple[CheckLine, ...]
    clean: Judgement
    fitting: tuple[Rule, ...]


def explain(named: Address, book: Book, facts: Facts) -> Explanation:
    """What the rules in ``book`` make of mail like ``facts`` for the recipient called ``named``."""
    fitting = () if is_postmaster(named) else tuple(book.fitting(facts))
    lines = tuple(_line(check, named, book, facts, fitting) for check in (*DEFAULTS, *UNTOLD))
    return Explanation(lines, judge_for(named, (), facts, book), fitting)


def _line(
    check: str, named: Address, book: Book, facts: Facts, fitting: tuple[Rule, ...]
) -> CheckLine:
    result = Result.COULDNT_TELL if check in UNTOLD else Result.FAIL
    judged = judge_for(named, (Finding(check, result, "asked"),), facts, book)
    weighed = judged.weighed[0] if judged.weighed else None
    family = family_of(check)
    elsewhere = tuple(
        rule
        for shelf in (book.mailbox, book.domain, book.system)
        for rule in shelf.rules
        if rule.waives_family(family) and rule not in fitting and not rule.is_over(facts.at)
    )
    gravity = Gravity.ACCEPT if weighed is None else weighed.gravity
    waived_by = None if weighed is None else weighed.waived_by
    return CheckLine(check, book.setting(check), gravity, waived_by, elsewhere)


def overlap(rule: Rule, book: Book, now: float) -> str:
    """Which other rule ``rule`` stands in the way of, or the other way round; empty: none.

    Asked with the plainest mail that the rule is about. ``book``: as it is without the rule.
    """
    facts = replace(typical(rule.match), at=now)
    before = _deciding(book, facts)
    if rule.waives or before is None or before.action is rule.action:
        return ""
    if rank(rule) < rank(before):
        return f"it decides from now on where {before.label} ({before.match}) decided"
    nearer = nearness(before.scope) < nearness(rule.scope)
    why = "nearer" if nearer else "more particular"
    return f"{before.label} ({before.match}) still decides, for it is {why}"


def _deciding(book: Book, facts: Facts) -> Rule | None:
    """The rule that decides about mail nothing else is known of."""
    for rule in book.fitting(facts):
        if not (rule.action is Action.ALLOW and rule.waives):
            return rule
    return None


def typical(match: Match) -> Facts:
    """The plainest mail that ``match`` names, proven and with its header."""
    facts = Facts(0.0, header_from=(), list_id="")
    value = match.value
    match match.kind:
        case MatchKind.ADDRESS:
            address = parse_address(value)
            return facts if address is None else _from(facts, address)
        case MatchKind.DOMAIN | MatchKind.BELOW:
            return _from(facts, Address("anybody", value))
        case MatchKind.NETWORK:
            return replace(facts, ip=ip_network(value).network_address)
        case MatchKind.PTR:
            return replace(facts, ptr=value)
        case MatchKind.HELO:
            return replace(facts, helo=value, proven=frozenset({value}))
        case MatchKind.LIST_ID:
            return replace(facts, list_id=value, proven=frozenset({value}))
        case MatchKind.KNOWN:
            return replace(facts, is_known=True)
        case MatchKind.ALL:
            return facts


def _from(facts: Facts, address: Address) -> Facts:
    return replace(facts, mail_from=address, proven=frozenset({address.domain}))
