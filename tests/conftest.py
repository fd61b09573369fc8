"""What every test may use: skips that are counted, short folders, real peers, fuzz time.

Peers are imported from ``tests.peers`` and started with ``with``; their logs are shown beside a
failed test. Anything skipped fails the run where ``CI=true``.
"""

import importlib
import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from scripts.compile import is_current
from tests.costs import Costs, in_long
from tests.peers import process
from tests.peers.warm import nursery

# Programs and the Debian packages they come in; "root" is no program but just as needed.
PROGRAMS = {
    "postfix": "postfix",
    "smtp-source": "postfix",
    "smtp-sink": "postfix",
    "dovecot": "dovecot-imapd dovecot-lmtpd",
    "swaks": "swaks",
    "nsd": "nsd",
    "unbound": "unbound",
    "openssl": "openssl",
    "ip": "iproute2",
    "nft": "nftables",
    "exim4": "exim4-daemon-light, which scripts/peers unpacks beside Postfix",
    "clamd": "clamav-daemon",
    "opendkim": "opendkim",
    "rspamd": "rspamd",
    "spamd": "spamd",
}
NEED_ROOT = {"postfix", "dovecot", "exim4"}
SERVERS_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/opt/exim4-for-tests"]
)
COMPILED = Path(".venv/compiled")
IN_CI = os.environ.get("CI") == "true"
FUZZ_SECONDS = 5.0

# Left out, not skipped: atheris has no wheel for Python 3.13 yet.
collect_ignore = [] if importlib.util.find_spec("atheris") else ["fuzz/test_coverage_guided.py"]

# Deadlines measure the machine, not the code. Not derandomized, even in CI: a fuzz target runs its
# batch again and again for its time, and would see the same examples each time.
settings.register_profile("postern", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("postern")


@pytest.fixture(scope="session")
def fuzz_seconds() -> float:
    """How long one fuzz target may run: 5 s, or ``POSTERN_FUZZ_SECONDS``."""
    return float(os.environ.get("POSTERN_FUZZ_SECONDS", FUZZ_SECONDS))


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets, open to other users."""
    with process.short_folder() as folder:
        yield folder


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now. Prefer port 0 where it can be used."""
    return process.free_port()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--costs``: see tests/costs.py."""
    parser.addoption("--costs", action="store_true", help="end with what is dearest, wall and CPU")


def pytest_configure(config: pytest.Config) -> None:
    """Put the servers' programs on PATH: they live in sbin, which users often lack."""
    os.environ["PATH"] = SERVERS_PATH
    nursery.is_open = True
    if config.getoption("--costs"):
        config.pluginmanager.register(Costs(), "costs")
    if str(COMPILED) in os.environ.get("PYTHONPATH", "") and not (is_compiled() and is_current()):
        pytest.exit(f"{COMPILED} was asked for and is not what runs: make compile", returncode=2)


@pytest.hookimpl(tryfirst=True)  # a random order, where that is wanted, has the last word
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    items.sort(key=in_long)


def pytest_report_header() -> str:
    """Say which of the two is being tested."""
    return f"postern: {'compiled' if is_compiled() else 'interpreted'}"


def is_compiled() -> bool:
    """True when what runs for every message was compiled (``make compile``)."""
    return not str(importlib.import_module("postern.mail.smtp.server").__file__).endswith(".py")


def missing_peers(names: tuple[str, ...]) -> list[str]:
    """Which of the named programs (or root) this machine lacks."""
    missing = [name for name in names if name != "root" and shutil.which(name) is None]
    if os.geteuid() != 0 and ("root" in names or NEED_ROOT.intersection(names)):
        missing.append("root")
    return missing


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests whose peers are not here: ``@pytest.mark.peers("postfix", "swaks")``."""
    for marker in item.iter_markers("peers"):
        if missing := missing_peers(marker.args or tuple(PROGRAMS)):
            pytest.skip(f"needs {', '.join(missing)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the running servers' logs beside a failure."""
    report = yield
    if report.failed:
        for server in process.running:
            report.sections.append((f"log of {server.name}", server.log_tail()))
    return report


def skip_reasons(reporter: pytest.TerminalReporter) -> Counter[str]:
    """How many tests were skipped, by reason."""
    reasons: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []):
        longrepr = report.longrepr
        text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        reasons[text.removeprefix("Skipped: ")] += 1
    return reasons


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With ``CI=true`` a skipped test fails the run: green must mean that everything ran."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and skip_reasons(reporter) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was skipped and how often."""
    for reason, count in sorted(skip_reasons(terminalreporter).items()):
        word = "fails the run, for CI=true" if IN_CI else "not run"
        terminalreporter.write_line(f"{count} skipped, {word}: {reason}")
