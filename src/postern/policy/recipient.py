"""Verdicts as recipients get them: postmaster's own way, and recipients who differ."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import replace

from postern.mail.address import Address
from postern.mail.finding import Finding
from postern.policy.judge import Gravity, Judgement, judge
from postern.policy.known import (
    HasWritten,
    has_written_to_nobody,
    is_from_known,
    may_be_from_known,
)
from postern.policy.rules.book import Book
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import LOCKED, Treatment, family_of
from postern.policy.scanners.settings import CHECKS, Need
from postern.runtime.database.trouble import DatabaseTroubleError

ALWAYS_FOR_POSTMASTER = frozenset({"virus", "size", "rate"})
"""All that mail to postmaster is refused for: whoever was refused must be able to ask why."""


def is_postmaster(named: Address) -> bool:
    """True for the address that takes mail from everybody (RFC 5321 §4.5.1)."""
    return named.local.lower() == "postmaster"


def judge_for(
    named: Address,
    findings: Sequence[Finding],
    facts: Facts,
    book: Book,
    has_written: HasWritten = has_written_to_nobody,
) -> Judgement:
    """The verdict for the recipient that was called ``named``; ``book`` holds its rules.

    ``has_written``: whether its owner has written to an address; not asked for ordinary mail. Of
    junk it is asked for the record alone: a rule about the known would change what becomes of it.
    """
    if is_postmaster(named):
        kept = [one for one in findings if family_of(one.check) in ALWAYS_FOR_POSTMASTER]
        return judge(kept, facts, book.settings_alone())
    judged = judge(findings, facts, book)
    is_refused = judged.gravity >= Gravity.REFUSE_FOR_NOW
    if judged.gravity < Gravity.JUNK and not book.asks_known:
        return judged
    try:
        is_known = is_from_known(facts, has_written)
    except DatabaseTroubleError:
        if is_refused or book.asks_known:
            raise
        return judged  # the verdict is the same; only previews would like to know
    if is_known:
        return replace(judge(findings, replace(facts, is_known=True), book), is_known=True)
    if is_refused and not judged.waits and may_be_from_known(facts, has_written):
        lifted = judge(findings, replace(facts, is_known=True), book)
        if lifted.gravity < Gravity.REFUSE_FOR_NOW or lifted.waits:
            return replace(judged, awaits_proof=True)
    return judged


def for_outside(judgement: Judgement) -> Judgement:
    """The verdict for an address outside: junk is held, and never sent on in our name."""
    if judgement.gravity is Gravity.JUNK:
        return replace(judgement, gravity=Gravity.HOLD)
    return judgement


def need_of(books: Iterable[tuple[Address, Book]], families: Collection[str]) -> Need:
    """Which of the scanners of these families a message needs, for recipients with these rules.

    What nobody's verdict could rest on is not asked for, or not for long. Viruses are everybody's.
    """
    needed, pressing = {"virus"}, {"virus"}
    for named, book in books:
        for family in families:
            if is_postmaster(named) and family not in ALWAYS_FOR_POSTMASTER:
                continue
            treatment = book.setting(CHECKS[family]).treatment
            if treatment is not Treatment.OFF:
                needed.add(family)
            if treatment not in {Treatment.OFF, Treatment.NOTE}:
                pressing.add(family)
    return Need(frozenset(needed & set(families)), frozenset(needed - pressing))


def key_of_rules(
    named: Address, facts: Facts, book: Book, has_written: HasWritten = has_written_to_nobody
) -> Hashable:
    """Equal for recipients who cannot disagree about a message from this client.

    But for one of them having written to an author whom only the header will name.
    """
    if is_postmaster(named):
        return "postmaster"
    sender = facts.mail_from
    try:
        is_known = facts.is_known or (sender is not None and has_written(sender))
    except DatabaseTroubleError:  # taken for alike: where they differ after all it is held
        is_known = False
    return book.key(replace(facts, is_known=is_known))


def at_rcpt(judgements: Sequence[Judgement]) -> Judgement | None:
    """The judgement that refuses a recipient before its message has come; None: it may come.

    Several are of one address that leads to several mailboxes. Where one of them says "not now" the
    address does, for once the message is there it would make all recipients wait.
    """
    for one in judgements:
        if one.gravity is Gravity.REFUSE_FOR_NOW and not one.waits:
            return one
    if any(one.gravity < Gravity.REFUSE_FOR_NOW or one.waits for one in judgements):
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
