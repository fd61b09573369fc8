"""A missing peer is skipped and named, and in CI a skip fails the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INNER = """
import pytest

@pytest.mark.peers("absent-program")
def test_needs_something_nobody_has() -> None:
    pass

def test_needs_nothing() -> None:
    pass
"""


def run_inner(folder: Path, *options: str, ci: bool) -> "subprocess.CompletedProcess[str]":
    """Run two tests, one of which needs a program that is nowhere, under our conftest."""
    (folder / "test_inner.py").write_text(INNER)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = peers\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", str(folder),
         "-c", str(folder / "pytest.ini"), *options, str(folder / "test_inner.py")],
        cwd=ROOT,
        env={**os.environ, "CI": "true" if ci else "", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_a_missing_peer_is_skipped_counted_and_named(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    done = run_inner(tmp_path, *options, ci=False)
    assert done.returncode == 0, done.stdout
    assert "1 skipped, not run: needs absent-program" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_in_ci_a_skip_fails_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run_inner(tmp_path, *options, ci=True)
    assert done.returncode == 1, done.stdout
    assert "1 skipped, fails the run, for CI=true: needs absent-program" in done.stdout


def test_a_run_that_collects_nothing_fails(tmp_path: Path) -> None:
    assert run_inner(tmp_path, "-k", "no_such_test", ci=False).returncode == 5
