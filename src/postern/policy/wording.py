"""Rules and verdicts in words, as they are printed and shown."""

from postern.policy.judge import Gravity
from postern.policy.rules.match import MatchKind
from postern.policy.rules.rule import UNTOLD, Action, Rule, Scope, Treatment

_ACTIONS = {
    Action.ALLOW: "let through",
    Action.BLOCK: "block",
    Action.HOLD: "hold",
    Action.JUNK: "put into Junk",
}
_KINDS = {
    MatchKind.HELO: "servers that call themselves ",
    MatchKind.PTR: "servers named ",
    MatchKind.LIST_ID: "the list ",
}


def rule_in_words(rule: Rule) -> str:
    """``let through @partner.example if SPF or DKIM proves it, waive mailfrom``."""
    words = f"{_ACTIONS[rule.action]} {_about(rule)}"
    if rule.needs_proof:
        words += " if SPF or DKIM proves it"
    if rule.waives:
        words += f", waive {', '.join(sorted(rule.waives))}"
    return words


def _about(rule: Rule) -> str:
    match = rule.match
    match match.kind:
        case MatchKind.ALL:
            return "all mail"
        case MatchKind.KNOWN:
            return "whom this mailbox has written to"
        case MatchKind.HELO | MatchKind.PTR | MatchKind.LIST_ID:
            return f"{_KINDS[match.kind]}{match.value}"
        case _:
            return str(match)


def place_in_words(rule: Rule) -> str:
    """Whose mail it is about."""
    return "everybody" if rule.scope is Scope.SYSTEM else rule.place


GRAVITIES = {
    Gravity.ACCEPT: "delivered",
    Gravity.JUNK: "junk",
    Gravity.HOLD: "held",
    Gravity.REFUSE_FOR_NOW: "refused for now",
    Gravity.REFUSE: "refused",
}
"""What becomes of mail."""

TREATMENTS = {
    Treatment.OFF: "off",
    Treatment.NOTE: "only noted",
    Treatment.JUNK: "junk",
    Treatment.HOLD: "held",
    Treatment.REFUSE: "refused",
}
"""What a check's fail leads to."""


def treatment_in_words(check: str, treatment: Treatment) -> str:
    """What ``check`` leads to when it is treated so."""
    if check not in UNTOLD:
        return TREATMENTS[treatment]
    words = {Treatment.REFUSE: "refused for now", Treatment.NOTE: "passed on with a mark"}
    return words.get(treatment, TREATMENTS[treatment])
