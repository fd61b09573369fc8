"""Messages that cost much to read and little to send: each some 64 kB on the wire, or less."""

import binascii
import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping

from tests.mail.mime.making import attached, mixed, zipped
from tests.mail.mime.test_inspect import overlapping, rar4, rar5

BYTES = 48_000
"""That base64 makes 64 kB of."""
INFLATED = 6_000_000


def filled(unit: bytes, size: int = BYTES) -> bytes:
    """``unit`` again and again."""
    return unit * (size // len(unit) + 1)


def seven(listed: bytes) -> bytes:
    """A 7z whose list, compressed, is this."""
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 22}]
    packed = lzma.compress(listed, lzma.FORMAT_RAW, filters=filters)

    def number(value: int) -> bytes:
        return b"\xff" + struct.pack("<Q", value)

    coder = b"\x07\x0b\x01\x00\x01\x23\x03\x01\x01\x05\x5d\x00\x00\x40\x00\x0c"
    encoded = b"\x17\x06" + number(0) + b"\x01\x09" + number(len(packed)) + b"\x00" + coder
    encoded += number(len(listed))
    start = b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(4) + struct.pack("<QQ", len(packed), len(encoded))
    return start + bytes(4) + packed + encoded


def central(name_size: int, extra_size: int, flags: int = 0) -> bytes:
    """A line of a zip's list, without its name."""
    numbers = (20, 20, flags, 0, 0, 0, 0, 0, 0, name_size, extra_size)
    return b"PK\x01\x02" + struct.pack("<HHHHHHIIIHH", *numbers) + bytes(14)


def local(name: bytes, data: bytes, method: int = 8) -> bytes:
    """A file in a zip."""
    numbers = (20, 0, method, 0, 0, 0, 0, 0, len(name), 0)
    return b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", *numbers) + name + data


def deflated(data: bytes) -> bytes:
    """As it stands in a zip."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeezer.compress(data) + squeezer.flush()


def unicode_path(name: bytes) -> bytes:
    """An extra field of a zip."""
    return struct.pack("<HHBI", 0x7075, 5 + len(name), 1, 0) + name


def tar_head(name: bytes = b"a", size: int = 0, kind: bytes = b"0") -> bytes:
    """A tar's header."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = b"%011o\x00" % size
    block[156:157] = kind
    block[257:262] = b"ustar"
    return bytes(block)


def only_summed() -> bytes:
    """A block that is a tar's header only if its sum holds, which it does not."""
    block = bytearray(tar_head())
    block[148:156] = b"0000001\x00"
    block[257:262] = bytes(5)
    return bytes(block)


def nested(levels: int, readings: int, behind: bytes) -> bytes:
    """Multiparts inside one another, each with boundaries that could all be meant."""
    message = b""
    for level in range(levels):
        said = "; ".join(f'boundary="L{level:02}{reading:02}"' for reading in range(readings))
        message += f"Content-Type: multipart/mixed; {said}\r\n\r\n\r\n--L{level:02}00\r\n".encode()
    return message + b"\r\n\r\n" + behind


def uuencoded(name: bytes, data: bytes) -> bytes:
    """A text that is a file."""
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"\r\nbegin 644 " + name + b"\r\n" + b"".join(lines).replace(b"\n", b"\r\n")


def in_zip(name: str, data: bytes) -> bytes:
    """A message with a zip that holds this file."""
    return mixed(attached(zipped({name: data}), "a.zip"))


def alone(name: str, data: bytes) -> bytes:
    """A message with this file."""
    return mixed(attached(data, name))


def mail(inner: bytes, header: bytes = b"Content-Type: multipart/mixed; boundary=b\n\n") -> bytes:
    """A zip with a message in it."""
    return in_zip("a.eml", header + inner)


ODD = "é:%41\u200b.e".encode()
LIGATURES = ("\ufdfa:%41" * 400).encode()[:3000]
UNICODE_4 = rar4(b"a\x00\x00" + b"\xff\x7f\x7f\x7f\x7f" * 4, b"", flags=0x8200)[20:]
PADDED = b"UEsDBA==" + b"A=" * 990
ZIP_PART = b"Content-Transfer-Encoding: base64\r\nContent-Type: a/b; name=a.zip\r\n\r\n"
MANY_NAMES = b";name=a.b" * 300
RAR_4, RAR_5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
PROPERTIES = b"\x78\x9f\x3e\x22\x00\x00" + struct.pack("<BII", 2, 1, 9_999_999)
LONG_NAME = b"\x1f\x00\x04\x37\xff\xff\x00\x00"
PAX = tar_head(b"a", 512, b"x") + filled("9 path=é.exe\n".encode(), 512)[:512]

TOLD: Mapping[str, Callable[[], bytes]] = {
    "7z, a list of marks": lambda: alone("a.7z", seven(b"\x01" + b"\x11" * (1 << 20))),
    "7z, a longer one": lambda: alone("a.7z", seven(b"\x01" + b"\x11" * ((1 << 22) - 1))),
    "7z, a hundred": lambda: mixed(*[attached(seven(b"\x01" + b"\x11" * (1 << 20)), "a.7z")] * 100),
    "7z, large empty lists": lambda: mixed(
        *[attached(seven(b"\x02" + bytes(1 << 22)), "a.7z")] * 60
    ),
    "zip, extra fields over one another": lambda: alone(
        "a.zip", b"PK\x03\x04" + filled(central(2, 40_000))
    ),
    "zip, names over one another": lambda: alone(
        "a.zip", b"PK\x03\x04" + filled(central(40_000, 2))
    ),
    "zip, short ones over one another": lambda: alone(
        "a.zip", b"PK\x03\x04" + filled(central(60, 300))
    ),
    "zip, many Unicode paths": lambda: alone(
        "a.zip",
        b"PK\x03\x04" + filled(central(1, 2600) + b"a" + unicode_path(b"x.ex") * 200),
    ),
    "zip, entries that quote others": lambda: alone(
        "a.zip", overlapping(200, zipped({"x.exe": b"x" * 600}))
    ),
    "zip, ligatures": lambda: alone(
        "a.zip", b"PK\x03\x04" + filled(central(3000, 0, 0x800) + LIGATURES)
    ),
    "zip in zip, marks": lambda: in_zip("a.zip", b"PK\x03\x04" + b"PK" * 3_000_000),
    "zip in zip, likely marks": lambda: in_zip("a.zip", b"PK\x03\x04" * 1_500_000),
    "zip in zip, a list": lambda: in_zip(
        "a.zip", b"PK\x03\x04" + filled(central(1, 0) + b"a", INFLATED)
    ),
    "zip in zip, odd names": lambda: in_zip(
        "a.zip", b"PK\x03\x04" + filled(central(len(ODD), 0, 0x800) + ODD, INFLATED)
    ),
    "zip in zip, ligatures": lambda: in_zip(
        "a.zip", b"PK\x03\x04" + filled(central(3000, 0, 0x800) + LIGATURES, INFLATED)
    ),
    "zip in zip, small files": lambda: in_zip(
        "a.zip", filled(local(b"a.zip", deflated(b"PK\x03\x04")), INFLATED)
    ),
    "gzip in gzip": lambda: alone(
        "a.gz", gzip.compress(gzip.compress(tar_head(b"a", 40_000_000) + bytes(30_000_000)))
    ),
    "bzip2, a bomb": lambda: alone(
        "a.tar.bz2", bz2.compress(tar_head(b"a", 40_000_000) + bytes(30_000_000))
    ),
    "bzip2, many": lambda: mixed(*[attached(bz2.compress(b"ab" * 450_000), "a.bz2")] * 250),
    "tar.gz, headers": lambda: alone("a.tar.gz", gzip.compress(tar_head() * 30_000)),
    "tar.gz, sums that do not hold": lambda: alone(
        "a.tar.gz", gzip.compress(tar_head() + only_summed() * 20_000)
    ),
    "tar.gz, pax": lambda: alone("a.tar.gz", gzip.compress(PAX * 10_000)),
    "rar 5, records": lambda: alone("a.rar", rar5(b"a", b"", extra=b"\x01\x0a" * 30_000)),
    "rar 5, files": lambda: in_zip("a.rar", RAR_5 + filled(rar5(b"a", b"")[15:], INFLATED)),
    "rar 5, empty headers": lambda: in_zip("a.rar", RAR_5 + bytes(INFLATED)),
    "rar 4, packed names": lambda: alone("a.rar", RAR_4 + filled(UNICODE_4)),
    "rar 4, empty headers": lambda: in_zip(
        "a.rar", RAR_4 + filled(struct.pack("<HBHH", 0, 0x7F, 0, 7), INFLATED)
    ),
    "winmail.dat, files": lambda: alone(
        "w.dat", PROPERTIES[:6] + filled(struct.pack("<BII", 2, 0x6800F, 1) + b"x\x00\x00")
    ),
    "winmail.dat, names": lambda: alone("w.dat", PROPERTIES + filled(LONG_NAME)),
    "multiparts with many boundaries": lambda: nested(45, 24, b"\r\n--L0000--" * 6000),
    "closing delimiters": lambda: nested(8, 24, b"\r\n--L0700--" * 9000),
    "loose delimiters": lambda: nested(8, 24, b"\r\n--L0723x" * 6000),
    "parts": lambda: mixed(*[b"\r\n"] * 8000),
    "padding without end": lambda: mixed(ZIP_PART + b"UEsDBA==" * 8000),
    "uuencoded, many": lambda: b"\r\n" + filled(b"\r\nbegin 644 a\r\n#0V%T", 62_000),
    "a message in a zip, parts": lambda: mail(b"\n--b\n\n" * 1_000_000),
    "a message in a zip, hyphens": lambda: mail(b"\n--" * 2_000_000),
    "a message in a zip, headers": lambda: mail(
        (b"\n--b\nContent-Type: a/b" + MANY_NAMES + b"\n\n") * 1000
    ),
    "a message in a zip, boundaries": lambda: in_zip("a.eml", nested(8, 20, b"\r\n--" * 1_000_000)),
    "a message in a zip, padding": lambda: mail(
        (b"\n--b\n" + ZIP_PART.replace(b"\r", b"") + PADDED + b"\n") * 2000
    ),
    "a message in a zip, escapes": lambda: mail(
        b"PK=03=04" + b"=41" * 2_000_000,
        b"Content-Transfer-Encoding: quoted-printable\nContent-Type: a/b; name=a.zip\n\n",
    ),
    "a message in a zip, uuencoded": lambda: mail(
        b"\nbegin 644 a.zip\n#4$L#\n" + b"!00  \n" * 800_000, b"a: b\n\n"
    ),
}
"""What can't be read to its end within what it may cost."""
ENDURED: Mapping[str, Callable[[], bytes]] = {
    "zip, small files": lambda: alone("a.zip", filled(local(b"a", deflated(b"x")))),
    "many multiparts": lambda: mixed(
        *[b"Content-Type: multipart/x; boundary=q%d\r\n\r\n" % number for number in range(1500)]
    ),
    "many names": lambda: mixed(*[b"Content-Type: a/b" + MANY_NAMES + b"\r\n\r\n"] * 22),
    "hyphens": lambda: nested(8, 24, b"\r\n--" * 15_000),
}
"""What is read whole."""
