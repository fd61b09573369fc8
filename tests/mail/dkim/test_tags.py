import pytest

from postern.mail.dkim.tags import MAX_TAG_LIST_BYTES, TagFlaw, read_base64, read_tags


def test_tags_come_in_order_without_the_blanks_around_them() -> None:
    read = read_tags(b" v = 1 ;a=b;\r\n\t c_2 =\r\n d  e ;")
    assert read == {b"v": b"1", b"a": b"b", b"c_2": b"d  e"}
    assert list(read) == [b"v", b"a", b"c_2"]


def test_a_value_may_be_empty_and_may_hold_equals_signs() -> None:
    assert read_tags(b"p=; b=AA==") == {b"p": b"", b"b": b"AA=="}


def test_names_are_told_apart_by_case() -> None:
    assert read_tags(b"a=1; A=2") == {b"a": b"1", b"A": b"2"}


def test_octets_beyond_ascii_may_stand_in_values() -> None:
    assert read_tags("d=grün.example".encode()) == {b"d": "grün.example".encode()}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a=1; a=2", "the tag a= stands twice"),
        (b"a=1;; b=2", "the tag list has a part that is not a tag"),
        (b";a=1", "the tag list has a part that is not a tag"),
        (b"a=1; b", "the tag list has a part that is not a tag"),
        (b"a=1; 1b=2", "the tag list has a part that is not a tag"),
        (b"a=1; b c=2", "the tag list has a part that is not a tag"),
        (b"=1", "the tag list has a part that is not a tag"),
        (b"a=1;\r\nb=2", "the tag list has control characters"),
        (b"a=1;\nb=2", "the tag list has control characters"),
        (b"a=1\r; b=2", "the tag list has control characters"),
        (b"a=\x00", "the tag list has control characters"),
        (b"a=" + b"1" * MAX_TAG_LIST_BYTES, "the tag list is longer than 16384 octets"),
    ],
)
def test_a_list_that_breaks_the_grammar_is_worth_nothing(raw: bytes, text: str) -> None:
    assert read_tags(raw) == TagFlaw(text)


def test_no_tags_are_a_list_too() -> None:
    assert read_tags(b" \r\n ") == {}


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"AAECAw==", b"\x00\x01\x02\x03"),
        (b"AAECAw", b"\x00\x01\x02\x03"),  # padding may be left out
        (b" A A\tECAw = =", b"\x00\x01\x02\x03"),
        (b"A", None),
        (b"", None),
        (b"====", None),
        (b"AA-_", None),
        (b"AA==AA", None),
        (b"AA===", None),
    ],
)
def test_base64_is_read_strictly_but_for_blanks_and_padding(
    text: bytes, octets: bytes | None
) -> None:
    assert read_base64(text) == octets
