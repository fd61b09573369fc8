"""What a file is, by its first octets, whatever it is called."""

from enum import Enum

HEAD_BYTES = 512
"""What is looked at: a tar says what it is at 257."""


class Kind(Enum):
    """The values are words for people."""

    OTHER = "file"
    WINDOWS = "Windows program"
    ELF = "Linux program"
    MACH = "Mac program"
    JAVA = "Java program"
    SHORTCUT = "Windows shortcut"
    ZIP = "zip"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    TAR = "tar"
    RAR = "rar"
    SEVEN = "7z"
    CABINET = "cab"
    ACE = "ace"
    ARJ = "arj"
    LHA = "lha"
    ZSTD = "zstd"
    TNEF = "winmail.dat"

    @property
    def is_program(self) -> bool:
        """True for what runs when it is opened."""
        return self in _PROGRAMS

    @property
    def is_archive(self) -> bool:
        """True for what holds other files."""
        return self is not Kind.OTHER and self not in _PROGRAMS


_PROGRAMS = frozenset({Kind.WINDOWS, Kind.ELF, Kind.MACH, Kind.JAVA, Kind.SHORTCUT})

_AT_START = (
    (b"\x7fELF", Kind.ELF),
    (b"\xfe\xed\xfa\xce", Kind.MACH),
    (b"\xfe\xed\xfa\xcf", Kind.MACH),
    (b"\xce\xfa\xed\xfe", Kind.MACH),
    (b"\xcf\xfa\xed\xfe", Kind.MACH),
    (b"\xca\xfe\xba\xbe", Kind.JAVA),
    (b"L\x00\x00\x00\x01\x14\x02\x00", Kind.SHORTCUT),
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),
    (b"PK\x07\x08", Kind.ZIP),
    (b"PK00PK", Kind.ZIP),
    (b"\x1f\x8b\x08", Kind.GZIP),
    (b"BZh", Kind.BZIP2),
    (b"\xfd7zXZ\x00", Kind.XZ),
    (b"Rar!\x1a\x07", Kind.RAR),
    (b"7z\xbc\xaf\x27\x1c", Kind.SEVEN),
    (b"MSCF\x00\x00\x00\x00", Kind.CABINET),
    (b"\x60\xea", Kind.ARJ),
    (b"\x28\xb5\x2f\xfd", Kind.ZSTD),
    (b"\x78\x9f\x3e\x22", Kind.TNEF),
)


_FIRST = frozenset([magic[:1] for magic, _ in _AT_START])


def kind_of(head: bytes) -> Kind:
    """What the first ``HEAD_BYTES`` say; fewer when the file is shorter."""
    # A letter may begin with "MZ"; a program has a table behind it, with NUL in it.
    if head[:2] in (b"MZ", b"ZM") and b"\x00" in head[:64]:
        return Kind.WINDOWS
    if head[:1] in _FIRST:
        for magic, kind in _AT_START:
            if head.startswith(magic) and (kind is not Kind.BZIP2 or head[4:10] == b"1AY&SY"):
                return kind
    if head[2:5] == b"-lh" and head[6:7] == b"-":
        return Kind.LHA
    if head[7:14] == b"**ACE**":
        return Kind.ACE
    if head[257:262] == b"ustar":
        return Kind.TAR
    return Kind.OTHER
