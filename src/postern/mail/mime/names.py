r"""File names as programs take them: which extensions a name might have in the end.

Windows drops blanks and dots at the end, reads ``a.exe::$DATA`` as ``a.exe``, and C programs stop
at NUL; marks that turn text around or are not seen at all hide where a name ends. Every way to read
it counts.
"""

import re
import unicodedata

MAX_NAME_CHARS = 255

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]+"
)
_PLAIN = re.compile(r"[A-Za-z0-9_ ()\[\]{}+=@,!#$&~^/.-]*\.([A-Za-z0-9]{1,20})")
"""Nearly every name: nothing in it that anybody would read in two ways."""
_ENDING = re.compile(r"\.([^./\\]{1,20})\Z")
_ENDINGS = re.compile(r"\.\s*([^./\\\s]{1,20})\s*\.\s*([^./\\\s]{1,20})\Z")
_IN_FRONT = " \t\r\n'\"<"
_AT_ENDS = " \t\r\n.'\"<>,;`"
_PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
SQUEEZED = frozenset({"gz", "bz2", "xz", "z", "zst", "lzma", "br"})
"""Endings of one compressed file, whose own name stands in front of it."""
_MADE_OF_ZIP = (
    "apk cbz docm docx ear epub jar odg odp ods odt potm potx ppsm ppsx pptm pptx war xlam xlsb"
    " xlsm xlsx xpi zip zipx"
)
ZIPS = frozenset(_MADE_OF_ZIP.split())
"""Endings of what is opened as a zip, even with something else in front of it."""
MAILS = frozenset({"eml", "mht", "mhtml", "nws"})
"""Endings of what is opened as a message."""
_LIKE_DOCUMENTS = (
    "bmp csv doc docx eml gif htm html jpeg jpg mp3 mp4 odp ods odt pdf png ppt pptx rtf txt"
    " wav xls xlsx xml zip"
)
DOCUMENTS = frozenset(_LIKE_DOCUMENTS.split())
"""Endings that a program is called by in front of its own, to be taken for a document."""
CONTAINERS = ZIPS | MAILS | SQUEEZED | {"cbr", "rar", "tar", "tgz"}
_SQUEEZED = re.compile(r"\.(?:" + "|".join(sorted(SQUEEZED)) + r")\Z")


def last_of(name: str) -> str:
    """The file's own name without folders; its end, where it is too long."""
    return re.split(r"[/\\]", name[-4 * MAX_NAME_CHARS :].rstrip("/\\"))[-1][-MAX_NAME_CHARS:]


def spellings(name: str) -> set[str]:
    """All that programs might make of a name, in lower case, without blanks and dots at its end."""
    name = name[-4 * MAX_NAME_CHARS :] if "\x00" not in name else name[: 16 * MAX_NAME_CHARS]
    found = {name}
    if "\x00" in name:
        found |= {name.partition("\x00")[0], name.replace("\x00", "")}
    if ":" in name:
        found |= {one.partition(":")[0] for one in found} | {name.rpartition(":")[2]}
    if "%" in name:
        found |= {_PERCENT.sub(_octet, one) for one in found}
    if not name.isascii() or not name.isprintable():
        found |= {_HIDDEN.sub("", one) for one in found}
        found |= {unicodedata.normalize("NFKC", one) for one in found}
    return {_trimmed(one.lower()) for one in found}


def spelling_costs(name: str) -> tuple[int, int]:
    """How many spellings a name may have, and how many characters the longest of them.

    One Arabic ligature is eighteen letters when it is written out.
    """
    if name.isascii() and name.isprintable() and "%" not in name and ":" not in name:
        return 1, len(name)
    count = 1 << sum([":" in name, "%" in name, "\x00" in name, not name.isprintable()])
    name = name[: 16 * MAX_NAME_CHARS] if "\x00" in name else name[-4 * MAX_NAME_CHARS :]
    return 2 * count, len(unicodedata.normalize("NFKC", name))


def _octet(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _trimmed(name: str) -> str:
    return name.lstrip(_IN_FRONT).rstrip(_AT_ENDS)


def extensions(name: str) -> set[str]:
    """Every extension that the name might have; of ``a.exe.gz`` both: one is inside the other."""
    plain = _PLAIN.fullmatch(name)
    if plain is not None:
        ending = plain[1].lower()
        if ending not in SQUEEZED:
            return {ending}
    found: set[str] = set()
    for spelling in spellings(name):
        for one in (spelling, _trimmed(_SQUEEZED.sub("", spelling))):
            matched = _ENDING.search(one)
            if matched is not None:
                found.add(matched[1].strip())
    return found


def chosen(names: tuple[str, ...]) -> str:
    """The name that tells most: one that a program would open as a container, else the first."""
    for name in names:
        if extensions(name) & CONTAINERS:
            return name
    return names[0] if names else ""


def last_two(name: str) -> set[tuple[str, str]]:
    """The two last extensions: ``("pdf", "exe")`` of ``invoice.pdf   .exe``."""
    found = (_ENDINGS.search(spelling) for spelling in spellings(name))
    return {(one[1], one[2]) for one in found if one is not None}
