"""What `make compile` may compile: only what mypyc gets right, and nothing by accident."""

from pathlib import Path

import pytest
from scripts.compile import HOT, LEFT_OUT, SOURCES, fingerprint, hot_modules, is_current

MODULES = list(hot_modules(SOURCES))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_nothing_that_mypyc_gets_wrong_is_compiled(module: Path) -> None:
    text = module.read_text("utf-8")
    # It takes a memoryview for bytes, and reads memory that is not there.
    assert "memoryview" not in text
    # Structs are made by msgspec while the module runs.
    assert "msgspec.Struct" not in text


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
