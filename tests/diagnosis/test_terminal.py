"""Strangers' text on a terminal: harmless, and as wide as it looks."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.diagnosis.terminal import Glyph, Style, cells, clipped, harmless, padded, wrapped


@pytest.mark.parametrize(
    ("evil", "shown"),
    [
        ("\x1b[2Jgone", "<U+001B>[2Jgone"),
        ("\x9b31m", "<U+009B>31m"),
        ("\u202egpj.exe", "<U+202E>gpj.exe"),
        ("a\u2066b\u2069", "a<U+2066>b<U+2069>"),
        ("pay\u200bpal", "pay<U+200B>pal"),
        ("two\r\nlines\tof", "two  lines of"),
        ("\udcff", "<U+DCFF>"),
        ("报价单 é", "报价单 é"),
    ],
)
def test_controls_and_turned_text_are_shown_not_obeyed(evil: str, shown: str) -> None:
    assert harmless(evil) == shown


@given(st.text(max_size=3000))
def test_nothing_that_moves_the_cursor_ever_passes(text: str) -> None:
    shown = harmless(text)
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in shown)
    assert "\n" not in shown


def test_ideographs_take_two_cells_and_accents_none() -> None:
    assert cells("报价") == 4
    assert cells("e\u0301") == 1
    assert padded("报", 4) == "报  "
    assert clipped("报价单报价单", 9) == "报价单..."


@given(st.text(max_size=500), st.integers(8, 60))
def test_wrapped_lines_fit_and_lose_no_word(text: str, columns: int) -> None:
    text = harmless(text)
    lines = wrapped(text, columns)
    assert all(cells(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_words_stay_whole_where_they_fit() -> None:
    assert wrapped("we could not look it up", 12) == ["we could not", "look it up"]


def test_ascii_style_has_words_for_marks() -> None:
    style = Style(is_ascii=True)
    assert [style.glyph(g) for g in (Glyph.GOOD, Glyph.BAD, Glyph.UNKNOWN)] == [
        "OK  ", "FAIL", "??  ",
    ]  # fmt: skip
    assert style.arrow == "->"
    assert [Style().glyph(g) for g in (Glyph.GOOD, Glyph.BAD, Glyph.UNKNOWN)] == ["✔", "✘", "?"]


def test_colour_only_where_it_is_wanted() -> None:
    assert Style(has_colour=True).glyph(Glyph.BAD) == "\x1b[31m✘\x1b[0m"
    assert Style().strong("REFUSED") == "REFUSED"
