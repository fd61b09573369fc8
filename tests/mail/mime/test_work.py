"""Work that a sender chooses is bounded: told where it ends, and honest mail is far from there."""

import bz2
import gzip
import lzma
import random
import time
import tracemalloc
from collections.abc import Callable, Mapping

import pytest
from tests.mail.mime import hostile
from tests.mail.mime.making import (
    PROGRAM,
    WATCHED,
    attached,
    found,
    mixed,
    read,
    tarred,
    text,
    where,
    zipped,
)
from tests.mail.mime.test_inspect import look, rar5

from postern.mail.mime.boundaries import MAX_BOUNDARIES
from postern.mail.mime.gathered import MAX_DELIMITERS
from postern.mail.mime.inspect import inspector
from postern.mail.mime.ledger import MAX_WATCHED, MAX_WORK, WORK_PER_OCTET, Ledger
from postern.mail.mime.part import Fault, Limits, What

PIECE_BYTES = 64 * 1024
CPU_SECONDS = 0.25
"""For two pieces, on a slow machine, interpreted; it is a tenth of that on a common one."""


@pytest.mark.parametrize("which", hostile.TOLD)
def test_what_costs_too_much_is_told_and_is_not_read_to_its_end(which: str) -> None:
    message = hostile.TOLD[which]()
    began = time.process_time()
    structure = read(message, PIECE_BYTES)
    assert time.process_time() - began < CPU_SECONDS * (1 + len(message) // PIECE_BYTES)
    assert found(structure, What.UNREADABLE)
    assert len(structure.discoveries) < 100


@pytest.mark.parametrize("which", hostile.ENDURED)
def test_what_looks_dear_is_cheap(which: str) -> None:
    message = hostile.ENDURED[which]()
    began = time.process_time()
    structure = read(message, PIECE_BYTES)
    assert time.process_time() - began < CPU_SECONDS * (1 + len(message) // PIECE_BYTES)
    assert not found(structure, What.UNREADABLE)


_CHOSEN = random.Random(1)
_WORDS = [bytes(_CHOSEN.choices(b"etaoinshrdlu", k=2 + n % 8)) for n in range(3000)]


def words(count: int) -> bytes:
    """Text that packs as well as text does, another each time."""
    return b" ".join(_CHOSEN.choices(_WORDS, k=count))


def document() -> bytes:
    """A zip as word processors make it."""
    rest = {f"w/{n}.xml": b"<w/>" * 90 for n in range(14)}
    return zipped({"word/document.xml": words(900), **rest})


def letter() -> bytes:
    """A message as it is kept."""
    trace = b"Received: from a.example by b.example; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    return trace * 6 + mixed(text(), b"\r\n" + words(1000), boundary="inner")


HONEST: Mapping[str, Callable[[], bytes]] = {
    "tar.gz": lambda: gzip.compress(tarred({f"{n}.txt": words(2000) for n in range(150)})),
    "tar.bz2": lambda: bz2.compress(tarred({f"{n}.txt": words(2000) for n in range(150)})),
    "tar.xz": lambda: lzma.compress(tarred({f"{n}.txt": words(2000) for n in range(150)})),
    "small.tgz": lambda: gzip.compress(tarred({f"{n}.txt": words(30) for n in range(2000)})),
    "zip": lambda: zipped({f"photo of a day in the hills {n}.jpg": b"" for n in range(4000)}),
    "names.zip": lambda: zipped(
        {f"季度报告\uff08{n}\uff09/发票\uff0epdf": words(9) for n in range(2000)}
    ),
    "docx.zip": lambda: zipped({f"{n}.docx": document() for n in range(100)}),
    "mails.zip": lambda: zipped({f"{n}.eml": letter() for n in range(100)}),
}


@pytest.mark.parametrize("which", HONEST)
def test_honest_archives_are_read_to_their_end(which: str) -> None:
    data = HONEST[which]()
    name = which if "." in which else f"a.{which}"
    assert found(read(mixed(text(), attached(data, name)), PIECE_BYTES), What.UNREADABLE) == []


def test_what_may_be_spent_comes_back_with_what_comes_in() -> None:
    ledger = Ledger(Limits(), WATCHED, inspector)
    assert ledger.may_work(MAX_WORK)
    assert not ledger.may_work(1)
    ledger.earn(100)
    assert ledger.may_work(100 * WORK_PER_OCTET)
    assert not ledger.may_work(1)
    ledger.earn(10 * MAX_WORK)
    assert not ledger.may_work(MAX_WORK + 1)  # it is not saved up


def test_files_are_looked_into_again_behind_one_that_was_too_much() -> None:
    bomb = hostile.seven(b"\x01" + b"\x11" * (1 << 20))
    filler = attached(bytes(300_000), "a.bin")
    message = mixed(*[attached(bomb, "a.7z")] * 40, filler, attached(PROGRAM, "a.pdf"))
    assert found(read(message, PIECE_BYTES), What.PROGRAM) == ["a.pdf"]


def test_of_names_that_end_alike_one_is_told_whatever_stands_in_front() -> None:
    names = {where(one) for one in look(zipped({f"q.{n}.exe": b"" for n in range(500)}))}
    assert names == {"o.zip/q.0.exe"}
    files = {"a.exe": b"", "b.pdf.exe": b"", "c.doc.exe": b"", "d.x.exe": b""}
    assert {where(one) for one in look(zipped(files))} == {"o.zip/a.exe", "o.zip/b.pdf.exe"}


def test_names_that_are_told_are_bounded_and_that_there_were_more_is_told() -> None:
    ledger = Ledger(Limits(), frozenset(f"e{n}" for n in range(900)), inspector)
    for number in range(900):
        ledger.name(f"a.e{number}")
    assert len(ledger.discoveries) == MAX_WATCHED + 1
    assert ledger.discoveries[-1].what is What.UNREADABLE


def test_a_zip_entry_has_one_unicode_path_or_is_told() -> None:
    paths = hostile.unicode_path(b"a.js") * 5 + hostile.unicode_path(b"x.exe")
    data = b"PK\x03\x04" + hostile.central(1, len(paths)) + b"a" + paths + bytes(600)
    assert [(one.what, one.detail) for one in look(data) if one.what is What.UNREADABLE] == [
        (What.UNREADABLE, "a file in it has many names")
    ]


@pytest.mark.parametrize("levels", [5, 12, 45])
def test_more_boundaries_than_are_looked_for_stop_the_reading(levels: int) -> None:
    structure = read(hostile.nested(levels, 24, b"x"))
    is_told = levels * 24 > MAX_BOUNDARIES
    assert (found(structure, What.UNREADABLE) != []) is is_told


def test_delimiters_that_begin_nothing_count_as_well() -> None:
    limits = Limits(parts=10)
    few = mixed(text()) + b"\r\n--b--" * (MAX_DELIMITERS * 10 - 3)
    assert Fault.TOO_MANY_PARTS not in read(few, limits=limits).faults
    structure = read(few + b"\r\n--b--" * 3, limits=limits)
    assert Fault.TOO_MANY_PARTS in structure.faults
    assert len(found(structure, What.UNREADABLE)) == 1


@pytest.mark.parametrize("step", [0, 1, 500])
def test_base64_that_is_given_up_is_told(step: int) -> None:
    for runs, expected in ((900, []), (1100, ["a.zip"])):
        message = mixed(hostile.ZIP_PART + b"UEsDBA==" + b"QUJD=" * runs)
        assert found(read(message, step), What.UNREADABLE) == expected


def test_long_names_of_a_tar_are_told_as_they_come_and_not_kept() -> None:
    names = [b"9 path=%s%d.txt\n" % (b"d" * 8000, n) for n in range(7)]
    records = b"".join([*names, b"9 path=x.exe\n"])
    pax = hostile.tar_head(b"a", len(records), b"x") + records + bytes(-len(records) % 512)
    assert [where(one) for one in look(pax, "o.tar")] == ["o.tar/x.exe"]
    ledger = Ledger(Limits(), WATCHED, inspector)
    sink = ledger.open("o.tar", ())
    tracemalloc.start()
    for _ in range(100):
        ledger.earn(len(pax))
        assert sink.feed(pax)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20 * len(records)


def test_records_of_rar_are_looked_at_so_far() -> None:
    (one,) = look(rar5(b"a", b"", extra=b"\x01\x0a" * 100), "o.rar")
    assert (one.what, one.detail) == (What.UNREADABLE, "it is damaged")
    assert look(rar5(b"a", b"", extra=b"\x01\x0a" * 9 + b"\x03\x01\x00\x00"), "o.rar")[0].what is (
        What.ENCRYPTED
    )


@pytest.mark.parametrize("step", [0, 1, 37])
def test_every_uuencoded_file_in_one_text_is_found(step: int) -> None:
    body = b"\r\nwords\r\n"
    for name in (b"a.txt", b"b.txt", b"x.exe"):
        body += b"\r\n" + hostile.uuencoded(name, b"hello" * 300) + b"`\r\nend\r\nwords\r\n"
    assert found(read(body, step), What.WATCHED) == ["x.exe"]


def test_uuencoded_lines_are_handed_on_together() -> None:
    """What holds a header until it ends would copy it for each line: for a MiB some seconds."""
    message = hostile.uuencoded(b"a.eml", b"a:b\n" * 400_000)
    began = time.process_time()
    read(message, PIECE_BYTES, Limits(header_bytes=4 * 1024 * 1024))
    assert time.process_time() - began < 1
