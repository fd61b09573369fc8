from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields
from postern.mail.message.header import MAX_FIELDS, MAX_HEADER_BYTES

HEADER = b"A: 1\r\nB : 2\r\n\t3\r\na:4\r\nSig: b=x;\r\n c=y\r\nA:  5 \r\n\r\nA: body\r\n"


def test_fields_are_known_by_name_in_any_case_and_by_place_from_the_top() -> None:
    fields = HeaderFields(HEADER)
    assert fields.places(b"a") == [0, 2, 4]
    assert fields.places(b"b") == [1]
    assert fields.count(b"a") == 3
    assert fields.places(b"c") == []
    assert fields.count(b"c") == 0
    assert fields.value(1) == b" 2\r\n\t3"


def test_canonical_forms_of_a_field_end_with_a_line_end() -> None:
    fields = HeaderFields(HEADER)
    assert fields.canonical(1, Canon.SIMPLE) == b"B : 2\r\n\t3\r\n"
    for _ in range(2):
        assert fields.canonical(1, Canon.RELAXED) == b"b:2 3\r\n"


def test_names_take_fields_from_the_bottom_up_and_then_none() -> None:
    fields = HeaderFields(HEADER)
    assert fields.select([b"a", b"b", b"a", b"x", b"a", b"a", b"b"]) == [4, 1, 2, 0]


def test_a_signature_never_covers_itself_by_name() -> None:
    fields = HeaderFields(b"S: 1\r\nS: 2\r\nS: 3\r\n\r\n")
    assert fields.select([b"s"] * 4, own=2) == [1, 0]
    assert fields.select([b"s"] * 4, own=0) == [2, 1]
    assert fields.select([b"s"] * 2, own=1) == [2, 0]


def test_signed_octets_end_with_the_signature_itself_without_line_end() -> None:
    fields = HeaderFields(HEADER)
    names = [b"b", b"a"]
    assert fields.signed_octets(names, 3, Canon.RELAXED) == b"b:2 3\r\na:5\r\nsig:b=; c=y"
    assert (
        fields.signed_octets(names, 3, Canon.SIMPLE)
        == b"B : 2\r\n\t3\r\nA:  5 \r\nSig: b=;\r\n c=y"
    )


def test_what_is_no_field_is_never_signed() -> None:
    fields = HeaderFields(b" junk: 1\r\nFrom me\r\n:x\r\nA: 1\r\n\r\n")
    assert [fields.count(name) for name in (b"junk", b" junk", b"from me", b"", b"a")] == [
        0, 1, 0, 0, 1,
    ]  # fmt: skip


def test_a_message_without_body_or_header_has_the_fields_it_has() -> None:
    assert HeaderFields(b"").count(b"a") == 0
    assert HeaderFields(b"\r\nA: 1\r\n").count(b"a") == 0
    assert HeaderFields(b"A: 1").canonical(0, Canon.SIMPLE) == b"A: 1\r\n"


def test_an_overlong_header_has_no_fields() -> None:
    for data in (b"A: " + b"x" * MAX_HEADER_BYTES, b"A:\r\n" * (MAX_FIELDS + 1) + b"\r\n"):
        fields = HeaderFields(data)
        assert fields.is_overlong
        assert fields.count(b"a") == 0
    assert not HeaderFields(HEADER).is_overlong
