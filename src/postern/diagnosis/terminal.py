"""Text for a terminal: strangers' words made harmless, widths that count CJK twice, glyphs."""

import unicodedata
from dataclasses import dataclass
from enum import Enum

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset("\u00ad\u180e\u200b\u200c\u200d\u2060\ufeff\u2028\u2029")
MAX_TEXT_CHARS = 2_000


class Glyph(Enum):
    """A mark that never carries meaning by colour alone: (glyph, ASCII)."""

    GOOD = ("✔", "OK")
    BAD = ("✘", "FAIL")
    UNKNOWN = ("?", "??")
    NOTE = ("~", "~")
    WAIT = ("…", "wait")
    NONE = ("-", "-")


_COLOURS = {Glyph.GOOD: "32", Glyph.BAD: "31", Glyph.UNKNOWN: "33", Glyph.WAIT: "33"}


@dataclass(frozen=True, slots=True)
class Style:
    """How to write for this terminal: no glyphs beyond ASCII, colours or none, its width."""

    is_ascii: bool = False
    has_colour: bool = False
    columns: int = 100

    def glyph(self, glyph: Glyph) -> str:
        """The mark, padded to the width of its kind."""
        text = glyph.value[1].ljust(4) if self.is_ascii else glyph.value[0]
        return self._coloured(text, _COLOURS.get(glyph))

    def strong(self, text: str) -> str:
        """A verdict: bold where that is possible, in capitals everywhere."""
        return self._coloured(text, "1")

    @property
    def arrow(self) -> str:
        """From sender to recipient."""
        return "->" if self.is_ascii else "→"

    def _coloured(self, text: str, code: str | None) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.has_colour and code else text


def harmless(text: str) -> str:
    """``text`` on one line, unable to move the cursor, colour, or turn the direction of reading.

    What is taken out stays visible as ``<U+202E>``: a forged header is a finding in itself.
    """
    if len(text) > MAX_TEXT_CHARS:
        text = text[:MAX_TEXT_CHARS] + " ..."
    if text.isascii() and text.isprintable():
        return text
    return "".join(_harmless_char(char) for char in text)


def _harmless_char(char: str) -> str:
    if char in "\r\n\t":
        return " "
    if char in _BIDI or char in _UNSEEN or unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co"}:
        return f"<U+{ord(char):04X}>"
    return char


def cells(text: str) -> int:
    """Columns ``text`` takes; wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_cell(char) for char in text)


def padded(text: str, columns: int) -> str:
    """``text`` with blanks up to ``columns``."""
    return text + " " * (columns - cells(text))


def clipped(text: str, columns: int) -> str:
    """``text`` cut to ``columns``, with three dots to show that it was."""
    if cells(text) <= columns:
        return text
    kept, room = [], columns - 3
    for char in text:
        room -= _cell(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + "..."


def wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most ``columns``; a word that is longer is cut, ideographs part anywhere."""
    columns = max(columns, 8)
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cells(joined) <= columns:
            line = joined
            continue
        if line and cells(word) <= columns:
            lines.append(line)
            line = word
            continue
        *full, line = _pieces(joined, columns)
        lines += full
    return [*lines, line] if line or not lines else lines


def _pieces(text: str, columns: int) -> list[str]:
    pieces, piece, room = [], "", columns
    for char in text:
        width = _cell(char)
        if width > room:
            pieces.append(piece.rstrip())
            piece, room = "", columns
        piece += char
        room -= width
    return [*pieces, piece]


def _cell(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
