"""The atheris targets: libFuzzer looks for input that reaches new code and breaks the invariants.

Not collected where atheris has no wheel for this Python (see ``tests/conftest.py``); the hypothesis
targets hold the same invariants.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.fuzz


@pytest.mark.parametrize("target", ["atheris_client", "atheris_mime", "atheris_server"])
def test_no_input_breaks_the_invariant(target: str, fuzz_seconds: float, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            f"tests.fuzz.{target}",
            str(max(1, round(fuzz_seconds))),
            f"-artifact_prefix={tmp_path}/",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-8000:]
    assert "Done " in told, told[-8000:]
