"""Messages with parts and archives in them, and how they are read."""

import base64
import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping

from postern.mail.message.header import HeaderScan
from postern.mail.mime.part import Discovery, Limits, Structure, What
from postern.mail.mime.structure import StructureReader

WATCHED = frozenset({"exe", "js", "vbs"})
PROGRAM = b"MZ\x90\x00\x03\x00\x00\x00\x04" + bytes(55) + b"PE\x00\x00" + bytes(2000)
LIMITS = Limits()


def read(message: bytes, step: int = 0, limits: Limits = LIMITS) -> Structure:
    """A message as it streams in, its body in pieces of ``step`` octets; 0: whole."""
    scan = HeaderScan(message)
    reader = StructureReader(scan, limits, WATCHED)
    body = message[scan.body_start :]
    step = step or max(1, len(body))
    for start in range(0, len(body), step):
        reader.feed(body[start : start + step])
    return reader.finish()


def mixed(*parts: bytes, boundary: str = "b", header: str = "") -> bytes:
    """A message of these parts, each with its own header."""
    head = header or f"Content-Type: multipart/mixed; boundary={boundary}\r\n"
    inner = b"".join(b"\r\n--" + boundary.encode() + b"\r\n" + part for part in parts)
    return head.encode() + b"\r\n" + inner + f"\r\n--{boundary}--\r\n".encode()


def attached(data: bytes, name: str = "file.bin", header: str = "") -> bytes:
    """A part in base64; ``header`` takes the place of what names it."""
    named = header or f'Content-Disposition: attachment; filename="{name}"\r\n'
    encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return named.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded


def text(words: str = "Hello") -> bytes:
    """A part of text."""
    return b"Content-Type: text/plain\r\n\r\n" + words.encode()


def zipped(files: Mapping[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def tarred(files: Mapping[str, bytes], layout: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=layout) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


SQUEEZERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def encrypted(archive: bytes) -> bytes:
    """A zip whose entries say that they are encrypted; their data are junk then."""
    made = bytearray(archive)
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = made.find(signature)
        while at >= 0:
            made[at + place] |= 1
            at = made.find(signature, at + 1)
    return bytes(made)


def found(structure: Structure, what: What) -> list[str]:
    """The names of what was discovered, with the archives they are in."""
    return [where(one) for one in structure.discoveries if one.what is what]


def where(one: Discovery) -> str:
    """``outer.zip/inner.zip/a.exe``."""
    return "/".join([*one.within, one.name])
