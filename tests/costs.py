"""What tests cost: ``pytest --costs`` ends with the dearest folders, files and tests.

Wall time says how long somebody waits, CPU time (of the test and of every child that ended
meanwhile) what the machine does: a test whose wall is far above its CPU waits for something. A
server that tests share is counted where it stops.
"""

import os
import resource
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import pytest
from tests.peers import warm

MOST = int(os.environ.get("MOST", "25"))
"""Rows of each table."""

LONG = (
    "lab/test_blocked_provider.py",
    "lab/test_stalled_tls.py",
    "lab/test_tarpits.py",
    "journeys/test_quarantine.py",
    "journeys/test_rejected_sender.py",
    "journeys/test_scanners.py",
    "journeys/test_rules.py",
    "reception/test_settlement.py",
    "fuzz/test_server_machine.py",
    "journeys/test_large.py",
    "journeys/test_every_check.py",
)
"""The longest files, longest first: begun last, one of them would keep a process busy alone."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.wall - other.wall, self.cpu - other.cpu)


def spent() -> Cost:
    """What this process and its ended children have cost so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in used) + warm.cpu_s
    return Cost(time.perf_counter(), cpu)


class Costs:
    """Measures where tests run, adds up where reports come together (with xdist: elsewhere)."""

    def __init__(self) -> None:
        self.begun = spent()
        self.by_test: dict[str, Cost] = defaultdict(Cost)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Everything up to the end of the protocol belongs to the test, its fixtures too."""
        self.begun = spent()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Each of its three reports (setup, call, teardown) takes with it what it cost."""
        report = yield
        now = spent()
        cost = now - self.begun
        self.begun = now
        report.user_properties.append(("cost", (cost.wall, cost.cpu)))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add it to its test."""
        for name, value in report.user_properties:
            if name == "cost":
                assert isinstance(value, (tuple, list)), value
                self.by_test[report.nodeid] += Cost(*value)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the tables."""
        total = sum(self.by_test.values(), Cost())
        terminalreporter.section(f"costs: {total.wall:.0f} s, CPU {total.cpu:.0f} s")
        for what, depth in (("folder", 2), ("file", 0), ("test", -1)):
            terminalreporter.write_line(f"   wall s    CPU s  {what}")
            for name, cost in dearest(self.by_test.items(), depth):
                terminalreporter.write_line(f"{cost.wall:9.2f}{cost.cpu:9.2f}  {name}")


def in_long(item: pytest.Item) -> int:
    """Its file's place in ``LONG``; all others come after."""
    file = item.nodeid.partition("::")[0].removeprefix("tests/")
    return LONG.index(file) if file in LONG else len(LONG)


def dearest(costs: Iterable[tuple[str, Cost]], depth: int) -> list[tuple[str, Cost]]:
    """The dearest by wall time: tests (-1), files (0), or the first ``depth`` parts of a path."""
    sums: dict[str, Cost] = defaultdict(Cost)
    for test, cost in costs:
        file = test.partition("::")[0]
        name = test if depth < 0 else file if depth == 0 else "/".join(file.split("/")[:depth])
        sums[name] += cost
    return sorted(sums.items(), key=lambda pair: -pair[1].wall)[:MOST]
