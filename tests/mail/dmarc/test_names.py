import pytest

from postern.mail.dmarc.names import (
    domain_key,
    is_below,
    is_within,
    one_below,
    share_a_label,
    walk_names,
)


# RFC 9989 §4.10.
def test_the_walk_of_a_long_name_takes_eight_questions() -> None:
    assert walk_names("a.b.c.d.e.f.g.h.i.j.mail.example.com") == (
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    )


# RFC 9989 §5.1.8.
def test_a_zone_cut_above_seven_labels_is_passed_by() -> None:
    assert walk_names("mail.a.b.c.d.e.f.g.example.com") == (
        "mail.a.b.c.d.e.f.g.example.com",
        "c.d.e.f.g.example.com",
        "d.e.f.g.example.com",
        "e.f.g.example.com",
        "f.g.example.com",
        "g.example.com",
        "example.com",
        "com",
    )


@pytest.mark.parametrize("labels", range(1, 40))
def test_no_walk_is_longer_than_eight(labels: int) -> None:
    names = walk_names(".".join(["a"] * labels))
    assert len(names) == min(labels, 8)
    assert names[0] == ".".join(["a"] * labels)
    assert names[-1] == "a"


def test_a_single_label_is_its_own_walk() -> None:
    assert walk_names("localhost") == ("localhost",)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Tea.Example", "tea.example"),
        ("tea.example.", "tea.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("_spf.tea.example", "_spf.tea.example"),
        ("localhost", "localhost"),
        ("", None),
        (".", None),
        ("tea..example", None),
        (".tea.example", None),
        ("[192.0.2.1]", None),
        ("tea example", None),
        ("tea.example\r\n", None),
        ("a" * 64 + ".example", None),
        (".".join(["a" * 63] * 4), None),
        ("☕\u0301\u200f.example", None),
    ],
)
def test_names_are_compared_as_lower_case_a_labels(text: str, key: str | None) -> None:
    assert domain_key(text) == key


def test_what_lies_below_what() -> None:
    assert is_below("a.tea.example", "tea.example")
    assert not is_below("tea.example", "tea.example")
    assert not is_below("greentea.example", "tea.example")
    assert is_within("tea.example", "tea.example")
    assert one_below("a.b.tea.example", "tea.example") == "b.tea.example"
    assert one_below("b.tea.example", "tea.example") == "b.tea.example"
    assert share_a_label("a.example", "b.example")
    assert not share_a_label("a.example", "a.test")
