"""How messages are put together, and every trick by which a part gets past whoever looks."""

import base64
import binascii
import time

import pytest
from tests.mail.mime.making import (
    LIMITS,
    PROGRAM,
    attached,
    found,
    mixed,
    read,
    text,
    zipped,
)

from postern.mail.mime.part import Encoding, Fault, Limits, Part, What

EVIL = attached(PROGRAM, "x.exe")
STEPS = [0, 1, 7, 64]


def types(message: bytes, step: int = 0) -> list[str]:
    return [part.type for part in read(message, step).parts]


@pytest.mark.parametrize("step", STEPS)
def test_a_plain_message_is_one_text(step: int) -> None:
    structure = read(b"Subject: x\r\n\r\nHello\r\n", step)
    assert structure.parts == (Part("text/plain", (), (Encoding.NONE,), 7),)
    assert not structure.faults
    assert structure.is_text


@pytest.mark.parametrize("step", STEPS)
def test_parts_have_type_names_encoding_and_size(step: int) -> None:
    message = mixed(text("Hello"), mixed(text("a"), text("b"), boundary="inner"), EVIL)
    structure = read(message, step)
    assert [(part.type, part.size_bytes) for part in structure.parts[:3]] == [
        ("text/plain", 5), ("text/plain", 1), ("text/plain", 1),
    ]  # fmt: skip
    assert structure.parts[3].names == ("x.exe",)
    assert structure.parts[3].encodings == (Encoding.BASE64,)
    assert structure.faults == frozenset()
    assert found(structure, What.PROGRAM) == ["x.exe"]


def test_a_part_without_a_header_and_an_empty_part_are_parts() -> None:
    assert types(mixed(b"\r\nHello", b"", text())) == ["text/plain"] * 3


PREAMBLE = "Content-Type: multipart/mixed; boundary=b\r\n"
RFC822 = b"Content-Type: message/rfc822\r\n"
INNER = mixed(text(), EVIL, boundary="i")
QUOTED = b"".join(b"=%02X" % octet for octet in INNER).replace(b"=0D=0A", b"\r\n")

TRICKS = {
    "never closed": (mixed(text(), EVIL).removesuffix(b"--b--\r\n"), Fault.NOT_CLOSED),
    "behind the end": (mixed(text()) + b"--b\r\n" + EVIL, Fault.AFTER_CLOSE),
    "boundary with more behind it": (
        mixed(text() + b"\r\n--bonus\r\n" + EVIL),
        Fault.LOOSE_BOUNDARY,
    ),
    "a closing that goes on": (mixed(text() + b"\r\n--b--x\r\n" + EVIL), Fault.LOOSE_BOUNDARY),
    "blanks behind the boundary": (mixed(text() + b"\r\n--b \t \r\n" + EVIL), None),
    "the same boundary inside": (mixed(mixed(EVIL)), Fault.REPEATED_BOUNDARY),
    "inner boundary longer": (mixed(mixed(EVIL, boundary="bb"), text()), None),
    "inner boundary shorter": (
        mixed(mixed(text(), EVIL, boundary="b"), text(), boundary="bb"),
        None,
    ),
    "two boundaries, the first": (
        mixed(EVIL, header=PREAMBLE.replace("\r\n", "; boundary=c\r\n")),
        Fault.TWO_BOUNDARIES,
    ),
    "two boundaries, the second": (
        mixed(EVIL, header=PREAMBLE.replace("boundary", "boundary=c; boundary")),
        Fault.TWO_BOUNDARIES,
    ),
    "two types, the first": (
        mixed(EVIL, header=PREAMBLE + "Content-Type: text/plain\r\n"),
        Fault.TWO_TYPES,
    ),
    "two types, the second": (
        mixed(EVIL, header="Content-Type: text/plain\r\n" + PREAMBLE),
        Fault.TWO_TYPES,
    ),
    "boundary in pieces": (
        mixed(EVIL, header='Content-Type: multipart/mixed; boundary*0=""; boundary*1=b\r\n'),
        None,
    ),
    "boundary percent-encoded": (
        mixed(EVIL, header="Content-Type: multipart/mixed; boundary*=us-ascii''%62\r\n"),
        None,
    ),
    "boundary behind a comment": (
        mixed(EVIL, header="Content-Type: multipart/mixed; boundary(x)=(y(z)) b\r\n"),
        None,
    ),
    "boundary in quotes that never end": (
        mixed(EVIL, header='Content-Type: multipart/mixed; boundary="b\r\n'),
        None,
    ),
    "no boundary": (
        mixed(EVIL, header="Content-Type: multipart/mixed\r\n"),
        Fault.NO_BOUNDARY,
    ),
    "an empty boundary": (
        mixed(EVIL, header='Content-Type: multipart/mixed; boundary=""\r\n'),
        Fault.NO_BOUNDARY,
    ),
    "an overlong boundary": (mixed(EVIL, boundary="b" * 80), Fault.LONG_BOUNDARY),
    "an overlong boundary cut to 70": (
        mixed(EVIL, boundary="b" * 80).replace(b"\r\n--" + b"b" * 80, b"\r\n--" + b"b" * 70),
        Fault.LONG_BOUNDARY,
    ),
    "type folded and in odd case": (
        mixed(EVIL, header="CONTENT-type :\r\n\tMultiPart/Mixed;\r\n BOUNDARY = b\r\n"),
        None,
    ),
    "type without a subtype": (mixed(EVIL, header="Content-Type: multipart; boundary=b\r\n"), None),
    "a forwarded message": (mixed(RFC822 + b"\r\nSubject: x\r\n" + INNER), None),
    "the message is a message": (RFC822 + b"\r\n" + INNER, None),
    "a forwarded message in base64": (
        mixed(attached(INNER, header="Content-Type: message/rfc822\r\n")),
        None,
    ),
    "a forwarded message in base64 with bare LF": (
        mixed(attached(INNER.replace(b"\r\n", b"\n"), header="Content-Type: message/rfc822\r\n")),
        None,
    ),
    "a forwarded message in quoted-printable": (
        mixed(RFC822 + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + QUOTED),
        None,
    ),
    "a mail as a file": (mixed(attached(INNER, "letter.eml")), None),
    "a mail as a file in a mail as a file": (
        mixed(attached(mixed(attached(INNER, "a.EML")), "b.eml")),
        None,
    ),
    "a mail as a file in an archive": (
        mixed(attached(zipped({"letter.eml": INNER.replace(b"\r\n", b"\n")}), "a.zip")),
        None,
    ),
    "junk between header lines": (
        mixed(b"Content-Type: text/plain\r\nno field at all\r\n" + EVIL),
        None,
    ),
    "a delimiter in the middle of a header": (
        mixed(b"Content-Type: text/plain\r\nX: y\r\n--b\r\n" + EVIL),
        None,
    ),
    "an encoded multipart": (
        mixed(EVIL, header=PREAMBLE + "Content-Transfer-Encoding: base64\r\n"),
        Fault.ENCODED_CONTAINER,
    ),
}


@pytest.mark.parametrize("step", [0, 1, 13])
@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_with_structure_hides_an_attachment(trick: str, step: int) -> None:
    message, fault = TRICKS[trick]
    structure = read(message, step)
    assert [one.name for one in structure.discoveries if one.what is What.WATCHED] == ["x.exe"]
    assert "x.exe" in [one.name for one in structure.discoveries if one.what is What.PROGRAM]
    assert structure.faults == (frozenset() if fault is None else {fault})


@pytest.mark.parametrize("step", STEPS)
def test_an_encoding_said_twice_is_read_both_ways(step: int) -> None:
    twice = "Content-Transfer-Encoding: 7bit\r\nX: y\r\n"
    structure = read(mixed(attached(PROGRAM, header=twice)), step)
    assert Fault.TWO_ENCODINGS in structure.faults
    assert found(structure, What.PROGRAM) == [""]


@pytest.mark.parametrize("step", STEPS)
def test_uuencode_in_text_is_an_attachment(step: int) -> None:
    lines = [PROGRAM[at : at + 45] for at in range(0, 900, 45)]
    encoded = b"".join(binascii.b2a_uu(line).replace(b"\n", b"\r\n") for line in lines)
    body = b"Dear all\r\nbegin 644 y.exe\r\n" + encoded + b"`\r\nend\r\nRegards\r\n"
    for message in (b"Subject: x\r\n\r\n" + body, mixed(text(body.decode()))):
        structure = read(message, step)
        assert found(structure, What.WATCHED) == ["y.exe"]
        assert found(structure, What.PROGRAM) == ["y.exe"]


def test_who_writes_about_uuencode_attaches_nothing() -> None:
    body = "The line\r\nbegin 644 y.exe\r\nstarts it. Then\r\nbegin 644\r\n\r\n"
    assert not read(mixed(text(body))).discoveries


def test_depth_and_parts_are_bounded() -> None:
    deep = EVIL
    for level in range(60):
        deep = mixed(deep, boundary=f"x{level}x")
    assert Fault.TOO_DEEP in read(deep).faults
    structure = read(mixed(*[text()] * 30), limits=Limits(parts=20))
    assert Fault.TOO_MANY_PARTS in structure.faults
    assert len(structure.parts) <= 20
    nested = INNER
    for _ in range(60):
        nested = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + (
            base64.b64encode(nested[:2000])
        )
    assert not read(nested).faults - {Fault.TOO_DEEP, Fault.NOT_CLOSED, Fault.BROKEN_BASE64}


def test_messages_as_files_inside_one_another_are_bounded_in_archives_too() -> None:
    name = b"Content-Disposition: attachment; filename=a.eml\r\n\r\n"
    message = INNER
    for _ in range(4):
        for _ in range(15):
            message = name + message
        message = attached(zipped({"a.eml": message}), "a.zip")
    structure = read(message)
    assert Fault.TOO_DEEP in structure.faults or found(structure, What.UNREADABLE)
    assert Fault.TOO_DEEP in read(name * 100 + INNER).faults
    assert found(read(name * 15 + INNER), What.PROGRAM) == ["x.exe"]


@pytest.mark.parametrize("step", [0, 100])
def test_a_part_header_over_the_limit_is_told(step: int) -> None:
    long = b"X: " + b"x" * LIMITS.header_bytes + b"\r\n"
    structure = read(mixed(long + EVIL, EVIL), step)
    assert Fault.HEADER_TOO_LONG in structure.faults
    assert found(structure, What.WATCHED) == ["x.exe"]


def test_a_text_that_begins_like_a_program_is_none() -> None:
    assert not read(mixed(text("MZ is how the letter begins, and goes on " * 30))).discoveries


def test_a_header_that_comes_octet_by_octet_is_looked_at_once() -> None:
    lines = b"".join(b"X: %d\r\n" % number for number in range(6000))
    began = time.process_time()
    structure = read(mixed(lines + EVIL), step=1)
    assert found(structure, What.WATCHED) == ["x.exe"]
    assert time.process_time() - began < 3
