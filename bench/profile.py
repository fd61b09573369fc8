"""``python -m bench.profile``: where Postern's CPU time goes, by py-spy, under load.

Prints for each function its own time in microseconds a message, and leaves the collapsed stacks of
each process below ``run/`` for flame graph viewers. Needs the right to trace processes (root). It
runs what is not compiled: compiled functions have no frames that py-spy could see.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench.contestants import postern_contestant
from bench.rounds import Pace, measure, scratch_folder, warm_up
from bench.scenario import SCENARIOS
from tests.peers.proctree import tree
from tests.peers.sink import smtp_sink

FOLDER = Path(__file__).resolve().parents[1] / "run"
PY_SPY = Path(sys.executable).with_name("py-spy")
SAMPLES_A_SECOND = 200
MOST_LINES = 40


def record(pid: int, seconds: float, output: Path) -> "subprocess.Popen[bytes]":
    """Start py-spy on one process: samples of whoever holds the interpreter's lock.

    What py-spy takes for idle is not to be trusted everywhere (on some virtual machines waiting
    threads count as running), and who holds the lock is at work. System calls that let go of it,
    most of all reads and writes of sockets, are not seen: they are in the CPU seconds.
    """
    command = [
        str(PY_SPY), "record", "--pid", str(pid), "--duration", str(int(seconds)),
        "--rate", str(SAMPLES_A_SECOND), "--format", "raw", "--output", str(output),
        "--threads", "--gil",
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def own_time(raw: str) -> Counter[str]:
    """Samples by the function that was running: the last frame of each collapsed stack."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        found[frames[-1].partition(":")[0]] += int(count)
    return found


def python_time(raw: str) -> Counter[str]:
    """Samples by the innermost frame that is a line of Postern, its libraries' time included."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        ours = [frame for frame in stack.split(";") if "postern/" in frame]
        found[ours[-1] if ours else "(event loop, TLS, interpreter)"] += int(count)
    return found


def table(title: str, samples: Counter[str], us_a_message: float) -> str:
    """The heaviest lines, in microseconds a message."""
    total = sum(samples.values()) or 1
    lines = [f"{title} ({us_a_message:,.0f} us a message with the interpreter's lock held)"]
    lines += [
        f"{count / total * us_a_message:8.1f} us {count / total:6.1%}  {name}"
        for name, count in samples.most_common(MOST_LINES)
    ]
    return "\n".join(lines)


def main() -> int:
    """Load Postern, record its workers, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--only", default="accept-4kB-single", help="key of the scenario")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    (scenario,) = [known for known in SCENARIOS if known.key == options.only]
    FOLDER.mkdir(exist_ok=True)
    contestant, pace, key = (
        postern_contestant(workers=options.workers, compiled=False),
        Pace(),
        "profile",
    )
    outputs: list[Path] = []
    with (
        scratch_folder() as scratch,
        smtp_sink("-m", "512", log=scratch / "sink.log") as sink,
        contestant.start(scenario.way, sink.port) as running,
    ):
        warm_up(running, scenario, sink, pace, key, options.seconds)
        recorders = []
        for stat in tree(running.pid)[1:]:
            outputs.append(FOLDER / f"profile-{scenario.key}-{stat.pid}.txt")
            recorders.append(record(stat.pid, options.seconds, outputs[-1]))
        count = pace.count(key, options.seconds, spare=0.2)
        measured = measure(running, scenario, sink, count)
        for recorder in recorders:
            recorder.wait(60)
    raw = "".join(path.read_text() for path in outputs if path.exists())
    samples = sum(python_time(raw).values())
    us_a_message = samples / SAMPLES_A_SECOND * 1e6 / (measured.rate * options.seconds)
    print(f"{scenario.name}: {measured.rate:,.0f} messages/s while being watched\n")
    print(table("In Postern's lines, libraries included", python_time(raw), us_a_message))
    print()
    print(table("In functions, on their own", own_time(raw), us_a_message))
    print(f"\nstacks: {', '.join(str(path) for path in outputs if path.exists())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
