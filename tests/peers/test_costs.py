"""``--costs`` tells what is dear, with one process and with several."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INNER = """
import subprocess, sys, threading

def test_waits() -> None:
    threading.Event().wait(0.6)

def test_works() -> None:
    burn = "import time\\nwhile time.process_time() < 0.4: pass"
    subprocess.run([sys.executable, "-S", "-c", burn], check=True)
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_wall_and_cpu_of_each_test_are_shown(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "test_inner.py").write_text(INNER)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = peers\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", str(tmp_path),
         "-c", str(tmp_path / "pytest.ini"), "--costs", *options, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^ *([\d.]+) +([\d.]+)  test_inner.py::(\w+)$", done.stdout, re.MULTILINE)
    cost = {name: (float(wall), float(cpu)) for wall, cpu, name in rows}
    assert cost["test_waits"][0] >= 0.6
    assert cost["test_waits"][1] < 0.3
    assert cost["test_works"][1] >= 0.39
    assert re.search(r"^ *[\d.]+ +[\d.]+  test_inner.py$", done.stdout, re.MULTILINE)
