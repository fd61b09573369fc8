"""Medians and ratios, for the terminal and for docs/benchmarks.md."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.limits import BEGIN, END, Section, put_between
from bench.limits import markdown as limits_markdown
from bench.rounds import Measured
from bench.scenario import Scenario

CHECKS_BEGIN = "<!-- checks: written by python -m bench.checks --page -->"
CHECKS_END = "<!-- end of checks -->"
MARK = "<!-- below this line: written by hand, kept by make bench -->"
METHOD = """\
Made by `make bench`; the numbers are of one run, the servers one after the other in every round,
each started anew and alone. Compare ratios: other machines give other rates.

- Load: `smtp-source`, {sessions} sessions at a time; receiver: `smtp-sink`, whose own counter
  says when the last message is there. {rounds} rounds of at least {seconds:g} s each (message
  counts follow the rate), warmed up before. The table shows medians; in brackets the lowest and
  highest round.
- *accept*: until "250" is answered for all; *relay*: until the sink has all. The message is
  durable before "250" (Postfix and Postern sync on the same file system; nothing is switched off
  for a number).
- accept must not measure delivery. Postfix puts the mail on hold (`HOLD`: written and synced, the
  queue manager never hears of it). Postern takes the mail for a smarthost that answers no word:
  it schedules it like any other, and its few lanes to that destination stand still.
- CPU: user and system time of the server's whole process tree, ended children included, for 1,000
  messages and until its queue is empty. Memory: highest PSS of the tree, looked at twice a
  second.
- Postfix: Debian's defaults, but for folders and ports, no chroot, no PTR lookups (Postern made
  none either), all mail to one smarthost. `make bench ARGS=--tuned` adds a row with a tuned
  Postfix.
- Postern: its defaults with the journal on, one worker per core, `relay_from` for the load's
  address.
"""


@dataclass
class Results:
    """All rounds so far: scenario, contestant, rounds."""

    rounds: dict[tuple[Scenario, str], list[Measured]] = field(default_factory=dict)

    def add(self, scenario: Scenario, contestant: str, measured: Measured) -> None:
        """Keep one round."""
        self.rounds.setdefault((scenario, contestant), []).append(measured)

    def scenarios(self) -> list[Scenario]:
        """Those that were run, in their order."""
        return list(dict.fromkeys(scenario for scenario, _ in self.rounds))

    def contestants(self, scenario: Scenario) -> list[str]:
        """Who took part in a scenario."""
        return [name for known, name in self.rounds if known == scenario]


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant in one scenario: medians over its rounds."""

    contestant: str
    rate: float
    lowest: float
    highest: float
    ratio: float | None
    cpu_per_1000: float
    peak_mb: float

    def cells(self) -> list[str]:
        """What the tables print."""
        return [
            self.contestant,
            f"{self.rate:,.0f} ({self.lowest:,.0f}-{self.highest:,.0f})",
            "" if self.ratio is None else f"{self.ratio:.2f} x",
            f"{self.cpu_per_1000:.2f}",
            f"{self.peak_mb:,.0f}",
        ]


COLUMNS = ["", "messages/s", "to Postfix", "CPU s/1,000", "peak MB"]
BASELINE = "Postfix"


def rows(results: Results, scenario: Scenario) -> list[Row]:
    """The lines of one scenario's table."""
    base = results.rounds.get((scenario, BASELINE))
    base_rate = median(measured.rate for measured in base) if base else None
    found = []
    for name in results.contestants(scenario):
        rounds = results.rounds[scenario, name]
        rates = [measured.rate for measured in rounds]
        found.append(
            Row(
                name,
                median(rates),
                min(rates),
                max(rates),
                median(rates) / base_rate if base_rate else None,
                median(measured.cpu_per_1000 for measured in rounds),
                max(measured.peak_bytes for measured in rounds) / 1e6,
            )
        )
    return found


def goal(scenario: Scenario) -> str:
    """What Postern is to reach."""
    return f"goal: Postern {scenario.goal:g} x Postfix"


def plain(results: Results, scenario: Scenario) -> str:
    """One scenario for the terminal."""
    table = [COLUMNS, *(row.cells() for row in rows(results, scenario))]
    widths = [max(len(line[column]) for line in table) for column in range(len(COLUMNS))]
    lines = [
        "  "
        + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]
    return "\n".join([f"{scenario.name} ({goal(scenario)})", *lines])


def markdown(
    results: Results,
    facts: Sequence[tuple[str, str]],
    notes: Sequence[tuple[str, str]],
    limits: Sequence[Section],
    *,
    rounds: int,
    seconds: float,
) -> str:
    """The generated part of docs/benchmarks.md."""
    sessions = results.scenarios()[0].sessions
    lines = ["# Benchmarks", ""]
    lines += [METHOD.format(sessions=sessions, rounds=rounds, seconds=seconds)]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts), ""]
    for scenario in results.scenarios():
        lines += [f"## {scenario.name[0].upper()}{scenario.name[1:]}", ""]
        lines += [f"{goal(scenario)[0].upper()}{goal(scenario)[1:]}.", ""]
        lines += [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
        lines += [f"| {' | '.join(row.cells())} |" for row in rows(results, scenario)]
        lines += [""]
    lines += [f"- **{name}**: {note}." for name, note in notes]
    if limits:
        lines += ["", limits_markdown(limits)]
    return "\n".join(lines) + "\n"


def put_checks(page: str, text: str) -> str:
    """The page with the section of checked mail replaced, or put where what is generated ends."""
    if CHECKS_BEGIN not in page:
        page = page.replace(MARK, f"{CHECKS_BEGIN}\n{CHECKS_END}\n\n{MARK}", 1)
    return put_between(page, text, CHECKS_BEGIN, CHECKS_END)


def merge(page: str, generated: str) -> str:
    """The new page: the generated part, and what people wrote below ``MARK`` in the old one.

    Limits and checks that were not measured this time stay as they were.
    """
    for first, last in ((CHECKS_BEGIN, CHECKS_END), (BEGIN, END)):
        if first not in generated and first in page:
            generated = f"{generated}\n{page[page.index(first) : page.index(last) + len(last)]}\n"
    _, mark, kept = page.partition(MARK)
    return f"{generated}\n{MARK}\n{kept.lstrip(chr(10)) if mark else ''}"
