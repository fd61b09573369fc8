"""The Makefile is the only door, and each of its targets is explained to people."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = sorted(
    word for line in re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE) for word in line.split()
)


@pytest.mark.parametrize("target", TARGETS)
def test_target_is_in_make_help_and_in_contributing(target: str) -> None:
    shown = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(rf"^make {target}\s+\S", shown, re.MULTILINE)
    assert f"`make {target}`" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("target", ["run", "test"])
def test_readme_names_the_two_commands(target: str) -> None:
    assert f"make {target}" in (ROOT / "README.md").read_text("utf-8")


def test_ci_calls_the_same_targets_as_people() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "set -euo pipefail" in script
    assert re.findall(r"^stage (\w+)$", script, re.MULTILINE) == ["check", "test"]


SCRIPTS = [path for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"] if path.is_file()]


@pytest.mark.parametrize("script", [path for path in SCRIPTS if not path.suffix], ids=str)
def test_shell_scripts_stop_at_the_first_error_and_may_be_run(script: Path) -> None:
    text = script.read_text("utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert script.stat().st_mode & 0o111


def test_locked_libraries_are_pinned_with_hashes_and_shared_by_both_locks() -> None:
    pinned = {
        name: set(re.findall(r"^([A-Za-z0-9_.-]+==\S+)", text, re.MULTILINE))
        for name in ("runtime", "dev")
        if (text := (ROOT / "requirements" / f"{name}.txt").read_text("utf-8"))
    }
    assert pinned["runtime"]
    assert pinned["runtime"] <= pinned["dev"]
    for name in pinned:
        text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
        assert len(re.findall(r"==", text)) <= text.count("--hash=sha256:")


def test_every_dependency_of_the_package_is_locked() -> None:
    wanted = re.findall(r'^  "([a-z0-9-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    locked = (ROOT / "requirements" / "runtime.txt").read_text("utf-8")
    assert wanted
    assert [name for name in wanted if not re.search(rf"^{name}==", locked, re.MULTILINE)] == []
