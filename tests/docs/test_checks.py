"""docs/checks.md knows every check that rules know, as it is treated by default."""

import re
from pathlib import Path

import pytest

from postern.policy.rules.rule import DEFAULTS, FOR_NOW, UNTOLD, Treatment, is_locked

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "checks.md").read_text("utf-8")
ROWS = {
    check: (ids.index(check), row[2])
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for row in [[cell.strip() for cell in line.strip("|").split("|")]]
    for ids in [re.findall(r"`([a-z]+\.[a-z-]+)`", row[0])]
    for check in ids
}


@pytest.mark.parametrize("check", sorted(DEFAULTS))
def test_every_check_is_there_with_its_treatment(check: str) -> None:
    place, words = ROWS[check]
    treatment = DEFAULTS[check]
    word = "not now" if check in FOR_NOW and treatment is Treatment.REFUSE else treatment.value
    several = [part.strip() for part in words.removesuffix(", locked").split(",")]
    assert several[min(place, len(several) - 1)] == word
    assert ("locked" in words) == is_locked(check)


@pytest.mark.parametrize("check", sorted(UNTOLD))
def test_what_scanners_could_not_tell_is_there_with_its_treatment(check: str) -> None:
    assert f"| `{check}` | {UNTOLD[check].value} |" in PAGE


def test_skeleton_of_a_check_is_a_check() -> None:
    code = PAGE.split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(compile(code, "docs/checks.md", "exec"), names)
    assert callable(names["check_skeleton"])
