"""``python -m bench.limits``: what Postern bears, and what that costs.

All but the times are the same on a busy machine. ``--only disk,flood`` measures some; ``--page``
writes them into docs/benchmarks.md, between marks, and leaves the rest of the page alone.
"""

import argparse
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.disk import full_disk
from bench.flood import refused_flood
from bench.memory import weigh
from bench.preview import previews
from bench.prompt import at_the_prompt
from bench.reached import Reached, table
from bench.restarts import fewer_workers, killed_under_load
from bench.rules import resolution
from bench.slow import slow_ways
from bench.tarpits import tarpits
from bench.waiting import a_million_waiting

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN = "<!-- limits: written by make bench and python -m bench.limits --page -->"
END = "<!-- end of limits -->"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to measure, and how the page says what was done."""

    key: str
    heading: str
    method: str
    measure: Callable[[], list[Reached]]


PARTS = (
    Part(
        "memory",
        "Memory",
        "Above idle, all processes of the tree together; two workers. Messages: resident memory by"
        " the kernel's own high-water mark (VmHWM), after small messages had gone every way."
        " Connections: PSS, from 200 addresses, each greeted and silent since its EHLO; what the"
        " kernel keeps for their sockets is not counted.",
        weigh,
    ),
    Part(
        "slow",
        "Slow clients and peers",
        "Both at the same time, with Postern's default time limits; the peer's receive window is"
        " small, so that the kernel does not swallow the message in its name. What arrived was"
        " compared octet by octet.",
        slow_ways,
    ),
    Part(
        "tarpits",
        "Healthy mail beside tarpits",
        "200 tarpits in 200 groups, five messages for each: half say a byte a second, half say"
        " nothing; and a host that answers no packet, 10,000 messages waiting for it. Healthy mail"
        " of 4 kB comes at half the rate that the same server relayed it at just before; delay is"
        " from the moment a message was due to be sent to its arrival. Sender and hosts are Python"
        " and share the processor. Postfix as Debian has it; tuned: 500 processes, 5 s to connect,"
        " 15 s for EHLO, two connections at first.",
        tarpits,
    ),
    Part(
        "disk",
        "A full disk",
        "The data folder is a tmpfs that is filled to the last byte while 200 messages wait for a"
        " receiver that stands still; tries that fail are written down meanwhile; then the receiver"
        " wakes, and at the end there is room again.",
        full_disk,
    ),
    Part(
        "workers",
        "Fewer workers",
        "Accepted by two workers, stopped, started with one. What arrived was compared octet by"
        " octet.",
        fewer_workers,
    ),
    Part(
        "kill",
        "kill -9",
        "SIGKILL to the whole tree while smtp-source sends with 20 sessions and the receiver stands"
        " still; started again; then the receiver wakes.",
        killed_under_load,
    ),
    Part(
        "waiting",
        "A million messages waiting",
        "Written into the spools of two workers as the server writes them, evenly over 10,000"
        " groups, not due for a day; the server is started over them. Memory is RssAnon and"
        " RssShmem of all processes. A claim reads 16 messages of one group that was not read"
        " before. Other mail is relayed from smtp-source to smtp-sink before and after.",
        a_million_waiting,
    ),
    Part(
        "flood",
        "A flood of refused mail",
        "Every refused conversation is a connection of its own, from 100 clients at a time and"
        " many addresses; client and server share the processor, so the rate is what both reach"
        " together.",
        refused_flood,
    ),
    Part(
        "rules",
        "Very many rules",
        "A site.db with 100,000 domains and a million rules, five mailboxes with as many as one may"
        " have. Asked as a worker asks for each recipient: has anything changed, whose rules count,"
        " what is the verdict on what eight checks found. A change empties all caches.",
        resolution,
    ),
    Part(
        "prompt",
        "At the prompt",
        "Whole commands, start of Python included, the server not running; medians, in the last"
        " column the fastest and slowest.",
        at_the_prompt,
    ),
    Part(
        "preview",
        "What would this rule have done?",
        "Whole commands (`--dry-run --json`), start of Python included, the server not running;"
        " medians, in the last column the fastest and slowest. Half of the decisions are to one"
        " domain, a third have something against them.",
        previews,
    ),
)


@dataclass(frozen=True, slots=True)
class Section:
    """One part, measured."""

    part: Part
    found: list[Reached]

    def markdown(self) -> str:
        """Its part of the page."""
        lines = [f"### {self.part.heading}", "", self.part.method, "", *table(self.found)]
        return "\n".join(lines)


def measure(only: Collection[str] = ()) -> list[Section]:
    """Measure the parts (those in ``only``, when it is not empty), and print as it goes."""
    sections = []
    for part in PARTS:
        if only and part.key not in only:
            continue
        sys.stderr.write(f"limits: {part.key}\n")
        section = Section(part, part.measure())
        print("\n".join(reached.line() for reached in section.found), flush=True)
        sections.append(section)
    return sections


def markdown(sections: Sequence[Section]) -> str:
    """The whole section of the page, marks included."""
    parts = [section.markdown() for section in sections]
    return "\n\n".join([f"{BEGIN}\n## Limits", circumstances(), *parts, END]) + "\n"


def circumstances() -> str:
    """How far the times can be trusted."""
    load = os.getloadavg()[2]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load average {load:.1f} over the"
        " last 15 minutes, the measurements' own included. Where others share the processor the"
        " times are longer; sizes and counts are the same."
    )


def put_in(page: str, text: str) -> str:
    """The page with its limits replaced by ``text``; a page without them gets them at its end."""
    return put_between(page, text, BEGIN, END)


def put_between(page: str, text: str, first: str, last: str) -> str:
    """The page with what stands from one mark to the other replaced by ``text``, which has both."""
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last + "\n")
    if begin and end:
        return f"{before}{text}{after}"
    return f"{page.rstrip()}\n\n{text}" if page.strip() else text


def main() -> int:
    """Measure and print; exit 1 when something is over its bound."""
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=__doc__)
    parser.add_argument("--only", default="", help=", ".join(part.key for part in PARTS))
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    sections = measure([key for key in options.only.split(",") if key])
    if options.page:
        old = PAGE.read_text("utf-8") if PAGE.exists() else ""
        PAGE.write_text(put_in(old, markdown(sections)), encoding="utf-8")
    return 0 if all(one.is_good for section in sections for one in section.found) else 1


if __name__ == "__main__":
    sys.exit(main())
