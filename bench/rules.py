"""``python -m bench.rules``: what it costs to ask whose rules say what, where there are very many.

A real ``site.db`` with 100,000 domains and a million rules: some of everybody's, some of domains,
most of mailboxes; a few places have as many as one place may have. Asked is as a worker asks for a
recipient after DATA: has the database changed, the recipient's book, the verdict on what the checks
found. The recipients come as they do in life (few get much), in an order that is the same in every
run; every thousand messages somebody makes a rule, and all caches are empty again.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice
from pathlib import Path

import sqlalchemy as sa
from bench.reached import Reached
from tests.peers.process import short_folder

from postern.directory.ids import new_id
from postern.directory.model import Refused
from postern.directory.reader import Directory
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.directory.store.tables import domain as domain_table
from postern.mail.address import Address
from postern.mail.finding import Finding, Result
from postern.measures import store as measures
from postern.policy.recipient import judge_for
from postern.policy.rules.draft import Draft
from postern.policy.rules.match import Facts, Match, MatchKind
from postern.policy.rules.rule import Action, Scope
from postern.policy.rules.store import MAX_RULES_OF_A_PLACE, Books, RuleStore, rule_table
from postern.runtime.clock import SystemClock
from postern.runtime.database.engine import Database
from postern.runtime.database.watch import ChangeWatch

DOMAINS = 100_000
RULES = 1_000_000
OF_ALL = 1_000
"""Rules of the system."""
FULL_PLACES = 5
"""Mailboxes with as many rules as one may have."""
MAILBOXES = 4
"""Of each domain; it and each of them have two rules or so."""
BATCH = 20_000
MOST_MS = 1.0
ASKED = 40_000
CHANGE_EVERY = 1_000
SKEW = 1.2
"""Of the Pareto distribution that recipients follow: the first thousand domains get half."""
FINDINGS = (
    Finding("ptr.missing", Result.PASS, "198.51.100.24 is mail.tea.example"),
    Finding("dnsbl.listed", Result.PASS, "on no list"),
    Finding("helo.unresolvable", Result.PASS, "mail.tea.example is a name with an address"),
    Finding("mailfrom.no-domain", Result.PASS, "tea.example takes mail"),
    Finding("spf.fail", Result.FAIL, "tea.example does not let it send"),
    Finding("standards.header", Result.PASS, "the header is in order"),
    Finding("dkim.fail", Result.PASS, "the message was signed by tea.example"),
    Finding("dmarc.reject", Result.PASS, "tea.example is proven to be the author"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One rule to be written."""

    scope: Scope
    place: str
    match: Match
    action: Action


def domain_name(number: int) -> str:
    """The nth domain."""
    return f"customer{number}.example"


def mailbox(number: int, nth: int) -> Address:
    """The nth mailbox of a domain."""
    return Address(f"person{nth}", domain_name(number))


def sender(number: int) -> Match:
    """What the nth rule is about: addresses, domains and networks by turns."""
    if number % 3 == 0:
        return Match(MatchKind.ADDRESS, f"p{number % 50_000}@sender{number % 5_000}.example")
    if number % 3 == 1:
        return Match(MatchKind.DOMAIN, f"sender{number % 5_000}.example")
    high, low = divmod(number % 65_536, 256)
    return Match(MatchKind.NETWORK, f"198.{18 + number % 2}.{high}.{low}/32")


def rows() -> Iterator[Row]:
    """A million rules, in the order in which they were made."""
    actions = tuple(Action)

    def of(scope: Scope, place: str, number: int) -> Row:
        return Row(scope, place, sender(number), actions[number % len(actions)])

    for number in range(OF_ALL):
        yield of(Scope.SYSTEM, "", number)
    for full in range(FULL_PLACES):
        for number in range(MAX_RULES_OF_A_PLACE):
            yield of(Scope.MAILBOX, mailbox(full * 7, 0).key, number)
    made = OF_ALL + FULL_PLACES * MAX_RULES_OF_A_PLACE
    for number in range(made, RULES):
        place = number % DOMAINS
        nth = number // DOMAINS % (MAILBOXES + 1)
        if nth == MAILBOXES:
            yield of(Scope.DOMAIN, domain_name(place), number * 7919)
        else:
            yield of(Scope.MAILBOX, mailbox(place, nth).key, number * 7919)


def fill(folder: Path) -> float:
    """Make the site; seconds it took.

    One rule goes through the store as a command's does; a million transactions would take an hour,
    so the others are written as it writes them, many at a time.
    """
    begin, clock = time.monotonic(), SystemClock()
    site = SiteStore.open(folder, clock, "bench")
    now = clock.now()
    with site.database.write() as connection:
        connection.execute(
            domain_table.insert(),
            [
                {"id": new_id(clock), "name": domain_name(number), "created_at": now}
                for number in range(DOMAINS)
            ],
        )
    made = RuleStore(site.database, clock, "bench").add(
        Draft(Action.ALLOW, sender(1), Scope.DOMAIN, domain_name(0), "a benchmark")
    )
    assert not isinstance(made, Refused), made
    with site.database.read() as connection:
        like_rule = dict(connection.execute(sa.select(rule_table)).mappings().one())
        like_why = dict(connection.execute(sa.select(measures.temporary)).mappings().one())
    del like_rule["serial"]
    waiting = rows()
    while batch := list(islice(waiting, BATCH)):
        keys = [new_id(clock) for _ in batch]
        with site.database.write() as connection:
            connection.execute(
                measures.temporary.insert(), [like_why | {"id": key} for key in keys]
            )
            connection.execute(
                rule_table.insert(),
                [
                    like_rule
                    | {
                        "id": key,
                        "scope": row.scope.value,
                        "place": row.place,
                        "match_kind": row.match.kind.value,
                        "match_value": row.match.value,
                        "action": row.action.value,
                    }
                    for key, row in zip(keys, batch, strict=True)
                ],
            )
    site.close()
    return time.monotonic() - begin


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock, and of the processor alone: others may be at work on the machine."""

    wall: float
    cpu: float


class Asking:
    """One worker's way to a verdict."""

    def __init__(self, folder: Path) -> None:
        clock = SystemClock()
        self._database = Database.open(folder / FILE_NAME)
        self._directory = Directory(self._database, ChangeWatch(folder / FILE_NAME))
        self._books = Books(self._database, clock)
        self._directory.on_change(self._books.forget)
        author = Address("li", "tea.example")
        self._facts = Facts(
            clock.now(),
            ip_address("198.51.100.24"),
            "mail.tea.example",
            "mail.tea.example",
            author,
            (author,),
            "",
            frozenset({"tea.example"}),
        )

    def verdict(self, recipient: Address) -> Took:
        """What it takes to say what becomes of the message for ``recipient``."""
        begin, worked = time.perf_counter(), time.thread_time()
        self._directory.refresh()
        book = self._books.of(recipient, recipient.domain)
        judge_for(recipient, FINDINGS, self._facts, book)
        return Took(time.perf_counter() - begin, time.thread_time() - worked)

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def recipients(seed: int) -> Iterator[Address]:
    """Recipients as mail comes for them; the same in every run."""
    chance = random.Random(seed)
    while True:
        number = int(chance.paretovariate(SKEW) * 100) % DOMAINS
        yield mailbox(number, chance.randrange(MAILBOXES))


def percentile(times: list[float], share: float) -> float:
    """Milliseconds that ``share`` of the times are not above."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


def reached(what: str, took: list[Took], *, most: float | None) -> Reached:
    """The 99th percentile of one way of asking, the median beside it."""
    times, worked = [one.wall for one in took], [one.cpu for one in took]
    note = (
        f"median {percentile(times, 0.5):.2f} ms, longest {max(times) * 1000:.0f} ms, of"
        f" {len(times):,}; of the processor p99 {percentile(worked, 0.99):.2f} ms"
    )
    return Reached(f"{what}: p99", percentile(times, 0.99), "ms", most, note)


def resolution() -> list[Reached]:
    """Fill a site, and ask."""
    with short_folder() as folder:
        took = fill(folder)
        size_mb = (folder / FILE_NAME).stat().st_size / 1e6
        gc.collect()
        gc.freeze()
        asking = Asking(folder)
        chance = random.Random(7)
        strangers = [
            mailbox(chance.randrange(DOMAINS), chance.randrange(MAILBOXES))
            for _ in range(ASKED // 4)
        ]
        asking.verdict(strangers[0])
        cold = [asking.verdict(one) for one in strangers]
        known = strangers[-500:]
        for one in known:
            asking.verdict(one)
        warm = [asking.verdict(one) for _ in range(20) for one in known]
        mixed = as_mail_comes(folder, asking)
        asking.close()
    about = f"{RULES:,} rules, {DOMAINS:,} domains, made in {took:.0f} s"
    return [
        Reached("site.db", size_mb, "MB", note=about),
        reached("recipients that were never asked about", cold, most=MOST_MS),
        reached("recipients asked about before", warm, most=MOST_MS),
        reached(f"as mail comes, a change every {CHANGE_EVERY:,}", mixed, most=MOST_MS),
    ]


def as_mail_comes(folder: Path, asking: Asking) -> list[Took]:
    """Times with somebody at work beside the mail: each change empties all caches."""
    site = SiteStore.open(folder, SystemClock(), "bench")
    store = RuleStore(site.database, SystemClock(), "bench")
    times = []
    for number, recipient in enumerate(islice(recipients(11), ASKED)):
        if number % CHANGE_EVERY == 0:
            about = Match(MatchKind.DOMAIN, f"later{number}.example")
            made = store.add(
                Draft(Action.BLOCK, about, Scope.DOMAIN, domain_name(number), "a benchmark")
            )
            assert not isinstance(made, Refused), made
        times.append(asking.verdict(recipient))
    site.close()
    return times


def main() -> int:
    """Measure and print; exit 1 when it takes too long."""
    argparse.ArgumentParser(prog="python -m bench.rules", description=__doc__).parse_args()
    found = resolution()
    print("\n".join(one.line() for one in found))
    return 0 if all(one.is_good for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
