"""Regular expressions mean the same on every Python we promise to run on."""

import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "postern"
POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+|\(\?>")


def test_no_group_is_possessive() -> None:
    """Python before 3.11.5 goes on from the wrong place after one, and Debian 12 has 3.11.2.

    Possessive repeats of a single character or set (``[ -~]*+``) are right everywhere.
    """
    found = [
        f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"
        for path in sorted(SOURCE.rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if POSSESSIVE_GROUP.search(line)
    ]
    assert found == []
