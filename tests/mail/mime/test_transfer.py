"""Encodings as mail programs decode them: broken ones too, and in any pieces."""

import base64
import binascii

import pytest

from postern.mail.mime.part import Encoding
from postern.mail.mime.transfer import Decoder, decoder_for

DATA = bytes(range(256)) * 5


def decoded(encoding: Encoding, octets: bytes, step: int) -> tuple[bytes, Decoder]:
    decoder = decoder_for(encoding)
    pieces = [decoder.feed(octets[at : at + step]) for at in range(0, len(octets), step)]
    return b"".join(pieces) + decoder.finish(), decoder


@pytest.mark.parametrize("step", [1, 2, 3, 5, 77, 10_000])
def test_whole_and_in_pieces_is_the_same(step: int) -> None:
    lines = base64.encodebytes(DATA).replace(b"\n", b"\r\n")
    assert decoded(Encoding.BASE64, lines, step)[0] == DATA
    quoted = b"".join(b"=%02X" % octet + b"=\r\n" * (octet % 7 == 0) for octet in DATA)
    assert decoded(Encoding.QUOTED, quoted, step)[0] == DATA
    uu = (
        b"begin 644 x\r\n"
        + b"".join(binascii.b2a_uu(DATA[at : at + 45]) for at in range(0, len(DATA), 45)).replace(
            b"\n", b"\r\n"
        )
        + b"`\r\nend\r\nmore\r\n"
    )
    assert decoded(Encoding.UU, uu, step)[0] == DATA
    assert decoded(Encoding.NONE, DATA, step)[0] == DATA


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    ("octets", "data", "is_broken"),
    [
        (b"TV qQ\x00A!A*M", b"MZ\x90\x00\x03", False),  # RFC 2045 §6.8: junk is passed over
        (b"TVqQAAM", b"MZ\x90\x00\x03", False),
        (b"TVqQAAM=", b"MZ\x90\x00\x03", False),
        (b"TVqQA", b"MZ\x90", False),
        (b"AA==TVqQ", b"\x00MZ\x90", True),
        (b"=TVqQ", b"MZ\x90", True),
        (b"TVqQ====", b"MZ\x90", False),
    ],
)
def test_base64_is_never_refused(octets: bytes, data: bytes, is_broken: bool, step: int) -> None:  # noqa: FBT001 - a column
    got, decoder = decoded(Encoding.BASE64, octets, step)
    assert (got, decoder.is_broken) == (data, is_broken)


def test_base64_in_a_thousand_pieces_is_given_up() -> None:
    assert decoded(Encoding.BASE64, b"TVqQ=" * 5000, 10_000)[1].is_broken


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    ("octets", "data"),
    [
        (b"M=5A=\r\nx", b"MZx"),
        (b"M=5a= \t \r\nx", b"MZx"),
        (b"a=zz=", b"a=zz="),
        (b"a==41", b"a=A"),
        (b"a=\rb", b"a=\rb"),
    ],
)
def test_quoted_printable_is_never_refused(octets: bytes, data: bytes, step: int) -> None:
    assert decoded(Encoding.QUOTED, octets, step)[0] == data
