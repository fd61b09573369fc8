"""Names, types and encodings in every spelling that some mail program takes."""

import pytest

from postern.mail.message.header import HeaderScan
from postern.mail.mime.fields import MAX_READINGS, Entity, read_entity
from postern.mail.mime.names import extensions
from postern.mail.mime.part import Encoding, Fault


def entity(header: bytes) -> Entity:
    said = read_entity(HeaderScan(header + b"\r\n\r\n"))
    assert said is not None
    return said


def disposition(value: bytes) -> tuple[str, ...]:
    return entity(b"Content-Disposition: attachment" + value).names


def test_a_header_that_says_nothing_of_its_body_is_none() -> None:
    assert read_entity(HeaderScan(b"Subject: x\r\n\r\n")) is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b'; filename="invoice.pdf"', "invoice.pdf"),
        (b"; filename=invoice.pdf", "invoice.pdf"),
        # RFC 2231 §3, §4 and §4.1
        (b"; filename*=us-ascii'en'This%20is%20it.exe", "This is it.exe"),
        (b'; filename*0="a.";\r\n filename*1=exe', "a.exe"),
        (b"; filename*1=exe; filename*0=a.", "a.exe"),
        (b"; filename*0*=utf-8''%E8%8C%B6; filename*1=.exe", "茶.exe"),
        (b"; filename*0*=utf-8''a%2E; filename*1*=%65xe", "a.exe"),
        (b"; FileName*=UTF-8''a%2eEXE", "a.EXE"),
        (b"; filename*=gb2312''%B2%E8.exe", "茶.exe"),
        (b"; filename*=unknown-8bit''a%2eexe", "a.exe"),
        (b"; filename*=a%2eexe", "a.exe"),
        # RFC 2047 where it must not be
        (b'; filename="=?utf-8?B?YS5leGU=?="', "a.exe"),
        (b"; filename==?utf-8?Q?a=2Eexe?=", "a.exe"),
        (b'; filename="=?utf-8?Q?a=2E?=\r\n =?utf-8?Q?exe?="', "a.exe"),
        (b"; filename==?utf-7?Q?a+AC4-exe?=", "a.exe"),
        # quotes, separators, comments
        (b'; filename="a\\.exe"', "a.exe"),
        (b'; filename="a.exe', "a.exe"),
        (b'; filename="a".exe', "a.exe"),
        (b" filename=a.exe", "a.exe"),
        (b'; x="y" filename="a.exe"', "a.exe"),
        (b"; filename=a.exe junk", "a.exe"),
        (b"; filename=my long name.exe", "my long name.exe"),
        (b"; filename (c) = (d(e)) a.exe", "a.exe"),
        (b"; filename(c)=\t\"a.exe\"", "a.exe"),
        (b"; filename\r\n =\r\n a.exe", "a.exe"),
        (b"; filename=a.txt; filename=b.exe", "b.exe"),
        (b"; filename=b.exe; filename=a.txt", "b.exe"),
        (b'; filename="C:\\temp\\a.exe"', "a.exe"),
        (b"; filename=../../a.exe", "a.exe"),
        (b'; filename="\xe8\x8c\xb6.exe"', "茶.exe"),
    ],
)  # fmt: skip
def test_every_reading_of_a_name_counts(value: bytes, name: str) -> None:
    assert name in disposition(value)


@pytest.mark.parametrize(
    "value",
    [
        b'; filename="a.exe\x00.pdf"',
        b"; filename*=utf-8''a.exe%00.pdf",
        b'; filename="a.exe."',
        b'; filename="a.exe . "',
        b'; filename="a.exe::$DATA"',
        b'; filename="a.pdf:b.exe"',
        b'; filename="a%2Eexe"',
        b"; filename*=utf-8''a.e%E2%80%AExe",
        b"; filename*=utf-8''a.exe%E2%80%8B",
        b"; filename*=utf-8''gpj%E2%80%AE.exe",
        b"; filename*=utf-8''a.%EF%BD%85xe",
        b'; filename="a. exe"',
        b"; filename='a.exe'",
        b'; filename="a.exe;"',
        b'; filename="a.exe.gz"',
        b'; filename="a.EXE"',
    ],
)
def test_no_trick_with_a_name_hides_its_extension(value: bytes) -> None:
    assert any("exe" in extensions(name) for name in disposition(value)), disposition(value)


def test_the_type_names_the_file_too() -> None:
    said = entity(b'Content-Type: Application/PDF (x); name="a.exe"\r\nContent-Disposition: inline')
    assert said.types == ("application/pdf",)
    assert said.names == ("a.exe",)


def test_readings_are_bounded() -> None:
    many = b"".join(b"; filename=%d.txt" % number for number in range(500))
    said = entity(b"Content-Disposition: attachment" + many)
    assert len(said.names) == MAX_READINGS
    assert said.faults == (Fault.MANY_NAMES,)


def test_a_name_at_the_end_of_many_is_found_or_the_header_is_too_long() -> None:
    pieces = b"".join(b"; filename*%d=a" % number for number in range(900)) + b"; filename*900=.exe"
    assert any("exe" in extensions(name) for name in disposition(pieces))
    long = b'; name="' + b"x" * 60_000 + b'.exe"'
    assert any("exe" in extensions(name) for name in disposition(long))
    for value in (long + long, b'; name="' * 9000):
        said = entity(b"Content-Disposition: attachment" + value)
        assert Fault.HEADER_TOO_LONG in said.faults


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (b"base64", Encoding.BASE64),
        (b"BASE64 (as it were)", Encoding.BASE64),
        (b'"base64"', Encoding.BASE64),
        (b"base64;", Encoding.BASE64),
        (b"(x)base64", Encoding.BASE64),
        (b"quoted-printable", Encoding.QUOTED),
        (b"x-uuencode", Encoding.UU),
        (b"uuencode", Encoding.UU),
        (b"7bit", Encoding.NONE),
        (b"8bit", Encoding.NONE),
        (b"binary", Encoding.NONE),
        (b"x-unknown", Encoding.NONE),
    ],
)
def test_encodings_are_told_as_programs_guess_them(value: bytes, encoding: Encoding) -> None:
    assert entity(b"Content-Transfer-Encoding: " + value).encodings == (encoding,)


def test_comments_deeper_than_is_read_are_told() -> None:
    said = entity(b"Content-Type: " + b"( " * 3 + b")" * 3 + b"multipart/mixed; boundary=b")
    assert (said.types, said.faults) == (("multipart/mixed",), ())
    said = entity(b"Content-Type: " + b"((" * 30 + b"))" * 30 + b"multipart/mixed; boundary=b")
    assert said.faults == (Fault.HEADER_TOO_LONG,)


def test_what_is_said_twice_is_kept_twice_and_told_when_it_differs() -> None:
    same = b"Content-Type: text/plain\r\nContent-Type: TEXT/plain; charset=x\r\n"
    assert entity(same).faults == ()
    said = entity(same + b"Content-Type: text/html\r\n")
    assert said.types == ("text/plain", "text/html")
    assert said.faults == (Fault.TWO_TYPES,)
    twice = b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n"
    assert entity(twice).encodings == (Encoding.NONE, Encoding.BASE64)


@pytest.mark.parametrize(
    ("value", "boundaries"),
    [
        (b"boundary=abc", (b"abc",)),
        (b'boundary="a b"', (b"a b",)),
        (b'boundary="a b "', (b"a b",)),
        (b"boundary=a b", (b"a b", b"a")),
        (b"boundary=(c)a", (b"(c)a", b"a")),
        (b'boundary="gc0p4Jq0M2Yt08j34c0p"', (b"gc0p4Jq0M2Yt08j34c0p",)),  # RFC 2046 §5.1.1
        (b"boundary*=us-ascii''a%20b", (b"a b",)),
        (b"boundary*=us-ascii''a%0D%0Ab", ()),
    ],
)
def test_a_boundary_has_readings_too(value: bytes, boundaries: tuple[bytes, ...]) -> None:
    assert entity(b"Content-Type: multipart/mixed; " + value).boundaries == boundaries
