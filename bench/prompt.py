"""``python -m bench.prompt``: how long a person waits for ``postern why`` and ``--help``.

The journal holds a million conversations of 30 days, one in four accepted, written by the journal's
own writer. Each time is the median of several whole commands, start of Python included.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.reached import Reached
from tests.peers.postern_server import PosternServer, postern

from postern.journal.record import AttemptRecord, Because, Conversation, RecipientRecord, Step
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.runtime.clock import SystemClock

ROWS = 1_000_000
DAYS = 30
DAY_S = 86_400.0
BATCH = 2_000
TIMES = 5
MOST_MS = 600.0
SENDERS, MAILBOXES = 50_000, 2_000
ACCEPTED_EVERY = 4
FIRST_ID = 1 << 30
"""Far from what the running server would give out."""


def conversation(number: int, at: float) -> Conversation:
    """One of the million."""
    sender, mailbox = number * 7919 % SENDERS, number * 31 % MAILBOXES
    accepted = number % ACCEPTED_EVERY == 0
    because = Because("rcpt.unknown", "there is no such mailbox here", "sender")
    recipient = RecipientRecord(
        f"m{mailbox}@customer{mailbox % 100}.example",
        "delivered" if accepted else "refused",
        because=None if accepted else because,
        reply="250 2.0.0 ok" if accepted else "550 5.1.1 no such mailbox",
    )
    attempt = AttemptRecord(
        at + 1, "maildir", "", "", "", 0.01, "250 2.0.0 Delivered", "delivered", (0,)
    )
    return Conversation(
        FIRST_ID + number,
        at,
        client_ip=f"198.51.{sender % 250}.{sender // 250 % 250}",
        helo=f"mail{sender}.sender.example",
        mail_from=f"p{sender}@sender{sender % 5000}.example",
        from_header=f"p{sender}@sender{sender % 5000}.example",
        message_id=f"<{number}@sender.example>",
        subject=f"Invoice {number} for order {number * 13 % 100_000}",
        size=4000,
        seconds=0.2,
        accepted=accepted,
        recipients=[recipient],
        because=None if accepted else because,
        steps=[Step("mail", "pass", 0.01), Step("rcpt", "pass" if accepted else "fail", 0.01)],
        attempts=[attempt] if accepted else [],
        ended_at=at + 1,
    )


def write_journal(folder: Path, rows: int) -> float:
    """Fill the day files; seconds it took."""
    clock = SystemClock()
    begin, start = time.monotonic(), clock.now() - DAYS * DAY_S
    with JournalWriter(folder, 0, clock, JournalSettings(budget_bytes=1 << 40)) as writer:
        for at in range(0, rows, BATCH):
            numbers = range(at, min(rows, at + BATCH))
            writer.append([conversation(n, start + n / rows * DAYS * DAY_S) for n in numbers])
    return time.monotonic() - begin


@dataclass(frozen=True, slots=True)
class Asked:
    """A question at the prompt. ``most_ms``: how long its answer may take; None: no goal."""

    what: str
    words: tuple[str, ...]
    most_ms: float | None = MOST_MS


def questions(rows: int) -> list[Asked]:
    """What people ask."""
    middle = rows // 2 // ACCEPTED_EVERY * ACCEPTED_EVERY
    one = conversation(middle, 0.0)
    return [
        Asked("--help", ("--help",), None),
        Asked("why, by Message-ID", ("why", one.message_id)),
        Asked("why, by sender", ("why", one.mail_from)),
        Asked("why, by sender and recipient", pair(one)),
        Asked("why, by recipient", ("why", one.recipients[0].address)),
        Asked("why, by client address", ("why", one.client_ip)),
        Asked("why, by domain", ("why", "customer7.example")),
        Asked("why, by network", ("why", "198.51.7.0/24")),
        Asked("why, by words of the subject", ("why", f"Invoice {middle}")),
        Asked("why, nothing found", ("why", "nobody@nowhere.example")),
    ]


def pair(one: Conversation) -> tuple[str, ...]:
    """The question of the tour: this sender, to that mailbox."""
    return ("why", one.mail_from, "--to", one.recipients[0].address)


def at_the_prompt(rows: int = ROWS) -> list[Reached]:
    """Ask each question several times."""
    with postern() as server:
        server.stop()
        took = write_journal(server.data / "journal", rows)
        files = [path for path in (server.data / "journal").iterdir() if path.is_file()]
        size_mb = sum(path.stat().st_size for path in files) / 1e6
        note = f"{rows:,} conversations in {DAYS} days, written in {took:.0f} s"
        found = [Reached("the journal", size_mb, "MB", None, note)]
        found += [ask(server, asked) for asked in questions(rows)]
    return found


def ask(server: PosternServer, asked: Asked) -> Reached:
    """The median of the whole command; where ``most_ms`` is, it is the bound."""
    taken = []
    for _ in range(TIMES):
        begin = time.monotonic()
        result = server.run(*asked.words)
        taken.append((time.monotonic() - begin) * 1000)
        assert result.exit_code <= 4, result.stderr
    note = f"{min(taken):.0f}-{max(taken):.0f}"
    return Reached(f"`postern {asked.what}`", median(taken), "ms", asked.most_ms, note)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.prompt", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    found = at_the_prompt(parser.parse_args().rows)
    print("\n".join(reached.line() for reached in found))
    return 0 if all(reached.is_good for reached in found) else 1


if __name__ == "__main__":
    sys.exit(main())
