"""The house stands as drawn: sizes, rooms, empty door plates, words that do not belong here."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "postern"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400

LONGER_FOR_A_REASON: dict[str, str] = {}
"""Modules that may be longer, each with the reason why splitting would be worse."""

# Written in two halves, so that this list does not find itself.
BANNED = [
    "TO" + "DO",
    "FIX" + "ME",
    "XX" + "X:",
    "HA" + "CK:",
    "Not" + "ImplementedError",
]
BANNED_NAMES = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}


def tracked_files() -> list[Path]:
    """Every file of the project, new ones included, what git ignores left out."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    return [ROOT / name.decode() for name in names if name and (ROOT / name.decode()).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_holds_one_idea_in_at_most_400_lines(module: Path) -> None:
    lines = len(module.read_text("utf-8").splitlines())
    if name_of(module) in LONGER_FOR_A_REASON:
        assert lines > MOST_LINES, "short enough now: take it off the list"
    else:
        assert lines <= MOST_LINES, f"{lines} lines: split it by idea, or list it with a reason"


def test_every_room_has_its_place_in_the_layers_and_every_layer_is_a_room() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [contract["layers"] for contract in linter["contracts"] if "exhaustive" in contract]
    placed = {room.strip() for line in layers for room in line.split("|")}
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    rooms |= {path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    assert placed == rooms


@pytest.mark.parametrize(
    "module", [path for path in MODULES if path.name == "__init__.py"], ids=name_of
)
def test_a_room_opens_with_a_docstring_and_does_no_work(module: Path) -> None:
    """Imports here would be paid by everyone who enters; the command line must start in a blink."""
    body = ast.parse(module.read_text("utf-8")).body
    assert body, "a room says what it is for"
    first, *rest = body
    assert isinstance(first, ast.Expr)
    assert isinstance(first.value, ast.Constant)
    assert all(isinstance(node, ast.Assign | ast.AnnAssign) for node in rest)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_is_named_for_what_it_does(module: Path) -> None:
    parts = set(module.relative_to(PACKAGE).with_suffix("").parts)
    assert not parts & BANNED_NAMES


def test_nothing_is_left_unfinished_in_the_tree() -> None:
    found = []
    pattern = re.compile("|".join(re.escape(word) for word in BANNED))
    for path in tracked_files():
        if path.suffix not in {".py", ".toml", ".md", ".sql", ".j2", ""} or path.name == "LICENSE":
            continue
        text = path.read_text("utf-8", "replace")
        found += [
            f"{name_of(path)}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), start=1)
            if pattern.search(line)
        ]
    assert not found, "\n".join(found)


def test_no_tests_folder_is_a_package() -> None:
    """Test files import as ``tests.room.test_x``; an ``__init__.py`` would shadow the package."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("room", sorted(path.name for path in PACKAGE.iterdir() if path.is_dir()))
def test_every_room_with_modules_has_tests(room: str) -> None:
    modules = [path for path in (PACKAGE / room).rglob("*.py") if path.name != "__init__.py"]
    tests = list((ROOT / "tests" / room).rglob("test_*.py"))
    assert tests or not modules, f"tests/{room} has no test"


def test_silenced_findings_give_their_reason() -> None:
    silent = re.compile(r"#\s*(noqa(: [A-Z0-9, ]+)?|type: ignore(\[[a-z-, ]+\])?)\s*$")
    found: list[str] = []
    for path in [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]:
        found += [
            f"{name_of(path)}:{number}: {line.strip()}"
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
            if silent.search(line)
        ]
    assert not found, "\n".join(found)
