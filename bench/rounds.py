"""One round: load one server for at least so long, and read what it cost."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.contestants import RECIPIENT, Contestant, Running
from bench.scenario import Scenario, Way
from bench.watch import highest_memory
from tests.peers.process import short_folder, wait_until
from tests.peers.proctree import cpu_s
from tests.peers.sink import Sink, smtp_sink, smtp_source

FEWEST_MESSAGES = 40
LONGEST_S = 600.0
SAMPLE_S = 0.5
SINK_CONNECTIONS = "512"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one round of one contestant gave."""

    messages: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_per_1000(self) -> float:
        """CPU seconds of the server's whole process tree for 1,000 messages."""
        return self.cpu_seconds * 1000 / self.messages


@dataclass
class Pace:
    """How many messages fill a round: learnt from the rounds before."""

    rates: dict[str, float] = field(default_factory=dict)

    def count(self, key: str, seconds: float, *, spare: float) -> int:
        """Messages that take ``seconds`` at the rate known, and ``spare`` of it more."""
        return max(FEWEST_MESSAGES, int(self.rates[key] * seconds * (1 + spare)))


def play(
    contestant: Contestant, scenario: Scenario, pace: Pace, seconds: float, scratch: Path
) -> Measured:
    """Run one round of at least ``seconds``; a round that fell short is run again with more."""
    key = f"{contestant.name} {scenario.key}"
    spare = 0.15
    while True:
        with (
            smtp_sink("-m", SINK_CONNECTIONS, log=scratch / "sink.log") as sink,
            contestant.start(scenario.way, sink.port) as running,
        ):
            warm_up(running, scenario, sink, pace, key, seconds)
            measured = measure(running, scenario, sink, pace.count(key, seconds, spare=spare))
        # What this round leaves to be written must not be charged to the next.
        os.sync()
        pace.rates[key] = measured.rate
        if measured.seconds >= seconds:
            return measured
        spare += 0.15


def warm_up(
    running: Running, scenario: Scenario, sink: Sink, pace: Pace, key: str, seconds: float
) -> None:
    """Wake every process of the server; the first time also learn its rate."""
    count = FEWEST_MESSAGES
    if key in pace.rates:
        pace_count = pace.count(key, seconds * 0.05, spare=0)
        send(running, scenario, sink, max(count, pace_count))
        return
    took = 0.0
    while took < min(1.0, seconds / 5):
        took = send(running, scenario, sink, count)
        pace.rates[key] = count / took
        count *= 4


def send(running: Running, scenario: Scenario, sink: Sink, count: int) -> float:
    """Send ``count`` messages; returns seconds until the last was where the scenario wants it."""
    before = sink.messages
    begin = time.monotonic()
    took = smtp_source(
        running.port,
        messages=count,
        sessions=scenario.sessions,
        size_bytes=scenario.size_bytes,
        recipient=RECIPIENT,
        reuse=scenario.reuse,
        timeout_s=LONGEST_S,
    )
    if scenario.way is Way.ACCEPT:
        return took
    return sink.wait_for(before + count, within_s=LONGEST_S) - begin


def measure(running: Running, scenario: Scenario, sink: Sink, count: int) -> Measured:
    """Send ``count`` messages and read time, CPU and memory."""
    settle(running, scenario)
    cpu_before = cpu_s(running.pid)
    with highest_memory(running.pid, every_s=SAMPLE_S) as peak:
        seconds = send(running, scenario, sink, count)
        settle(running, scenario)
    return Measured(count, seconds, cpu_s(running.pid) - cpu_before, peak[0])


def settle(running: Running, scenario: Scenario) -> None:
    """Wait until a relaying server has nothing unfinished, so that its cost is whole."""
    if scenario.way is Way.RELAY:
        wait_until(lambda: running.unfinished() == 0, "an empty queue", within_s=LONGEST_S)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder on the file system that all contestants use."""
    with short_folder() as folder:
        yield folder
