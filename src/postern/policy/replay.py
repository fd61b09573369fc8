"""Decisions judged again: by the rules as they are, and as they would be after a change.

The judge is asked what he was asked when the mail came, at RCPT and once the message was there,
and ``recipient`` makes one answer of those for several recipients, as it does for reception. What
the judge says of one decision is remembered: most mail of a month is alike to him.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from postern.journal.decided import DecisionRow
from postern.journal.findings import findings_of
from postern.journal.record import APART, OUTSIDE, WRITTEN
from postern.mail.address import Address
from postern.mail.finding import Result
from postern.policy.docket import facts_of, named_of, owner_of
from postern.policy.judge import Gravity, Judgement
from postern.policy.known import has_written_to_nobody
from postern.policy.recipient import at_end, at_rcpt, for_outside, judge_for
from postern.policy.rules.book import Book
from postern.policy.rules.change import Amended, BookSource, Change, Treated
from postern.policy.rules.match import Facts, Fit, fit
from postern.policy.rules.rule import Rule, Scope, checks_of
from postern.policy.rules.shelf import Shelf, keys_of
from postern.policy.store import Inventory

MAX_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a message for one recipient.

    ``check`` is what decided; empty for what is accepted. ``is_open``: the message would have been
    asked for before anything was decided; it never came, so nobody knows.
    """

    gravity: Gravity
    check: str = ""
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision, as it is by today's rules and as it would be.

    ``is_about``: the changed rule or setting has a say in it. ``is_unproven``: it would have, if
    SPF or DKIM had proven the sender.
    """

    row: DecisionRow
    before: Outcome
    after: Outcome
    is_about: bool
    is_unproven: bool

    @property
    def is_changed(self) -> bool:
        """True when something else becomes of the mail."""
        before, after = self.before, self.after
        return before.gravity is not after.gravity or before.is_open is not after.is_open

    @property
    def is_blind(self) -> bool:
        """True when the message itself never came: it is judged by what was seen until then."""
        return self.row.found is None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the judge says at RCPT, and once the message is there (None: it never came)."""

    early: Judgement
    late: Judgement | None


@dataclass(slots=True)
class _Case:
    """One kind of decision: by both books, and alone in its transaction."""

    before: _Asked
    after: _Asked
    is_about: bool
    is_unproven: bool
    alone: tuple[Outcome, Outcome] | None = None

    @property
    def has_say(self) -> bool:
        """True for mail that the change is about, or would be if its sender were proven."""
        return self.is_about or self.is_unproven


@dataclass(slots=True)
class _Pair:
    """A recipient's book without and with the change, and the rules in both that name some mail."""

    number: int
    before: Book
    after: Book
    naming: tuple[Shelf, ...] = field(default=())


_Key = tuple[object, ...]


class Replay:
    """Judges decisions by both rule books. ``now``: rules that are over by then do not count."""

    def __init__(self, books: BookSource, change: Change, inventory: Inventory, now: float) -> None:
        self._books = books
        self._amended = Amended(books, change)
        self._change = change
        self._now = now
        self._places = set(inventory.places)
        self._domains = {place for scope, place in inventory.places if scope is Scope.DOMAIN}
        self._domains |= inventory.treated_domains
        if isinstance(change, Treated):
            self._domains.add(change.domain)
        elif change.rule.scope is Scope.DOMAIN:
            self._domains.add(change.rule.place)
        else:
            self._places.add((change.rule.scope, change.rule.place))
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._cases: dict[_Key, _Case] = {}
        self._fittings: dict[_Key, _Key] = {}

    def transaction(self, rows: Sequence[DecisionRow]) -> list[Replayed]:
        """All decisions of one transaction.

        Where the change has no say in any of them, nothing changes: that a rule by what only the
        header tells has every refusal wait for the header is not put down as a change.
        """
        cases = [self._case(row) for row in rows]
        if len(cases) == 1:
            (row,), (case,) = rows, cases
            if case.alone is None:
                (before,) = outcomes(rows, [case.before])
                (after,) = outcomes(rows, [case.after]) if case.has_say else (before,)
                case.alone = before, after
            return [Replayed(row, *case.alone, case.is_about, case.is_unproven)]
        befores = afters = outcomes(rows, [case.before for case in cases])
        if any(case.has_say for case in cases):
            afters = outcomes(rows, [case.after for case in cases])
        return [
            Replayed(row, before, after, case.is_about, case.is_unproven)
            for row, before, after, case in zip(rows, befores, afters, cases, strict=True)
        ]

    def _case(self, row: DecisionRow) -> _Case:
        pair = self._pair(row)
        fitting = self._fitting(row, pair) if pair.naming else ()
        key: _Key = (pair.number, row.early, row.found, row.flags, fitting)
        case = self._cases.get(key)
        if case is None:
            if len(self._cases) >= MAX_REMEMBERED:
                self._cases.clear()
            self._cases[key] = case = self._judge(row, pair)
        return case

    def _fitting(self, row: DecisionRow, pair: _Pair) -> _Key:
        """What the rules make of what this mail shows; empty where none knows it by name.

        Beside the findings that is all the judge looks at: which rules fit, and by that which may
        still fit once the header is there.
        """
        key = (pair.number, row.flags, row.found is None, *tuple(row)[_FACTS])
        known = self._fittings.get(key)
        if known is None:
            if len(self._fittings) >= MAX_REMEMBERED:
                self._fittings.clear()
            self._fittings[key] = known = self._find_fitting(row, pair)
        return known

    def _find_fitting(self, row: DecisionRow, pair: _Pair) -> _Key:
        is_whole = row.found is not None
        facts = facts_of(row, self._now, early=not is_whole)
        names = tuple(keys_of(facts))
        if not any(shelf.names(facts, names) for shelf in pair.naming):
            return ()
        seen = (facts, facts_of(row, self._now, early=True)) if is_whole else (facts,)
        books = (pair.before, pair.after)
        labels = [tuple(r.label for r in book.fitting(one)) for book in books for one in seen]
        return (*labels, self._say(row, pair, facts))

    def _say(self, row: DecisionRow, pair: _Pair, facts: Facts) -> tuple[bool, bool]:
        """Whether the change has a say in this mail, and whether it would if it were proven."""
        if isinstance(self._change, Treated):
            return self._finds(row), False
        if pair.after is pair.before:
            return False, False
        rule = self._change.rule
        is_about = _fits(rule, facts, needs_proof=rule.needs_proof)
        return is_about, not is_about and _fits(rule, facts, needs_proof=False)

    def _pair(self, row: DecisionRow) -> _Pair:
        """Whoever has no rules of his own shares the book of all who have none."""
        owner = row.owner if (Scope.MAILBOX, row.owner) in self._places else ""
        domain = row.domain if row.domain in self._domains else ""
        pair = self._pairs.get((owner, domain))
        if pair is None:
            mailbox = owner_of(row)
            before = self._books.of(mailbox, row.domain)
            after = self._amended.amended(before, mailbox, row.domain)
            shelves = {
                id(shelf): shelf
                for book in (before, after)
                for shelf in (book.mailbox, book.domain, book.system)
                if shelf.has_names
            }
            pair = _Pair(len(self._pairs), before, after, tuple(shelves.values()))
            self._pairs[owner, domain] = pair
        return pair

    def _judge(self, row: DecisionRow, pair: _Pair) -> _Case:
        named = named_of(row)
        early = facts_of(row, self._now, early=True)
        late = None if row.found is None else facts_of(row, self._now, early=False)
        before = _asked(row, named, early, late, pair.before)
        after = before
        if pair.after is not pair.before:
            after = _asked(row, named, early, late, pair.after)
        return _Case(before, after, *self._say(row, pair, late or early))

    def _finds(self, row: DecisionRow) -> bool:
        assert isinstance(self._change, Treated)
        check = self._change.check
        return any(
            one.check == check or check in (one.could_be or checks_of(one.family))
            for text in (row.early, row.found or "")
            for one in findings_of(text)
            if one.check == check or one.result is Result.COULDNT_TELL
        )


_FACTS = slice(DecisionRow._fields.index("ip"), DecisionRow._fields.index("early"))


def _fits(rule: Rule, facts: Facts, *, needs_proof: bool) -> bool:
    return fit(rule.match, facts, needs_proof=needs_proof) is Fit.YES


def _has_written(_sender: Address) -> bool:
    return True


def _asked(
    row: DecisionRow, named: Address, early: Facts, late: Facts | None, book: Book
) -> _Asked:
    has_written = _has_written if row.flags & WRITTEN else has_written_to_nobody
    at_rcpt_ = judge_for(named, findings_of(row.early), early, book, has_written)
    at_end_ = None
    if late is not None and row.found is not None:
        at_end_ = judge_for(named, findings_of(row.found), late, book)
    if row.flags & OUTSIDE:
        return _Asked(for_outside(at_rcpt_), None if at_end_ is None else for_outside(at_end_))
    return _Asked(at_rcpt_, at_end_)


def outcomes(rows: Sequence[DecisionRow], asked: Sequence[_Asked]) -> list[Outcome]:
    """What becomes of one message for each of its recipients."""
    found: list[Outcome | None] = [None] * len(rows)
    recipients = [
        list(places) for _, places in groupby(range(len(rows)), lambda at: _name(rows[at]))
    ]
    for places in recipients:
        _refuse(found, places, at_rcpt([asked[at].early for at in places]))
    together = recipients if rows[0].flags & APART else [list(range(len(rows)))]
    for places in together:
        inside = [at for at in places if found[at] is None]
        late = [one for at in inside if (one := asked[at].late) is not None]
        _refuse(found, inside, at_end(late))
    return [out or _by_itself(one) for one, out in zip(asked, found, strict=True)]


def _name(row: DecisionRow) -> str:
    return row.named or row.owner


def _refuse(found: list[Outcome | None], places: Sequence[int], refusing: Judgement | None) -> None:
    if refusing is not None:
        for at in places:
            found[at] = _outcome(refusing)


def _by_itself(asked: _Asked) -> Outcome:
    if asked.late is None:
        if asked.early.waits and asked.early.gravity >= Gravity.REFUSE_FOR_NOW:
            return Outcome(asked.early.gravity, _check(asked.early), is_open=True)
        return _outcome(asked.early)
    if asked.late.gravity is Gravity.REFUSE:
        return Outcome(Gravity.HOLD, _check(asked.late))  # others take it: nothing may bounce
    return _outcome(asked.late)


def _outcome(judgement: Judgement) -> Outcome:
    return Outcome(judgement.gravity, _check(judgement))


def _check(judgement: Judgement) -> str:
    return "" if judgement.because is None else judgement.because.check
