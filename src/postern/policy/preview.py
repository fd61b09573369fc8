"""What a change of rules would have done to the mail of the last days, before anybody makes it.

Candidates are found by SQL (``sought``), and the judge alone says what would have become of them:
both times by today's rules, without the change and with it, so that nothing is put down to it
which another rule has done since.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network

from postern.journal.days import DAY_S, DayFile
from postern.journal.decided import DecisionQuery, DecisionRow
from postern.journal.decisions import DecisionReader, Kept
from postern.journal.findings import OTHER, bit_of, bits_of_family
from postern.journal.record import KNOWN, KNOWN_EARLY
from postern.journal.store.reading import DamagedFile
from postern.policy.replay import Outcome, Replay, Replayed
from postern.policy.rules.change import Change, Treated
from postern.policy.rules.match import Match, MatchKind
from postern.policy.rules.rule import Action, Rule, Scope
from postern.policy.store import Inventory

DAYS = 30
MAX_SENDERS = 10_000
"""Senders that are told apart; more are not counted any more."""
TOLD_EVERY = 2_000
"""Transactions between two words about how far it is."""

Progress = Callable[[float], None]
"""Told how much of the whole is done, from 0 to 1."""


@dataclass(slots=True)
class Friends:
    """Mail that would be freed and is proven to come from whom its recipient has written to."""

    messages: int = 0
    senders: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Preview:
    """What would have changed.

    Attributes:
        kept: what there was to judge.
        changes: how often one outcome would have become another.
        stays: how often nothing would have changed although the rule is about it and the mail is
            not simply accepted.
        listed: the newest changes, as many as were asked for.
        changed: how many changes there are in all.
        blind: how many of them are of messages that never came, refused at RCPT: judged by what
            was seen until then.
        unproven: mail that the rule would be about, had SPF or DKIM proven its sender.
        friends: of what would be freed, what comes from people the recipients have written to.
        damaged: files that could not be read whole.
    """

    kept: Kept
    changes: Counter[tuple[Outcome, Outcome]] = field(default_factory=Counter)
    stays: Counter[Outcome] = field(default_factory=Counter)
    listed: list[Replayed] = field(default_factory=list)
    changed: int = 0
    freed: int = 0
    blind: int = 0
    unproven: int = 0
    friends: Friends = field(default_factory=Friends)
    damaged: tuple[DamagedFile, ...] = ()

    def take(self, one: Replayed, most_listed: int) -> None:
        """Count one decision."""
        if not one.is_changed:
            self.unproven += one.is_unproven and one.before.gravity > 0
            if one.is_about and one.after.gravity > 0:
                self.stays[one.after] += 1
            return
        self.changed += 1
        self.changes[one.before, one.after] += 1
        self.blind += one.is_blind
        if len(self.listed) < most_listed:
            self.listed.append(one)
        if one.after.gravity < one.before.gravity:
            self._freed(one.row)

    def _freed(self, row: DecisionRow) -> None:
        self.freed += 1
        if not row.flags & (KNOWN_EARLY if row.found is None else KNOWN):
            return
        self.friends.messages += 1
        if len(self.friends.senders) < MAX_SENDERS:
            self.friends.senders.add(row.mail_from or "")


def preview(
    reader: DecisionReader,
    replay: Replay,
    query: DecisionQuery,
    *,
    most_listed: int = 0,
    tell: Progress | None = None,
) -> Preview:
    """Judge again what ``query`` finds (``sought``)."""
    found = Preview(reader.kept(query))
    files = reader.files(query.since)
    for done, file in enumerate(files):
        for turn, rows in enumerate(reader.transactions(file, query)):
            if tell is not None and turn % TOLD_EVERY == 0:
                tell((done + _part(file, rows[0].at)) / len(files))
            for one in replay.transaction(rows):
                found.take(one, most_listed)
    found.damaged = tuple(reader.damaged)
    return found


def _part(file: DayFile, at: float) -> float:
    """How much of a day file lies behind whoever reads it from its end."""
    return min(1.0, max(0.0, file.day + 1 - at / DAY_S))


# --- what to look at ------------------------------------------------------------------------------


def sought(change: Change, inventory: Inventory, since: float) -> DecisionQuery:
    """The decisions that a change could touch, or a few more."""
    if isinstance(change, Treated):
        return DecisionQuery(since, domain=change.domain, failed=bit_of(change.check))
    rule = change.rule
    return about(rule, since, _weighing(rule, inventory))


def about(rule: Rule, since: float, failed: int = 0) -> DecisionQuery:
    """The decisions that a rule may be about."""
    match = rule.match
    kind, value = match.kind, match.value
    return DecisionQuery(
        since,
        owner=rule.place if rule.scope is Scope.MAILBOX else "",
        domain=rule.place if rule.scope is Scope.DOMAIN else "",
        address=_value(match, MatchKind.ADDRESS),
        sender_domain=_value(match, MatchKind.DOMAIN),
        below=_value(match, MatchKind.BELOW),
        network=ip_network(value) if kind is MatchKind.NETWORK else None,
        helo=_value(match, MatchKind.HELO),
        ptr=_value(match, MatchKind.PTR),
        list_id=_value(match, MatchKind.LIST_ID),
        is_known=kind is MatchKind.KNOWN,
        failed=failed,
    )


def _value(match: Match, kind: MatchKind) -> str:
    return match.value if match.kind is kind else ""


def _weighing(rule: Rule, inventory: Inventory) -> int:
    """Bits of the checks without which a rule changes nothing; 0: it may change anything.

    What lets through changes only what something speaks against. A rule that lets all through also
    overrules those that block, hold or junk: where there are any, nothing can be left out.
    """
    if rule.action is not Action.ALLOW:
        return 0
    bits = 0
    for family in rule.waives:
        bits |= bits_of_family(family)
    if bits or inventory.has_harsh:
        return bits
    for check in inventory.weighing:
        bits |= bit_of(check)
    return bits | OTHER
