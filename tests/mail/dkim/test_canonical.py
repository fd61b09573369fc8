import pytest

from postern.mail.dkim.canonical import relaxed_field, without_signature


@pytest.mark.parametrize(
    ("value", "relaxed"),
    [
        (b" X", b"a:X"),  # RFC 6376 §3.4.5
        (b" Y\t\r\n\tZ  ", b"a:Y Z"),
        (b"", b"a:"),
        (b" \t ", b"a:"),
        (b"x\r\n y", b"a:x y"),
        (b"x \r\n \r\n\ty", b"a:x y"),
        (b" a\nb\rc ", b"a:a\nb\rc"),  # no line ends here
        (b"\x0bx\x0c", b"a:\x0bx\x0c"),  # no blanks either
    ],
)
def test_relaxed_forgives_folding_and_blanks_and_nothing_else(value: bytes, relaxed: bytes) -> None:
    assert relaxed_field(b"a", value) == relaxed


@pytest.mark.parametrize(
    ("field", "emptied"),
    [
        (b"S: a=1; b=AA==; c=2", b"S: a=1; b=; c=2"),
        (b"S: a=1; b=AA==", b"S: a=1; b="),
        (b"S: a=1;\r\n\tb = A\r\n A== \r\n ; bh=BB", b"S: a=1;\r\n\tb =; bh=BB"),
        (b"S:b=AA", b"S:b="),
        (b"S: bh=BB; b=", b"S: bh=BB; b="),
        (b"S: bb=b=; ab=3;b=x", b"S: bb=b=; ab=3;b="),
    ],
)
def test_only_the_value_of_b_is_taken_out_with_the_blanks_around_it(
    field: bytes, emptied: bytes
) -> None:
    assert without_signature(field) == emptied
