"""Invariant: whatever body, header and archive, reading a message's structure raises nothing, takes
bounded time, tells the same whole and in any pieces, and no mutation of a message around an
attachment that is not taken makes it get past unless its own octets or name were changed."""

import base64
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.mail.mime.making import (
    PROGRAM,
    WATCHED,
    attached,
    encrypted,
    found,
    mixed,
    read,
    tarred,
    text,
    zipped,
)
from tests.mail.mime.test_inspect import SEVENS

from postern.mail.message.header import HeaderScan
from postern.mail.mime.fields import MAX_READINGS, read_entity
from postern.mail.mime.inspect import inspector
from postern.mail.mime.ledger import MAX_OF_A_KIND, Ledger
from postern.mail.mime.names import extensions, last_of, last_two
from postern.mail.mime.part import Encoding, Fault, Limits, Structure, What
from postern.mail.mime.structure import StructureReader
from postern.mail.mime.transfer import decoder_for

pytestmark = pytest.mark.fuzz

BATCH = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
SECONDS_AT_MOST = 2.0  # for the worst of them, on a busy machine
SMALL = Limits(
    depth=4, parts=12, header_bytes=300, archive_depth=2, archive_bytes=5000,
    inflated_bytes=20_000, members=30,
)  # fmt: skip

PIECES = st.sampled_from(
    [
        *(b"--b", b"--bb", b"--b--", b"--", b"\r\n", b"\r\n", b"\r\n--b\r\n", b"\r", b"\n", b" "),
        *(b"Content-Type: multipart/mixed; boundary=bb\r\n", b"boundary=", b"; ", b"\r\n\r\n"),
        *(b"Content-Type: message/rfc822\r\n", b"Content-Type: multipart/x\r\n", b'"', b"\\"),
        *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: x-uuencode\r\n"),
        *(b"Content-Transfer-Encoding: quoted-printable\r\n", b"=", b"=\r\n", b"=41", b"(", b")"),
        *(b"\r\nbegin 644 a.exe\r\n", b"#0V%T\r\n", b"`\r\nend\r\n", b"TVqQAAMAAAA=", b"UEsDBA=="),
        *(b'Content-Disposition: a; filename="x.exe"', b"; filename*0=a.; filename*1=exe"),
        *(b"filename*=utf-8''%00a%2Eexe", b"=?utf-7?q?a+AC4-js?=", b"name=a.js", b"\x00", b"\xff"),
    ]
)
BODIES = st.lists(st.one_of(PIECES, st.binary(max_size=10)), max_size=60).map(b"".join)
HEADERS = st.sampled_from(
    [
        *(
            b"",
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"Content-Type: message/rfc822\r\n",
        ),
        *(b"Content-Type: multipart/mixed\r\n", b"Content-Transfer-Encoding: base64\r\n"),
        b"Content-Type: multipart/mixed; boundary=b; boundary=bb\r\n",
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n",
    ]
)
MESSAGES = st.tuples(HEADERS, BODIES).map(lambda parts: parts[0] + b"\r\n" + parts[1])
FILES = [
    zipped({"a.exe": PROGRAM, "b.zip": zipped({"c.js": b"x" * 900})}),
    encrypted(zipped({"a.txt": b"words"})),
    tarred({"a.exe": PROGRAM, "d" * 120 + ".js": b"x"}),
    b"Rar!\x1a\x07\x00" + b"\x00\x00\x73\x00\x00\x0d\x00" + bytes(6),
    b"Rar!\x1a\x07\x01\x00" + bytes(4) + b"\x06\x01\x00\x00\x00\x00\x00",
    b"\x78\x9f\x3e\x22\x01\x00\x02\x10\x80\x01\x00\x06\x00\x00\x00x.exe\x00\x00\x00" * 2,
    *(base64.b64decode(made) for made in SEVENS.values()),
    b"\x1f\x8b\x08\x08" + bytes(6) + b"a.exe\x00" + bytes(600),
]


def essence(structure: Structure) -> Structure:
    """Without what depends on how far a part is decoded to see that it is no archive."""
    return replace(structure, faults=structure.faults - {Fault.BROKEN_BASE64})


def run_for(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()


def in_cuts(message: bytes, cuts: list[int]) -> Structure:
    scan = HeaderScan(message)
    reader = StructureReader(scan, SMALL, WATCHED)
    rest = message[scan.body_start :]
    for cut in cuts:
        reader.feed(rest[:cut])
        rest = rest[cut:]
    reader.feed(rest)
    return reader.finish()


def hold(structure: Structure) -> None:
    """What holds of every structure."""
    assert len(structure.parts) <= SMALL.parts
    for part in structure.parts:
        assert len(part.names) <= MAX_READINGS
    for what in What:
        most = MAX_OF_A_KIND if what is not What.WATCHED else 100
        assert len(found(structure, what)) <= most
    for one in structure.discoveries:
        assert len(one.name) <= 255
        assert len(one.within) <= 2 * SMALL.archive_depth + SMALL.depth


def test_any_pieces_tell_what_the_whole_tells(fuzz_seconds: float) -> None:
    @BATCH
    @given(MESSAGES, st.lists(st.integers(0, 30), max_size=40))
    def check(message: bytes, cuts: list[int]) -> None:
        began = time.monotonic()
        whole = read(message, 0, SMALL)
        hold(whole)
        assert essence(read(message, 1, SMALL)) == essence(whole)
        assert essence(in_cuts(message, cuts)) == essence(whole)
        assert time.monotonic() - began < SECONDS_AT_MOST

    run_for(fuzz_seconds / 4, check)


def look_into(data: bytes, cuts: list[int]) -> Structure:
    ledger = Ledger(SMALL, WATCHED, inspector)
    sink = ledger.open("o", ())
    rest = data
    for cut in cuts:
        if not sink.feed(rest[:cut]):
            break
        rest = rest[cut:]
    else:
        sink.feed(rest)
    sink.finish()
    return Structure(discoveries=tuple(ledger.discoveries))


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    """An archive with a few octets changed, cut out or put in."""
    data = draw(st.sampled_from(FILES))
    for _ in range(draw(st.integers(0, 6))):
        at, out = draw(st.integers(0, len(data))), draw(st.integers(0, 8))
        data = data[:at] + draw(st.binary(max_size=6)) + data[at + out :]
    return data


def test_archives_however_broken_raise_nothing_and_cost_little(fuzz_seconds: float) -> None:
    @BATCH
    @given(broken_files(), st.lists(st.integers(1, 400), max_size=30))
    def check(data: bytes, cuts: list[int]) -> None:
        began = time.monotonic()
        hold(look_into(data, []))
        hold(look_into(data, cuts))
        hold(look_into(data, [1] * len(data)))
        assert time.monotonic() - began < SECONDS_AT_MOST

    run_for(fuzz_seconds / 4, check)


def test_every_reader_answers_whatever_it_is_given(fuzz_seconds: float) -> None:
    @BATCH
    @given(BODIES, st.text(max_size=300), st.lists(st.integers(0, 20), max_size=20))
    def check(octets: bytes, name: str, cuts: list[int]) -> None:
        value = octets.replace(b"\r\n\r\n", b" ")
        read_entity(HeaderScan(b"Content-Type: " + value + b"\r\nContent-Disposition:" + value))
        for one in (name, octets.decode("latin-1"), name + "\x00.exe"):
            assert all(ending == ending.strip() for ending in extensions(one))
            last_two(one)
            assert len(last_of(one)) <= 255
        for encoding in Encoding:
            whole, pieces = decoder_for(encoding), decoder_for(encoding)
            at_once = whole.feed(octets) + whole.finish()
            rest, decoded = octets, b""
            for cut in cuts:
                decoded += pieces.feed(rest[:cut])
                rest = rest[cut:]
            assert decoded + pieces.feed(rest) + pieces.finish() == at_once

    run_for(fuzz_seconds / 4, check)


INNER = attached(PROGRAM, "x.exe")
SURROUNDED = mixed(text(), mixed(text(), INNER, boundary="bb"), INNER)


def test_nothing_around_an_attachment_makes_it_get_past(fuzz_seconds: float) -> None:
    """What is put into the message never hides it: only its own octets can change it."""
    spots = [at for at in range(len(SURROUNDED)) if SURROUNDED.startswith(b"\r\n--b", at)]

    @BATCH
    @given(st.sampled_from(spots[:2]), st.lists(PIECES, max_size=6).map(b"".join))
    def check(at: int, junk: bytes) -> None:
        message = SURROUNDED[:at] + b"\r\n" + junk + SURROUNDED[at:]
        structure = read(message)
        assert found(structure, What.WATCHED), structure

    run_for(fuzz_seconds / 4, check)
