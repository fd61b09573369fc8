"""``python -m bench.checks``: signed mail from outside, checked by Postern and by Postfix.

Both look up reverse DNS, HELO, sender's domain and two block lists, and verify SPF, DKIM (2,048-bit
RSA) and DMARC: Postern by itself, Postfix by its own restrictions and by opendkim and opendmarc as
milters. They ask the same resolver, whose answers come from a name server on this machine and are
in its cache. Everything runs in a network of its own, where the client's address is no loopback
address; that needs root. ``--page`` writes docs/benchmarks.md between marks.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.checked import (
    CLIENT,
    RECIPIENT,
    SENDER,
    Checked,
    names,
    network,
    postern_checked,
    postfix_checked,
    signed_message,
)
from bench.report import CHECKS_BEGIN, CHECKS_END, COLUMNS, Results, goal, plain, put_checks, rows
from bench.rounds import FEWEST_MESSAGES, LONGEST_S, SAMPLE_S, Measured, Pace
from bench.scenario import SESSIONS, Scenario, Way
from bench.watch import highest_memory
from scripts.compile import is_current
from tests.peers.process import short_folder
from tests.peers.proctree import cpu_s
from tests.peers.sink import smtp_source

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
NEEDED = ("postfix", "opendkim", "opendmarc", "unbound", "nsd", "unshare", "ip")
SIZE_BYTES = 4_000
GOAL = 1.5
SCENARIOS = (
    Scenario(Way.ACCEPT, SIZE_BYTES, SESSIONS, reuse=False, goal=GOAL, checked=True),
    Scenario(Way.ACCEPT, SIZE_BYTES, SESSIONS, reuse=True, goal=GOAL, checked=True),
)
METHOD = """\
Mail from outside, {size} bytes with a DKIM signature (2,048-bit RSA), as *accept* above; {rounds}
rounds of at least {seconds:g} s each. Both look up reverse DNS, HELO, the sender's domain and two
block lists, and verify SPF, DKIM and DMARC: Postern by itself; Postfix by `reject_unknown_*`,
`reject_rbl_client`, opendkim and opendmarc (which verifies SPF) as milters on unix sockets, all
else as Debian has it. One resolver (unbound) serves both, its answers cached; before anything was
measured both were seen to find that SPF, DKIM and DMARC pass. CPU and memory are of servers and
milters, without the resolver. {date}, {cores} cores, load average {load:.1f}."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.checks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (5)")
    parser.add_argument("--seconds", type=float, default=10.0, help="least load of a round (10)")
    parser.add_argument("--only", default="", help="scenarios whose key contains this")
    parser.add_argument("--without", default="", help="leave out contestants, comma separated")
    parser.add_argument("--interpreted", action="store_true", help="Postern not compiled")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def contestants(options: argparse.Namespace) -> list[Checked]:
    """Who takes part, Postfix first: the other is compared with it."""
    found = [postfix_checked(), postern_checked(compiled=not options.interpreted)]
    left_out = {name.strip().lower() for name in options.without.split(",")}
    return [one for one in found if one.name.lower() not in left_out]


def run(options: argparse.Namespace) -> Results:
    """All rounds: within a round the contestants take turns."""
    results, pace = Results(), Pace()
    with short_folder() as folder:
        message = signed_message(folder, SIZE_BYTES)
        with names(folder, message.zones):
            for scenario in SCENARIOS:
                if options.only in scenario.key:
                    play_all(results, scenario, pace, options, message.path)
    return results


def play_all(
    results: Results, scenario: Scenario, pace: Pace, options: argparse.Namespace, message: Path
) -> None:
    """All rounds of one scenario."""
    for number in range(1, options.rounds + 1):
        for contestant in contestants(options):
            measured = play(contestant, scenario, pace, options.seconds, message)
            results.add(scenario, contestant.name, measured)
            sys.stderr.write(
                f"{time.strftime('%H:%M:%S')} {scenario.key} {number}/{options.rounds}"
                f" {contestant.name}: {measured.rate:,.0f}/s,"
                f" {measured.cpu_per_1000:.2f} CPU s/1,000\n"
            )
    print(plain(results, scenario), end="\n\n", flush=True)


def play(
    contestant: Checked, scenario: Scenario, pace: Pace, seconds: float, message: Path
) -> Measured:
    """One round: a server of its own, proven to check, warmed up, measured."""
    key = f"{contestant.name} {scenario.key}"

    def send(count: int) -> float:
        return smtp_source(
            running.port,
            messages=count,
            sessions=scenario.sessions,
            sender=SENDER,
            recipient=RECIPIENT,
            size_bytes=0,
            reuse=scenario.reuse,
            options=("-F", str(message), "-M", "mail.tea.example"),
            timeout_s=LONGEST_S,
            host=CLIENT,
        )

    with contestant.start() as running:
        running.prove(message.read_bytes())
        took, count = 0.0, FEWEST_MESSAGES
        while took < min(1.0, seconds / 5):
            took = send(count)
            pace.rates[key] = count / took
            count *= 4
        count = pace.count(key, seconds, spare=0.15)
        before = sum(cpu_s(pid) for pid in running.pids)
        with watched(running.pids) as peaks:
            took = send(count)
        spent = sum(cpu_s(pid) for pid in running.pids) - before
    os.sync()
    return Measured(count, took, spent, sum(peak[0] for peak in peaks))


@contextmanager
def watched(pids: Sequence[int]) -> Iterator[list[list[int]]]:
    """The highest memory of each tree."""
    if not pids:
        yield []
        return
    with highest_memory(pids[0], every_s=SAMPLE_S) as peak, watched(pids[1:]) as others:
        yield [peak, *others]


def markdown(results: Results, options: argparse.Namespace) -> str:
    """The section of the page, marks included."""
    method = METHOD.format(
        size=f"{SIZE_BYTES:,}",
        rounds=options.rounds,
        seconds=options.seconds,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=os.cpu_count(),
        load=os.getloadavg()[2],
    )
    lines = [CHECKS_BEGIN, "## Mail that is checked", "", method, ""]
    for scenario in results.scenarios():
        lines += [f"### {scenario.name[0].upper()}{scenario.name[1:]}", ""]
        lines += [f"{goal(scenario)[0].upper()}{goal(scenario)[1:]}.", ""]
        lines += [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
        lines += [f"| {' | '.join(row.cells())} |" for row in rows(results, scenario)]
        lines += [""]
    return "\n".join([*lines, CHECKS_END]) + "\n"


def main() -> int:
    """Measure, print, and write the page where asked for."""
    options = arguments()
    if not options.inside:
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        missing = [name for name in NEEDED if shutil.which(name) is None]
        if missing or os.geteuid() != 0:
            what = ", ".join(missing) or "root, for a network of its own"
            sys.stderr.write(f"bench: needs {what}\n")
            return 69
        if not options.interpreted and not is_current():
            sys.stderr.write("bench: what is compiled is older than the sources: make compile\n")
            return 69
        again = [sys.executable, "-m", "bench.checks", "--inside", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--net", "--mount", "--", *again])
    network()
    results = run(options)
    if options.page:
        old = PAGE.read_text("utf-8")
        text = put_checks(old, markdown(results, options))
        PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
