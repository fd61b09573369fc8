"""The rule that lets a sender through whose mail was just released."""

from dataclasses import dataclass

from postern.cli.site import author
from postern.directory.model import Refused
from postern.directory.store.site import SiteStore
from postern.policy.rules.draft import FAMILIES, Draft
from postern.policy.rules.match import MatchFlaw, parse_match
from postern.policy.rules.rule import LOCKED, Action, Scope, Treatment, family_of
from postern.policy.rules.store import Books, RuleStore
from postern.policy.wording import rule_in_words
from postern.queue.quarantine import HeldMail
from postern.runtime.clock import SystemClock

_MILD = frozenset({Treatment.OFF, Treatment.NOTE})


@dataclass(frozen=True, slots=True)
class Made:
    """The rule's label, empty where none was made, and what to say about it."""

    label: str
    text: str


def allow_sender(site: SiteStore, mail: HeldMail, lasts_s: float) -> Made:
    """The narrowest rule that lets the same mail through next time, for that mailbox alone.

    Where SPF or DKIM proves the sender it is about his address, and wants that proof again. Where
    nothing does, an address is what anyone may write: then it is about the server that came. It
    waives what was found against the mail; where a rule stopped it, all that can be waived.
    """
    by_address = mail.is_proven and bool(mail.mail_from)
    match = parse_match(mail.mail_from if by_address else mail.client_ip)
    if isinstance(match, MatchFlaw):
        return Made("", "nothing of its sender is sure enough for a rule; none was made")
    draft = Draft(
        Action.ALLOW,
        match,
        Scope.MAILBOX,
        mail.owner,
        f"released from quarantine {mail.id}",
        waives=_waived(site, mail),
        lasts_s=lasts_s,
    )
    made = RuleStore(site.database, SystemClock(), author()).add(draft)
    if isinstance(made, Refused):
        return Made("", f"no rule was made: {made.text}")
    label = made.rule.label
    text = f"added {label}: {rule_in_words(made.rule)}; undo: postern rule end {label}"
    if not by_address:
        text += " (nothing proves the sender's address, so the rule is about the server)"
    return Made(label, text)


def _waived(site: SiteStore, mail: HeldMail) -> frozenset[str]:
    """Families of what was found and counts for this mailbox; none named: all."""
    if mail.held_for.startswith("rule."):
        return frozenset()
    book = Books(site.database, SystemClock()).for_place(Scope.MAILBOX, mail.owner)
    counting = [check for check in mail.failed if book.setting(check).treatment not in _MILD]
    families = {family_of(check) for check in (*counting, mail.held_for)}
    return frozenset(families & FAMILIES - LOCKED)
