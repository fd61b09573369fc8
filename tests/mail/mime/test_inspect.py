"""Archives: what they hold, in each of their forms, and how far they are looked into."""

import base64
import gzip
import io
import struct
import tarfile
import zipfile
import zlib

import pytest
from tests.mail.mime.making import (
    PROGRAM,
    SQUEEZERS,
    WATCHED,
    attached,
    encrypted,
    found,
    mixed,
    read,
    tarred,
    where,
    zipped,
)

from postern.mail.mime.inspect import inspector
from postern.mail.mime.ledger import MAX_OPEN, Ledger
from postern.mail.mime.part import Discovery, Limits, What

STEPS = [0, 1, 11, 600]


def look(
    data: bytes, name: str = "o.zip", step: int = 0, limits: Limits | None = None
) -> list[Discovery]:
    ledger = Ledger(limits or Limits(), WATCHED, inspector)
    sink = ledger.open(name, ())
    step = step or max(1, len(data))
    for at in range(0, len(data), step):
        if not sink.feed(data[at : at + step]):
            break
    sink.finish()
    return ledger.discoveries


def told(discoveries: list[Discovery]) -> set[tuple[str, str]]:
    return {(one.what.value, where(one)) for one in discoveries}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_tells_names_and_programs(how: int, step: int) -> None:
    data = zipped({"docs/a.txt": b"words" * 200, "b.exe": b"x", "c.pdf": PROGRAM}, how)
    assert told(look(data, step=step)) == {("watched", "o.zip/b.exe"), ("program", "o.zip/c.pdf")}


@pytest.mark.parametrize("step", STEPS)
def test_archives_inside_archives_are_looked_into(step: int) -> None:
    inner = zipped({"x.exe": PROGRAM})
    data = zipped({"t.tar.gz": gzip.compress(tarred({"in.zip": inner}))})
    assert ("watched", "o.zip/t.tar.gz/t.tar/in.zip/x.exe") in told(look(data, step=step))
    assert ("program", "o.zip/t.tar.gz/t.tar/in.zip/x.exe") in told(look(data, step=step))


@pytest.mark.parametrize("step", STEPS)
def test_a_zip_stored_in_a_zip_is_looked_into(step: int) -> None:
    data = zipped({"in.zip": zipped({"x.exe": PROGRAM})}, zipfile.ZIP_STORED)
    names = {where(one).rpartition("/")[2] for one in look(data, step=step)}
    assert names == {"x.exe"}


def test_a_stored_program_is_one_whatever_size_its_entry_says() -> None:
    data = bytearray(zipped({"a.pdf": PROGRAM}, zipfile.ZIP_STORED))
    data[18:26] = bytes(8)
    assert told(look(bytes(data))) == {("program", "o.zip/a.pdf")}


def test_as_deep_as_is_set_and_no_deeper() -> None:
    data = zipped({"x.exe": b"x"})
    for _ in range(4):
        data = zipped({"in.zip": data})
    assert [one.what for one in look(data)] == [What.WATCHED]
    (one,) = look(data, limits=Limits(archive_depth=3))
    assert (one.what, one.detail) == (What.UNREADABLE, "too many archives inside one another")


@pytest.mark.parametrize("step", STEPS)
def test_an_encrypted_zip_is_told_and_its_names_are_read(step: int) -> None:
    data = encrypted(zipped({"a.txt": b"words", "x.exe": PROGRAM}))
    assert told(look(data, step=step)) == {("encrypted", "o.zip"), ("watched", "o.zip/x.exe")}


LYING = zipped({"a.txt": b"words " * 50})
UNICODE_PATH = struct.pack("<HHBI", 0x7075, 10, 1, zlib.crc32(b"a.txt")) + b"x.exe"


def with_extra(archive: bytes, extra: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        entry = zipfile.ZipInfo("a.txt")
        entry.extra = extra
        out.writestr(entry, b"words")
    return made.getvalue()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "data",
    [
        LYING.replace(b"a.txt", b"x.exe", 1),
        LYING.replace(b"a.txt", b"x.exe").replace(b"x.exe", b"a.txt", 1),
        b"PK\x03\x04" + b"junk in front of it" + zipped({"x.exe": b"x"}),
        zipped({"a.txt": b""}) + zipped({"x.exe": b""}),
        with_extra(LYING, UNICODE_PATH),
        zipped({"x.exe": b"words"})[:40],
        b"PK\x03\x04\x14" + bytes(21) + b"\xff\xff\xff\xff" + zipped({"x.exe": b"y"}),
        b"PK\x07\x08" + zipped({"x.exe": b"y"}),
        zipped({"x.exe\x00.txt".replace("\x00", "\x01"): b"y"}).replace(b"x.exe\x01", b"x.exe\x00"),
        zipped({"folder/x.exe ": b"y"}),
        b"\xff\xd8\xff\xe0 a picture " * 100 + zipped({"x.exe": b"y"}),
    ],
    ids=[
        "only in front", "only in the list", "junk in front", "two in one", "unicode path",
        "cut off", "a header over others", "spanned", "nul", "blank at its end",
        "a picture in front",
    ],
)  # fmt: skip
def test_no_trick_with_a_zip_hides_a_name(data: bytes, step: int) -> None:
    assert What.WATCHED in [one.what for one in look(data, step=step)]


def test_a_bomb_is_told_and_costs_little() -> None:
    data = zipped({"in.zip": zipped({"a.txt": bytes(50_000_000)})})
    inner = zipped({"a.tar": tarred({"a.txt": bytes(5_000_000)})})
    assert [one.detail for one in look(inner)] == ["it comes to too much"]
    assert look(data) == []  # of what is no archive only the head is let out
    limits = Limits(inflated_bytes=10_000)
    grown = zipped({"in.zip": zipped({f"{n}.txt": bytes([n]) * 9 for n in range(200)})})
    assert [one.detail for one in look(grown, limits=limits)] == ["it comes to too much"]


def overlapping(files: int, inner: bytes) -> bytes:
    """A zip whose entries hold one another: each is a stored block that quotes the next one."""
    for number in range(files):
        name = b"%d.zip" % number
        block = b"\x00" + struct.pack("<HH", len(inner), 0xFFFF - len(inner)) + inner
        head = struct.pack("<HHHHHIIIHH", 20, 8, 8, 0, 0, 0, 0, 0, len(name), 0)
        inner = b"PK\x03\x04" + head + name + block
    return inner


def test_archives_open_at_a_time_are_bounded() -> None:
    data = overlapping(60, zipped({"x.exe": b"x" * 600}))
    ledger = Ledger(Limits(archive_depth=20), WATCHED, inspector)
    sink = ledger.open("o.zip", ())
    sink.feed(data)
    sink.finish()
    assert What.UNREADABLE in {one.what for one in ledger.discoveries}
    assert all(ledger.enter() for _ in range(MAX_OPEN))  # all were left


def test_a_large_archive_is_looked_into_only_so_far() -> None:
    data = zipped({"a.bin": bytes(5000), "x.exe": b""}, zipfile.ZIP_STORED)
    (one,) = look(data, limits=Limits(archive_bytes=1000), step=700)
    assert (one.what, one.detail) == (What.UNREADABLE, "larger than what is looked into")


def test_a_zip_of_too_many_files_is_told() -> None:
    data = zipped({f"{number}.txt": b"" for number in range(100)})
    (one,) = look(data, limits=Limits(members=50))
    assert (one.what, one.detail) == (What.UNREADABLE, "more files than are looked at")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("ending", SQUEEZERS)
def test_what_is_compressed_is_looked_into(ending: str, step: int) -> None:
    squeeze = SQUEEZERS[ending]
    data = squeeze(tarred({"x.exe": PROGRAM, "y.txt": b"words"}))
    name = f"o.tar.{ending}/o.tar/x.exe"
    assert {("watched", name), ("program", name)} == told(look(data, f"o.tar.{ending}", step))
    assert told(look(squeeze(PROGRAM), f"a.pdf.{ending}", step)) == {
        ("program", f"a.pdf.{ending}/a.pdf")
    }


@pytest.mark.parametrize("step", STEPS)
def test_gzip_tells_the_name_that_is_in_it(step: int) -> None:
    made = io.BytesIO()
    with gzip.GzipFile("x.exe", "wb", fileobj=made) as out:
        out.write(b"words" * 300)
    assert told(look(made.getvalue(), "a.txt.gz", step)) == {("watched", "a.txt.gz/x.exe")}
    two = gzip.compress(tarred({"a.txt": b"x"})[:1024]) + gzip.compress(tarred({"x.exe": b"x"}))
    assert ("watched", "o.tgz/o.tar/x.exe") in told(look(two, "o.tgz", step))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_tells_names_and_programs(layout: int, step: int) -> None:
    long = "d" * 90 + "/" + "e" * 60 + ".js"
    data = tarred({"a.txt": b"w" * 1000, long: b"x", "c.pdf": PROGRAM}, layout)
    assert {one.what for one in look(data, "o.tar", step)} == {What.WATCHED, What.PROGRAM}


def rar4(name: bytes, data: bytes, *, method: int = 0x30, flags: int = 0x8000) -> bytes:
    size = len(data)
    numbers = (flags, 32 + len(name), size, size, 0, 0, 0, 29, method, len(name), 0)
    header = struct.pack("<BHHIIBIIBBHI", 0x74, *numbers)
    return (
        b"Rar!\x1a\x07\x00"
        + bytes(2)
        + b"\x73"
        + struct.pack("<HH", 0, 13)
        + bytes(6)
        + (bytes(2) + header + name + data)
    )


def rar5(name: bytes, data: bytes, *, method: int = 0, extra: bytes = b"") -> bytes:
    def vint(number: int) -> bytes:
        low, rest = number & 0x7F, number >> 7
        return bytes([low | 0x80]) + vint(rest) if rest else bytes([low])

    flags = 3 if extra else 2
    inner = vint(2) + vint(flags) + (vint(len(extra)) if extra else b"") + vint(len(data))
    inner += (
        vint(0) + vint(len(data)) + vint(0) + vint(method << 7) + vint(0) + vint(len(name)) + name
    )
    main = b"\x01\x00\x00"
    return (
        b"Rar!\x1a\x07\x01\x00"
        + bytes(4)
        + vint(len(main))
        + main
        + (bytes(4) + vint(len(inner + extra)) + inner + extra + data)
    )


@pytest.mark.parametrize("step", STEPS)
def test_rar_tells_names_encryption_and_stored_programs(step: int) -> None:
    for made in (rar4, rar5):
        assert told(look(made(b"dir/x.exe", b"packed" * 200, method=1 if made is rar5 else 0x33),
                         "o.rar", step)) == {("watched", "o.rar/x.exe")}  # fmt: skip
        assert told(look(made(b"a.pdf", PROGRAM), "o.rar", step)) == {("program", "o.rar/a.pdf")}
    assert told(look(rar4(b"x.exe", b"p", flags=0x8004), "o.rar", step)) == {
        ("watched", "o.rar/x.exe"), ("encrypted", "o.rar"),
    }  # fmt: skip
    assert told(look(rar5(b"x.exe", b"p", extra=b"\x03\x01\x00\x00"), "o.rar", step)) == {
        ("watched", "o.rar/x.exe"), ("encrypted", "o.rar"),
    }  # fmt: skip
    hidden = b"Rar!\x1a\x07\x00" + bytes(2) + b"\x73" + struct.pack("<HH", 0x80, 13) + bytes(600)
    assert told(look(hidden, "o.rar", step)) == {("encrypted", "o.rar")}
    hidden = b"Rar!\x1a\x07\x01\x00" + bytes(4) + b"\x0f\x04" + bytes(600)
    assert told(look(hidden, "o.rar", step)) == {("encrypted", "o.rar")}
    unicode = b"a.txt\x00" + b"\x00" + b"\x00" + b"x.ex" + b"\x00" + b"e"
    assert told(look(rar4(unicode, b"p", flags=0x8200), "o.rar", step)) == {
        ("watched", "o.rar/x.exe")
    }


@pytest.mark.parametrize("step", STEPS)
def test_archives_that_only_their_name_tells_are_looked_into(step: int) -> None:
    junk = b"words in front " * 70
    assert told(look(junk + rar4(b"x.exe", b"p"), "o.rar", step)) == {("watched", "o.rar/x.exe")}
    old = bytearray(tarred({"x.exe": b"x"}, tarfile.USTAR_FORMAT))
    old[257:265] = bytes(8)
    old[148:156] = b"%06o\x00 " % (sum(old[:148]) + sum(old[156:512]) + 256)
    assert told(look(bytes(old), "o.tar", step)) == {("watched", "o.tar/x.exe")}
    assert told(look(gzip.compress(old), "o.tgz", step)) == {("watched", "o.tgz/o.tar/x.exe")}


SEVENS = {
    "plain": (
        "N3q8ryccAASTnbjnegAAAAAAAAAgAAAAAAAAAMcjzsEBAAx3b3Jkc01aIGhlbGxvAAAAgTMHrg/PBHGMB8hD"
        "f0Gx+v3dg6hQTb/WP2/xBTuvBAVE/YeCGvBJ+pY2iwg1yQN8MbbPCD3zV9h32J19x97k7/ZT8/AiiZVsON5J"
        "91dX663N0jR5T0hS9EhnqekQNhJYqoQdlQAAABcGEQEJaQAHCwEAASMDAQEFXQAQAAAMfgoBqRU1CwAA"
    ),
    "enc": (
        "N3q8ryccAAQEhfp/wwAAAAAAAAAiAAAAAAAAAJTI3+3041yyLYzDjmxbaVTYYRV1g8TCEdScfClt4fa/M6tO"
        "dQAAgTMHrg/QDrA8nzkQnJ+m1TPasi6w5SAsysqgB3eGMK9zjTxQzKKZZVZl1lbh+mJsGYy1lYdM4cwW55OC"
        "f3EuFdqeQPNXUtRLvXnoo9KVurU2jWoTrystwTzc+7gXA7Rr+gUmPLJhE9vGRb1ZTtygvNql+RQ78WB1PhYS"
        "igIXV2J/NZXj72qaD55ow61a/VJ6hfmZy3FvEisigfMMOAAAAAAXBiABCYCjAAcLAQABIwMBAQVdABAAAAyA"
        "zgoB5E4diAAA"
    ),
    "hid": (
        "N3q8ryccAAT2NkQssAAAAAAAAAA+AAAAAAAAAA/2Y0dnkrh30uNRL8fJaQILXeppnL3LDI2Ywsw9IcL3Q/Uj"
        "8I+mpEcg0hr/MFERWgvCMG1BuzTkTcteSpjzmE4FyXyjuskj4MSTwNaXX6+jHY0Rr0DbtR8IAkw3YqisaDva"
        "n0nsU7IShH2eTiVgPvsGXtO+5i8s/gSWErd3twYB7qbKfFGretCKHWrFquNMXtrRensyfwqkHQYemiJJLRzF"
        "g8x0mq+FP1Ck4EwDbuNfpvAEUhcGIAEJgJAABwsBAAIkBvEHARJTDydRTu8q/MqeVtNWliFQ7C8jAwEBBV0A"
        "EAAAAQAMgIaAngoBWsSDFQAA"
    ),
    "nohc": (
        "N3q8ryccAATx8aMpDAAAAAAAAABaAAAAAAAAALHTtQ8BAAdNWiBoZWxsbwABBAYAAQkMAAcLAQABISEBAAwI"
        "AAgKAQHqgacAAAUBGQwAAAAAAAAAAAAAAAARFQBzAGUAdAB1AHAALgBlAHgAZQAAABQKAQBcl9qb733dARUG"
        "AQAggKSBAAA="
    ),
    "copy": (
        "N3q8ryccAAR7nhc4cgAAAAAAAAAgAAAAAAAAAAK3oi53b3Jkc01aIGhlbGxvAACBMweuMZhxcn8I88hEd2vS"
        "SHzoY2Np98brzSkLeUFOBxSKSvEEiOazuKFcmoQs2oHxBwFspnkvWIWIZqrHj33ddC9R6HtbLrtZ+7jXK5v2"
        "8MZMA0zkwQf/8+sLGPEHgqpcAAAXBg0BCWUABwsBAAEjAwEBBV0AEAAADH4KAauTGkMAAA=="
    ),
}
"""Made by 7-Zip 16.02 of setup.exe and notes.txt; enc and hid with a password, hid hides names."""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("which", "wanted"),
    [
        ("plain", {("watched", "o.7z/setup.exe")}),
        ("copy", {("watched", "o.7z/setup.exe")}),
        ("nohc", {("watched", "o.7z/setup.exe")}),
        (
            "enc",
            {("watched", "o.7z/setup.exe"), ("watched", "o.7z/x.js"), ("encrypted", "o.7z")},
        ),
        ("hid", {("encrypted", "o.7z")}),
    ],
)
def test_7z_tells_names_and_encryption(which: str, wanted: set[tuple[str, str]], step: int) -> None:
    data = base64.b64decode(SEVENS[which])
    assert told(look(data, "o.7z", step)) == wanted
    assert told(look(data[:-9], "o.7z", step)) <= {("unreadable", "o.7z"), *wanted}
    broken = data[:20] + bytes(8) + data[28:]
    assert told(look(broken, "o.7z", step)) == {("unreadable", "o.7z")}


@pytest.mark.parametrize("step", STEPS)
def test_what_is_not_looked_into_is_told(step: int) -> None:
    assert told(look(b"MSCF" + bytes(700), "o.cab", step)) == {("unreadable", "o.cab")}
    cut = b"\x78\x9f\x3e\x22" + bytes(2) + b"\x09" * 600
    assert told(look(cut, "winmail.dat", step)) == {("unreadable", "winmail.dat")}


def attribute(tag: int, data: bytes) -> bytes:
    return struct.pack("<BII", 2, tag, len(data)) + data + bytes(2)


@pytest.mark.parametrize("step", STEPS)
def test_what_outlook_wraps_is_looked_into(step: int) -> None:
    mark = b"\x78\x9f\x3e\x22\x01\x00"
    title, data = attribute(0x00018010, b"a.pdf\x00"), attribute(0x0006800F, PROGRAM)
    name = "winmail.dat"
    other = attribute(0x00069002, bytes(14))
    assert told(look(mark + other + title + data, name, step)) == {("program", f"{name}/a.pdf")}
    short = attribute(0x00018010, b"x.exe\x00")
    assert told(look(mark + short, name, step)) == {("watched", f"{name}/x.exe")}
    inner = attribute(0x0006800F, zipped({"x.js": b"x"}))
    archive = mark + attribute(0x00018010, b"a.zip\x00") + inner
    assert told(look(archive, name, step)) == {("watched", f"{name}/a.zip/x.js")}
    for kind, octets in ((0x1E, b"x.exe\x00"), (0x1F, "x.exe\x00".encode("utf-16-le"))):
        property_ = struct.pack("<HHII", kind, 0x3707, 1, len(octets)) + octets
        wrapped = mark + attribute(0x00069005, bytes(700) + property_ + bytes(2000)) + data
        assert ("watched", f"{name}/x.exe") in told(look(wrapped, name, step))


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (PROGRAM, "Windows program"),
        (b"\x7fELF\x02\x01", "Linux program"),
        (b"\xcf\xfa\xed\xfe" + bytes(30), "Mac program"),
        (b"\xca\xfe\xba\xbe\x00\x00\x00\x34", "Java program"),
        (b"L\x00\x00\x00\x01\x14\x02\x00" + bytes(20), "Windows shortcut"),
    ],
)
def test_a_program_is_one_whatever_it_is_called(data: bytes, detail: str) -> None:
    structure = read(mixed(attached(data, "invoice.pdf")))
    assert found(structure, What.PROGRAM) == ["invoice.pdf"]
    assert structure.discoveries[0].detail == detail


def test_one_allowed_kind_in_masses_does_not_crowd_out_another() -> None:
    files = {f"{number}.js": b"" for number in range(200)} | {"x.exe": b""}
    names = {where(one) for one in look(zipped(files))}
    assert "o.zip/x.exe" in names
    assert len(names) == 2
