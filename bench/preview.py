"""``python -m bench.preview``: how long a person waits for ``postern rule … --dry-run``.

A million decisions of 30 days by two workers, written by the journal's own writer as the docket of
a hearing gives them: half to one domain, a third with something against them, one message in ten
with three recipients. 300 rules that name senders hold meanwhile, so that nearly no decision can be
told from another by what failed alone. Each time is of a whole command, start of Python included.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.reached import Reached
from tests.peers.postern_server import PosternServer, postern

from postern.directory.store.site import SiteStore
from postern.journal.record import Conversation, DecisionRecord, HeardRecord, RecipientRecord
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.policy.rules.draft import Draft
from postern.policy.rules.match import Match, MatchKind
from postern.policy.rules.rule import Action, Scope
from postern.policy.rules.store import RuleStore
from postern.runtime.clock import SystemClock

ROWS = 1_000_000
DAYS = 30
DAY_S = 86_400.0
WORKERS = 2
BATCH = 1_000
TIMES = 3
SELECTIVE_S = 2.0
HALF_S = 10.0
SENDERS = 50_000
MAILBOXES = 1_000
RULES = 300
MANY_EVERY = 10
BIG = "big.example"
FOUND = (
    "", "", "", "", "spf.softfail", "", "", "ptr.missing dnsbl.listed", "", "spf.fail",
    "", "", "helo.unresolvable", "", "dnsbl.listed", "",
    "?mailfrom.couldnt-tell=mailfrom.no-domain",
)  # fmt: skip
"""What was found against one message after the other."""


def heard(number: int, at: float) -> HeardRecord:
    """The decisions of one transaction."""
    sender = number * 7919 % SENDERS
    found = FOUND[number % len(FOUND)]
    is_whole = "ptr.missing" not in found and "dnsbl.listed" not in found and "?" not in found
    domain = BIG if number % 2 else f"customer{number // 2 % 100}.example"
    places = 3 if number % MANY_EVERY == 0 else 1
    decisions = [
        DecisionRecord(
            f"m{(number * 31 + place) % MAILBOXES}@{domain}",
            domain,
            early=found,
            found=found if is_whole else None,
            gravity=0 if is_whole else 4,
        )
        for place in range(places)
    ]
    domain = f"sender{sender % 5000}.example"
    return HeardRecord(
        number,
        at,
        f"198.51.{sender % 250}.{sender // 250 % 250}",
        decisions,
        f"mail{sender}.{domain}",
        f"mail{sender}.{domain}",
        f"p{sender}@{domain}",
        domain,
        f"p{sender}@{domain}\n" if is_whole else None,
        "",
        domain if is_whole else "",
        f"Invoice {number} for order {number * 13 % 100_000}",
    )


def write_decisions(folder: Path, rows: int) -> tuple[int, float]:
    """Fill the day files; how many decisions there are, and the seconds it took."""
    clock = SystemClock()
    start, begin, written, number = clock.now() - DAYS * DAY_S, time.monotonic(), 0, 0
    per_transaction = 1 + 2 / MANY_EVERY
    settings = JournalSettings(budget_bytes=1 << 40)
    writers = [JournalWriter(folder, worker, clock, settings) for worker in range(WORKERS)]
    while written < rows:
        batch = []
        for _ in range(BATCH):
            number += 1
            at = start + number * per_transaction / rows * DAYS * DAY_S * 0.999
            batch.append(heard(number, at))
        written += sum(len(one.decisions) for one in batch)
        writers[number // BATCH % WORKERS].append([], batch)
    for writer in writers:
        writer.close()
    return written, time.monotonic() - begin


def add_rules(data: Path) -> None:
    """Rules that name senders, of everybody and of the big domain."""
    clock = SystemClock()
    site = SiteStore.open(data, clock, "bench")
    store = RuleStore(site.database, clock, "bench")
    for number in range(RULES):
        scope, place = (Scope.DOMAIN, BIG) if number % 2 else (Scope.SYSTEM, "")
        match = Match(MatchKind.DOMAIN, f"sender{number * 17}.example")
        action = (Action.ALLOW, Action.BLOCK, Action.JUNK)[number % 3]
        store.add(Draft(action, match, scope, place, "a benchmark's"))
    site.close()


ONE = "p7919@sender2919.example"
QUESTIONS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    ("allow one sender, one domain", SELECTIVE_S, ("allow", ONE, "--domain", BIG)),
    ("block one domain, everybody", SELECTIVE_S, ("block", "@sender2919.example")),
    ("allow a network, everybody", SELECTIVE_S, ("allow", "198.51.7.0/24")),
    ("hold all, one mailbox", SELECTIVE_S, ("hold", "all", "--mailbox", f"m7@{BIG}")),
    ("allow all, half of all mail", HALF_S, ("allow", "all", "--domain", BIG)),
    ("hold all, half of all mail", HALF_S, ("hold", "all", "--domain", BIG)),
    ("system dnsbl.listed junk", HALF_S, ("system", "dnsbl.listed", "junk")),
)


def previews(rows: int = ROWS) -> list[Reached]:
    """Ask each question several times."""
    with postern() as server:
        server.domain_add(BIG)
        server.mailbox_add(f"m7@{BIG}")
        server.stop()
        add_rules(server.data)
        written, took = write_decisions(server.data / "journal", rows)
        files = [path for path in (server.data / "journal").iterdir() if path.is_file()]
        size_mb = sum(path.stat().st_size for path in files) / 1e6
        note = f"{written:,} in {len(files)} files, written in {took:.0f} s, {RULES} rules hold"
        found = [Reached("the decisions", size_mb, "MB", None, note), _writing()]
        return found + [ask(server, *question) for question in QUESTIONS]


def ask(server: PosternServer, what: str, most_s: float, words: tuple[str, ...]) -> Reached:
    """The median of the whole command; the processor's part tells what others took."""
    taken: list[float] = []
    changed = 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(TIMES):
        begin = time.monotonic()
        result = server.run("rule", *words, "--dry-run", "--json")
        taken.append(time.monotonic() - begin)
        assert result.exit_code == 0, result.stderr
        changed = json.loads(result.stdout)["changed"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    note = (
        f"{min(taken):.1f}-{max(taken):.1f}, of the processor {spent / TIMES:.1f};"
        f" {changed:,} would change"
    )
    return Reached(f"`postern rule {what}`", median(taken), "s", most_s, note)


# --- what writing costs ---------------------------------------------------------------------------

WRITTEN = 40_000


def _writing() -> Reached:
    """Processor time of the journal's thread for a conversation, with its decision and without."""
    with postern() as server:
        server.stop()
        folder = server.data / "journal"
        rounds = [(_cost(folder, _plain, n), _cost(folder, _with, n)) for n in range(3)]
    without, both = (median(pair[side] for pair in rounds) for side in (0, 1))
    note = f"{without:.1f} µs a conversation without, {both:.1f} µs with it"
    return Reached("writing a decision", both - without, "µs", None, note)


def _cost(folder: Path, make: Callable[[int, float], Conversation], number: int) -> float:
    clock = SystemClock()
    worker = number * 2 + (make is _with)
    with JournalWriter(folder, worker, clock, JournalSettings(budget_bytes=1 << 40)) as writer:
        talks = [make(one, clock.now()) for one in range(WRITTEN)]
        begin = time.process_time()
        for at in range(0, WRITTEN, 500):
            batch = talks[at : at + 500]
            decided = [one.heard for one in batch if one.heard is not None]
            for one in batch:
                one.heard = None
            writer.append(batch, decided)
        return (time.process_time() - begin) / WRITTEN * 1e6


def _plain(number: int, at: float) -> Conversation:
    sender = f"p{number}@sender{number % 5000}.example"
    return Conversation(
        number,
        at,
        client_ip="198.51.100.24",
        helo="mail.sender.example",
        mail_from=sender,
        from_header=sender,
        message_id=f"<{number}@sender.example>",
        subject=f"Invoice {number} for order {number * 13 % 100_000}",
        accepted=True,
        recipients=[RecipientRecord("m7@big.example", "delivered")],
    )


def _with(number: int, at: float) -> Conversation:
    talk = _plain(number, at)
    talk.heard = heard(number | 1, at)
    return talk


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.preview", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    found = previews(parser.parse_args().rows)
    print("\n".join(reached.line() for reached in found))
    return 0 if all(reached.is_good for reached in found) else 1


if __name__ == "__main__":
    sys.exit(main())
