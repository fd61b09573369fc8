"""What `make compile` may compile: only what mypyc gets right, and nothing by accident."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.compile import HOT, LEFT_OUT, SOURCES, fingerprint, hot_modules, is_current

WAITS = (ast.Await, ast.Yield, ast.YieldFrom, ast.AsyncFor, ast.AsyncWith)


def in_handlers(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """All that stands in an ``except`` or a ``finally``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            for part in (*node.handlers, *node.finalbody):
                for inner in ast.walk(part):
                    if isinstance(inner, ast.expr | ast.stmt):
                        yield inner


MODULES = list(hot_modules(SOURCES))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_nothing_that_mypyc_gets_wrong_is_compiled(module: Path) -> None:
    text = module.read_text("utf-8")
    # It takes a memoryview for bytes, and reads memory that is not there.
    assert "memoryview" not in text
    # Structs are made by msgspec while the module runs.
    assert "msgspec.Struct" not in text
    # Its coroutines have no exception state of their own: one that waits while an exception is on
    # its way goes on with whichever exception is another's by then.
    waits = [node.lineno for node in in_handlers(ast.parse(text)) if isinstance(node, WAITS)]
    assert waits == []


def test_every_pattern_and_every_exception_still_names_a_module() -> None:
    for pattern in HOT:
        assert list(SOURCES.glob(pattern)), pattern
    for name in LEFT_OUT:
        assert (SOURCES / name).is_file(), name


def test_what_was_compiled_from_other_sources_is_not_used(tmp_path: Path) -> None:
    assert not is_current(tmp_path)
    (tmp_path / "of-sources").write_text("0" * 64, encoding="ascii")
    assert not is_current(tmp_path)
    (tmp_path / "of-sources").write_text(fingerprint(), encoding="ascii")
    assert is_current(tmp_path)
