"""What a preview says is what the judge says: of any mail, any rules, any change of them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.policy.making import address, fail, unknown

from postern.journal.decided import DecisionQuery
from postern.journal.decisions import DecisionReader
from postern.journal.findings import CHECKS, OTHER, bit_of, bits_of, bits_of_family
from postern.journal.record import HeardRecord
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.mail.address import Address
from postern.mail.finding import Finding
from postern.policy.docket import Docket
from postern.policy.judge import Gravity, Judgement
from postern.policy.preview import Preview, preview, sought
from postern.policy.recipient import at_end, at_rcpt, for_outside, judge_for
from postern.policy.replay import Replay
from postern.policy.rules.book import Book
from postern.policy.rules.change import Added, Amended, Change, Ended, Treated
from postern.policy.rules.match import Facts, Fit, Match, fit, parse_match
from postern.policy.rules.rule import (
    DEFAULTS,
    FOR_NOW,
    MILD,
    Action,
    Rule,
    Scope,
    Treatment,
    checks_of,
    family_of,
)
from postern.policy.rules.shelf import Shelf
from postern.policy.store import Inventory
from postern.runtime.clock import FakeClock

NOW = 1_779_192_000.0
OWNERS = ("wang@harbour.example", "li@harbour.example", "ann@pier.example", "desk@far.example")
OUTSIDE = "far.example"
SENDERS = ("chen@tea.example", "ann@shop.tea.example", "x@offers.example", "")
FOUND = (
    "ptr.missing", "ptr.mismatch", "dnsbl.listed", "spf.fail", "spf.softfail", "mailfrom.no-mx",
    "dmarc.reject", "dmarc.quarantine", "virus.found", "standards.header", "greylist.wait",
    "new.check",
)  # fmt: skip
MATCHES = (
    "chen@tea.example", "@tea.example", "@*.tea.example", "198.51.100.24", "198.51.100.0/24",
    "2001:db8::/32", "helo:mail.tea.example", "ptr:mail.tea.example", "list:deals.offers.example",
    "known", "all", "@offers.example",
)  # fmt: skip


@dataclass(frozen=True)
class Mail:
    """One transaction as reception saw it; ``late`` None: the client left after RCPT."""

    is_apart: bool
    named: tuple[Address, ...]
    early: Facts
    late: Facts | None
    found_early: tuple[Finding, ...]
    found: tuple[Finding, ...]


class Shelves:
    """Books in memory."""

    def __init__(
        self, rules: Sequence[Rule], treatments: dict[str, dict[str, Treatment]] | None = None
    ) -> None:
        self.rules = list(rules)
        self.treatments = treatments or {}
        self._shelves: dict[tuple[Scope, str], Shelf] = {}

    def of(self, mailbox: Address, domain: str = "") -> Book:
        domain = domain or mailbox.domain
        return Book(
            self._of(Scope.MAILBOX, mailbox.key),
            self._of(Scope.DOMAIN, domain),
            self._of(Scope.SYSTEM, ""),
            self.treatments.get(domain, {}),
            self.treatments.get("", {}),
        )

    def _of(self, scope: Scope, place: str) -> Shelf:
        found = [rule for rule in self.rules if (rule.scope, rule.place) == (scope, place)]
        return self._shelves.setdefault((scope, place), Shelf(found))

    def inventory(self) -> Inventory:
        weighing = {check for check, treatment in DEFAULTS.items() if treatment not in MILD}
        for settings in self.treatments.values():
            weighing |= {check for check, one in settings.items() if one not in MILD}
        return Inventory(
            frozenset((rule.scope, rule.place) for rule in self.rules),
            frozenset(domain for domain in self.treatments if domain),
            frozenset(weighing),
            any(rule.action is not Action.ALLOW for rule in self.rules),
        )


# --- mail and rules at random ---------------------------------------------------------------------


def some_findings(dice: random.Random) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for check in dice.sample(FOUND, dice.choice((0, 0, 1, 1, 2, 3))):
        family = family_of(check)
        if dice.random() < 0.7:
            found.append(fail(check))
        else:
            might = dice.choice(((), checks_of(family)[:1]))
            found.append(unknown(f"{family}.couldnt-tell", *might))
    return tuple(found)


def some_mail(dice: random.Random) -> Mail:
    sender = dice.choice(SENDERS)
    proven = frozenset(dice.sample(("tea.example", "offers.example"), dice.choice((0, 1))))
    early = Facts(
        NOW,
        ip_address(dice.choice(("198.51.100.24", "198.51.100.99", "203.0.113.5", "2001:db8::1"))),
        dice.choice(("mail.tea.example", "srv")),
        dice.choice(("", "mail.tea.example")),
        address(sender) if sender else None,
        proven=proven,
        is_known=bool(proven) and dice.random() < 0.3,
    )
    late = None
    if dice.random() < 0.8:
        authors = dice.sample([one for one in SENDERS if one], dice.choice((0, 1, 1, 2)))
        late = replace(
            early,
            header_from=tuple(map(address, authors)),
            list_id=dice.choice(("", "", "deals.offers.example")),
            proven=proven | frozenset(dice.sample(("tea.example", "shop.tea.example"), 1)),
        )
    names = [address(one) for one in dice.sample(OWNERS, dice.choice((1, 1, 1, 2, 3)))]
    if dice.random() < 0.05:
        names[0] = address("postmaster@harbour.example")
    found_early = some_findings(dice)
    return Mail(
        dice.random() < 0.3,
        tuple(names),
        early,
        late,
        found_early,
        found_early + some_findings(dice),
    )


def some_rule(dice: random.Random, serial: int) -> Rule:
    match = parse_match(dice.choice(MATCHES))
    assert isinstance(match, Match)
    action = dice.choice((Action.ALLOW, Action.ALLOW, Action.BLOCK, Action.HOLD, Action.JUNK))
    scope = dice.choice(tuple(Scope))
    place = {Scope.MAILBOX: dice.choice(OWNERS), Scope.DOMAIN: "harbour.example"}.get(scope, "")
    waives = dice.sample(("ptr", "dnsbl", "spf", "dmarc", "mailfrom"), dice.choice((0, 0, 1, 2)))
    return Rule(
        f"{scope.value}{serial}",
        scope,
        place,
        match,
        action,
        frozenset(waives) if action is Action.ALLOW else frozenset(),
        dice.random() < 0.4,
        serial,
        dice.choice((None, None, None, NOW - 1, NOW + 1)),
    )


def some_change(dice: random.Random, books: Shelves) -> Change:
    kind = dice.random()
    if kind < 0.25:
        domain = dice.choice(("", "harbour.example"))
        return Treated(dice.choice(FOUND[:10]), dice.choice((*Treatment, None)), domain)
    if kind < 0.45 and books.rules:
        return Ended(dice.choice(books.rules))
    return Added(some_rule(dice, 1 << 40))


# --- as reception does it -------------------------------------------------------------------------


def judged(mail: Mail, named: Address, books: Shelves | Amended, *, early: bool) -> Judgement:
    facts = mail.early if early else mail.late
    assert facts is not None
    book = books.of(named, named.domain)
    one = judge_for(named, mail.found_early if early else mail.found, facts, book)
    return for_outside(one) if named.domain == OUTSIDE else one


def fates(mail: Mail, books: Shelves | Amended) -> dict[str, str]:
    """What becomes of the mail for each of its recipients, word for word."""
    told: dict[str, str] = {}
    inside: list[Address] = []
    for named in mail.named:
        early = judged(mail, named, books, early=True)
        if at_rcpt([early]) is not None:
            told[named.key] = early.gravity.name
        elif mail.late is not None:
            inside.append(named)
        else:
            told[named.key] = early.gravity.name
    late = [judged(mail, named, books, early=False) for named in inside]
    for named, one in zip(inside, late, strict=True):
        refusing = at_end([one] if mail.is_apart else late)
        gravity = one.gravity if refusing is None else refusing.gravity
        is_kept = refusing is None and gravity is Gravity.REFUSE
        told[named.key] = (Gravity.HOLD if is_kept else gravity).name
    return told


def note(
    docket: Docket, named: Address, facts: Facts, found: tuple[Finding, ...], one: Judgement
) -> None:
    is_outside = named.domain == OUTSIDE
    docket.note(named, named, named.domain, facts, found, one, is_outside=is_outside)


def heard(number: int, mail: Mail, books: Shelves) -> HeardRecord | None:
    """The transaction as reception hands it to the journal."""
    docket = Docket(is_apart=mail.is_apart)
    inside = []
    for named in mail.named:
        one = judged(mail, named, books, early=True)
        note(docket, named, mail.early, mail.found_early, one)
        if at_rcpt([one]) is not None:
            docket.turned_away(named)
        else:
            inside.append(named)
    if mail.late is not None:
        for named in inside:
            one = judged(mail, named, books, early=False)
            note(docket, named, mail.late, mail.found, one)
    client = str(mail.early.ip)
    return docket.heard(number, NOW - 60 * number, client, f"mail {number}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def written(folder: Path, records: Sequence[HeardRecord | None]) -> DecisionReader:
    with JournalWriter(folder, 0, FakeClock(NOW), JournalSettings()) as writer:
        writer.append([], [record for record in records if record is not None])
    return DecisionReader(folder)


def run(reader: DecisionReader, books: Shelves, change: Change, query: DecisionQuery) -> Preview:
    replay = Replay(books, change, books.inventory(), NOW)
    return preview(reader, replay, query, most_listed=10_000)


@pytest.mark.parametrize("seed", range(12))
def test_the_preview_says_what_the_judge_says_of_random_mail_and_rules(
    folder: Path, seed: int
) -> None:
    dice = random.Random(seed)
    before = Shelves(
        [some_rule(dice, serial) for serial in range(1, dice.choice((1, 2, 6, 12)))],
        dice.choice(({}, {"harbour.example": {"spf.fail": Treatment.REFUSE}})),
    )
    mails = {number: came(some_mail(dice), before) for number in range(1, 300)}
    records = {number: heard(number, mail, before) for number, mail in mails.items() if mail}
    reader = written(folder, list(records.values()))
    for _ in range(10):
        change = some_change(dice, before)
        expected: dict[tuple[int, str], tuple[str, str]] = {}
        for number, mail in mails.items():
            if mail is None:
                continue
            if not is_about(change, mail):
                continue
            was, would_be = fates(mail, before), fates(mail, Amended(before, change))
            expected |= {
                (number, key): (was[key], would_be[key]) for key in was if was[key] != would_be[key]
            }
        found = run(reader, before, change, sought(change, before.inventory(), NOW - 1e6))
        told = {
            (one.row.number, one.row.named or one.row.owner): (
                one.before.gravity.name,
                one.after.gravity.name,
            )
            for one in found.listed
            if one.before.gravity is not one.after.gravity
        }
        assert told == expected, change
        assert found.changed == len(found.listed) == sum(found.changes.values())


def is_about(change: Change, mail: Mail) -> bool:
    """Whether the change has a say in the mail, proven or not."""
    if isinstance(change, Treated):
        return True
    rule = change.rule
    places = {Scope.MAILBOX: lambda one: one.key, Scope.DOMAIN: lambda one: one.domain}
    of = places.get(rule.scope, lambda _: "")
    if rule.place not in map(of, mail.named):
        return False
    return fit(rule.match, mail.late or mail.early, needs_proof=False) is Fit.YES


def came(mail: Mail, books: Shelves) -> Mail | None:
    """The mail as far as it came; None: it was let in and then left, which is no decision."""
    if everybody_is_out(mail, books):
        return replace(mail, late=None)
    return mail if mail.late is not None else None


def everybody_is_out(mail: Mail, books: Shelves) -> bool:
    """True where each recipient was refused at RCPT: no message comes then."""
    early = [judged(mail, named, books, early=True) for named in mail.named]
    return all(at_rcpt([one]) is not None for one in early)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_looked_for_leaves_nothing_out(folder: Path, seed: int) -> None:
    dice = random.Random(100 + seed)
    books = Shelves([some_rule(dice, serial) for serial in range(1, dice.choice((1, 2, 5)))])
    mails = [came(some_mail(dice), books) for _ in range(300)]
    records = [heard(number, mail, books) for number, mail in enumerate(mails, 1) if mail]
    reader = written(folder, records)
    for _ in range(15):
        change = some_change(dice, books)
        some = run(reader, books, change, sought(change, books.inventory(), NOW - 1e6))
        all_of_it = run(reader, books, change, DecisionQuery(NOW - 1e6))
        assert some.changes == all_of_it.changes, change


# --- what a person reads in it --------------------------------------------------------------------


def simple(
    number: int,
    *findings: Finding,
    named: str = OWNERS[0],
    sender: str = "chen@tea.example",
    proven: str = "",
    known: bool = False,
    whole: bool = True,
) -> HeardRecord | None:
    early = Facts(
        NOW, ip_address("198.51.100.24"), "mail.tea.example", "", address(sender),
        proven=frozenset(proven.split()), is_known=known,
    )  # fmt: skip
    late = replace(early, header_from=(address(sender),), list_id="") if whole else None
    mail = Mail(False, (address(named),), early, late, tuple(findings), tuple(findings))
    return heard(number, mail, Shelves([]))


def new_rule(words: str, action: Action = Action.ALLOW, *, waive: str = "") -> Added:
    match = parse_match(words)
    assert isinstance(match, Match)
    waives = frozenset(waive.split(",")) if waive else frozenset()
    return Added(
        Rule("D9", Scope.DOMAIN, "harbour.example", match, action, waives, serial=9, unproven=False)
    )


@pytest.fixture
def month(folder: Path) -> DecisionReader:
    """Twelve mails to harbour.example and one to its neighbour."""
    listed, virus = fail("dnsbl.listed"), fail("virus.found")
    return written(
        folder,
        [
            *(simple(n, listed) for n in range(1, 7)),
            *(simple(n, listed, proven="tea.example", known=True) for n in (7, 8)),
            simple(9, listed, virus),
            simple(10, listed, fail("ptr.missing"), whole=False),
            simple(11),
            simple(12, fail("spf.fail")),
            simple(13, listed, named="ann@pier.example"),
        ],
    )


def look(month: DecisionReader, change: Change, books: Shelves | None = None) -> Preview:
    books = books or Shelves([])
    return run(month, books, change, sought(change, books.inventory(), NOW - 1e6))


def words(found: Preview) -> Iterator[str]:
    for (before, after), count in sorted(found.changes.items(), key=lambda one: -one[1]):
        yield f"{count} {before.gravity.name} {before.check} > {after.gravity.name} {after.check}"


def test_a_rule_for_all_tells_what_is_freed_and_what_stays(month: DecisionReader) -> None:
    found = look(month, new_rule("all"))
    assert found.kept.decisions == 12  # its neighbour's is not counted
    assert list(words(found)) == [
        "7 REFUSE dnsbl.listed > ACCEPT ",
        "2 HOLD dnsbl.listed > ACCEPT ",
        "1 JUNK spf.fail > ACCEPT ",
    ]
    assert {(one.check, n) for one, n in found.stays.items()} == {("virus.found", 1)}
    assert (found.changed, found.freed, found.blind) == (10, 10, 7)
    assert (found.friends.messages, found.friends.senders) == (2, {"chen@tea.example"})


def test_a_waiver_tells_what_another_check_refuses_next(month: DecisionReader) -> None:
    found = look(month, new_rule("all", waive="dnsbl"))
    assert found.changed == 8
    assert {(one.gravity, one.check) for one in found.stays} == {
        (Gravity.REFUSE, "virus.found"), (Gravity.REFUSE, "ptr.missing"),
    }  # fmt: skip


def test_who_only_says_to_be_the_partner_would_have_to_prove_it(month: DecisionReader) -> None:
    found = look(month, new_rule("@tea.example"))
    assert list(words(found)) == [
        "7 REFUSE dnsbl.listed > REFUSE dnsbl.listed",
        "2 HOLD dnsbl.listed > ACCEPT ",
    ]
    assert [after.is_open for _, after in found.changes] == [True, False]
    assert found.freed == 2
    assert found.unproven == 2  # in Junk, or with a virus: whatever came of it with proof
    assert look(month, new_rule("@offers.example")).changed == 0


def test_today_s_other_rules_are_not_put_down_to_the_new_one(month: DecisionReader) -> None:
    books = Shelves([replace(new_rule("198.51.100.0/24").rule, label="D1", serial=1)])
    assert look(month, new_rule("all"), books).changed == 0


def test_a_setting_is_previewed_for_its_domain(month: DecisionReader) -> None:
    found = look(month, Treated("spf.fail", Treatment.REFUSE, "harbour.example"))
    assert list(words(found)) == ["1 JUNK spf.fail > REFUSE spf.fail"]
    assert look(month, Treated("spf.fail", Treatment.REFUSE, "pier.example")).changed == 0
    off = look(month, Treated("dnsbl.listed", Treatment.OFF))
    assert off.kept.decisions == 13
    assert off.changed == 9


def test_every_check_has_a_bit_and_keeps_it() -> None:
    assert set(CHECKS) >= set(DEFAULTS) | FOR_NOW
    assert CHECKS[:5] == (
        "ptr.missing", "ptr.mismatch", "helo.invalid", "helo.unresolvable", "helo.own-name",
    )  # fmt: skip
    assert bit_of("rate.exceeded") == 1 << 27  # day files hold these numbers
    assert len(set(CHECKS)) == len(CHECKS) < 62
    assert bit_of("new.check") == OTHER
    for check in DEFAULTS:
        assert bits_of_family(family_of(check)) & bit_of(check)
    assert bits_of("?spf.couldnt-tell= ptr.missing") == (1, bits_of_family("spf") | OTHER)
    assert bits_of("?dnsbl.couldnt-tell=dnsbl.listed") == (0, bit_of("dnsbl.listed") | OTHER)
