"""Every setting is documented, and the page is the one made from the settings."""

from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from postern.config import settings
from postern.config.reference import description, reference

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
STRUCTS = [
    value
    for value in vars(settings).values()
    if isinstance(value, type)
    and issubclass(value, msgspec.Struct)
    and value.__module__ == settings.__name__
    and value is not settings.Config
]


def test_settings_page_is_in_step() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "run: postern config reference > docs/settings.md"
    )


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: str(struct.__name__))
def test_every_setting_says_what_it_is(struct: type[msgspec.Struct]) -> None:
    hints = get_type_hints(struct, include_extras=True)
    silent = [
        info.name for info in msgspec.structs.fields(struct) if not description(hints[info.name])
    ]
    assert not silent
    assert struct.__doc__


def test_every_setting_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for struct in STRUCTS:
        for info in msgspec.structs.fields(struct):
            assert f"| `{info.encode_name}` |" in page
