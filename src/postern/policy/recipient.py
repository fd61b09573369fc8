"""Verdicts as recipients get them: postmaster's own way, and recipients who differ."""

from collections.abc import Hashable, Sequence

from postern.mail.address import Address
from postern.mail.finding import Finding
from postern.policy.judge import Gravity, Judgement, judge
from postern.policy.rules.book import Book
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import LOCKED, family_of

ALWAYS_FOR_POSTMASTER = frozenset({"virus", "size", "rate"})
"""All that mail to postmaster is refused for: whoever was refused must be able to ask why."""


def is_postmaster(named: Address) -> bool:
    """True for the address that takes mail from everybody (RFC 5321 §4.5.1)."""
    return named.local.lower() == "postmaster"


def judge_for(named: Address, findings: Sequence[Finding], facts: Facts, book: Book) -> Judgement:
    """The verdict for the recipient that was called ``named``; ``book`` holds its rules."""
    if not is_postmaster(named):
        return judge(findings, facts, book)
    kept = [one for one in findings if family_of(one.check) in ALWAYS_FOR_POSTMASTER]
    return judge(kept, facts, Book())


def key_of_rules(named: Address, facts: Facts, book: Book) -> Hashable:
    """Equal for recipients who cannot disagree about a message from this client."""
    return "postmaster" if is_postmaster(named) else book.key(facts)


def at_rcpt(judgements: Sequence[Judgement]) -> Judgement | None:
    """The judgement that refuses a recipient before its message has come; None: it may come.

    Several are of one address that leads to several mailboxes. Where one of them says "not now" the
    address does, for once the message is there it would make all recipients wait.
    """
    for one in judgements:
        if one.gravity is Gravity.REFUSE_FOR_NOW and one.awaits is None:
            return one
    if any(one.gravity < Gravity.REFUSE_FOR_NOW or one.awaits is not None for one in judgements):
        return None
    return judgements[0] if judgements else None


def at_end(judgements: Sequence[Judgement]) -> Judgement | None:
    """The judgement that refuses a message for all; None where some take it, or have it held.

    All: the recipients of the message where it has one answer, the places that one recipient leads
    to where each recipient has its own.

    What nobody may have, and what nobody wants, is refused. Where one says "not now", all wait. Who
    would refuse what another takes gets it held: nothing bounces to a sender who may be forged.
    """
    refused = [one for one in judgements if one.gravity is Gravity.REFUSE]
    for one in refused:
        if one.because is not None and family_of(one.because.check) in LOCKED:
            return one
    for one in judgements:
        if one.gravity is Gravity.REFUSE_FOR_NOW:
            return one
    return refused[0] if refused and len(refused) == len(judgements) else None
