"""``python -m bench``: Postern beside Postfix and aiosmtpd in one run."""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from bench.contestants import (
    Contestant,
    aiosmtpd_contestant,
    postern_contestant,
    postfix_contestant,
)
from bench.limits import measure
from bench.machine import facts
from bench.report import Results, markdown, merge, plain
from bench.rounds import Pace, play, scratch_folder
from bench.scenario import SCENARIOS, Scenario
from scripts.compile import is_current

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (5)")
    parser.add_argument("--seconds", type=float, default=10.0, help="least load of a round (10)")
    parser.add_argument("--only", default="", help="scenarios whose key contains this")
    parser.add_argument("--without", default="", help="leave out contestants, comma separated")
    parser.add_argument("--tuned", action="store_true", help="a tuned Postfix as well")
    parser.add_argument("--interpreted", action="store_true", help="also Postern not compiled")
    parser.add_argument("--workers", type=int, default=0, help="Postern's; 0: one per core")
    parser.add_argument("--list", action="store_true", help="print the scenarios and end")
    parser.add_argument("--no-limits", action="store_true", help="leave out bench.limits")
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md alone")
    return parser.parse_args()


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """Who takes part, Postfix first: the others are compared with it."""
    found = [postfix_contestant(tuned=False)]
    if options.tuned:
        found.append(postfix_contestant(tuned=True))
    found.append(postern_contestant(workers=options.workers))
    if options.interpreted:
        found.append(postern_contestant(workers=options.workers, compiled=False))
    found.append(aiosmtpd_contestant())
    left_out = {name.strip().lower() for name in options.without.split(",")}
    return [contestant for contestant in found if contestant.name.lower() not in left_out]


def scenarios(options: argparse.Namespace) -> list[Scenario]:
    """What is measured."""
    return [scenario for scenario in SCENARIOS if options.only in scenario.key]


def run(options: argparse.Namespace) -> tuple[Results, list[tuple[str, str]]]:
    """All rounds: within a round the contestants take turns, so that a slow minute hits all."""
    results, pace, taking_part = Results(), Pace(), contestants(options)
    with scratch_folder() as scratch:
        about = facts(scratch)
        for scenario in scenarios(options):
            for number in range(1, options.rounds + 1):
                for contestant in taking_part:
                    if scenario.way not in contestant.ways:
                        continue
                    measured = play(contestant, scenario, pace, options.seconds, scratch)
                    results.add(scenario, contestant.name, measured)
                    sys.stderr.write(
                        f"{time.strftime('%H:%M:%S')} {scenario.key} {number}/{options.rounds}"
                        f" {contestant.name}: {measured.rate:,.0f}/s, {measured.messages:,} in"
                        f" {measured.seconds:.1f} s\n"
                    )
            print(plain(results, scenario), end="\n\n", flush=True)
    return results, about


def main() -> int:
    """Run the benchmarks; print and write the tables."""
    options = arguments()
    if options.list:
        print("\n".join(scenario.key for scenario in scenarios(options)))
        return 0
    if shutil.which("smtp-source", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        sys.stderr.write("bench: needs Postfix (apt-get install postfix) and root to start it\n")
        return 69
    if not is_current():
        sys.stderr.write("bench: what is compiled is older than the sources: make compile\n")
        return 69
    os.environ["PATH"] += ":/usr/sbin"
    results, about = run(options)
    limits = [] if options.no_limits or options.only else measure()
    if not options.no_page:
        notes = [(contestant.name, contestant.note) for contestant in contestants(options)]
        text = markdown(
            results, about, notes, limits, rounds=options.rounds, seconds=options.seconds
        )
        old = PAGE.read_text("utf-8") if PAGE.exists() else ""
        PAGE.write_text(merge(old, text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
