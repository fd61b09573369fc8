"""Extensions as the programs that open files see them."""

import pytest

from postern.mail.mime.names import MAX_NAME_CHARS, extensions, last_of, last_two


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.pdf", "pdf"), ("A.PDF", "pdf"), ("a.tar.gz", "tar"), ("a.exe.xz", "exe"),
        ("a.b/c.exe", "exe"), ("a.exe\u202e", "exe"), ("a.exe \u00a0.", "exe"),
        ("a.\u200bexe", "exe"),
        (".exe", "exe"), ("a.exe:b", "exe"), ("a.exe\x00b.txt", "exe"), ("a.e\x00xe", "exe"),
    ],
)  # fmt: skip
def test_an_extension_is_found(name: str, ending: str) -> None:
    assert ending in extensions(name)


@pytest.mark.parametrize("name", ["", "exe", "a.b/c", "a.", "...", "a." + "x" * 30, "a exe"])
def test_names_without_one_have_none(name: str) -> None:
    assert not extensions(name) & {"exe", "b"}


def test_the_two_last_tell_what_is_named_like_something_else() -> None:
    assert last_two("invoice.pdf.exe") == {("pdf", "exe")}
    assert last_two("invoice.pdf        .exe ") == {("pdf", "exe")}
    assert last_two("invoice.exe") == set()


def test_a_name_is_cut_where_its_end_stays() -> None:
    assert last_of("x" * 1000 + ".exe").endswith(".exe")
    assert len(last_of("x" * 1000)) == MAX_NAME_CHARS
    assert last_of("a/b\\c.exe") == "c.exe"
