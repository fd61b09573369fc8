"""Where each key of a TOML file stands, which ``tomllib`` does not tell.

The text has been parsed by ``tomllib`` already, so only valid TOML comes here and nothing is
checked twice. Source: TOML 1.0.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass

Key = tuple[str | int, ...]
"""A path into the file: ``("listener", 0, "bind")``."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_ESCAPED = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; both count from 1."""

    line: int
    column: int


def key_positions(text: str) -> dict[Key, Position]:
    """The position of every key, table header and array element in valid TOML."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    scanner.scan()
    return scanner.positions


class _Scanner:
    def __init__(self, text: str) -> None:
        self.positions: dict[Key, Position] = {}
        self._text = text
        self._at = 0
        self._newlines = [i for i, c in enumerate(text) if c == "\n"]
        self._elements: dict[Key, int] = {}  # how many elements each array of tables has so far

    def scan(self) -> None:
        table: Key = ()
        self._skip()
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at

    def _mark(self, key: Key, start: int) -> None:
        line = bisect_right(self._newlines, start - 1)
        line_start = self._newlines[line - 1] + 1 if line else 0
        self.positions.setdefault(key, Position(line + 1, start - line_start + 1))

    def _header(self) -> Key:
        """``[a.b]`` or ``[[a.b]]``; returns the table it opens."""
        start = self._at
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *parents, last = self._dotted_key()
        self._at += brackets
        table: Key = ()
        for part in parents:
            self._mark((*table, part), start)
            table = self._latest((*table, part))
        table = (*table, last)
        if brackets == 2:
            self._mark(table, start)
            index = self._elements.get(table, 0)
            self._elements[table] = index + 1
            table = (*table, index)
        else:
            table = self._latest(table)
        self._mark(table, start)
        return table

    def _latest(self, table: Key) -> Key:
        """``table``, or its latest element when it is an array of tables."""
        count = self._elements.get(table)
        return table if count is None else (*table, count - 1)

    def _pair(self, table: Key) -> None:
        start = self._at
        key = table
        for part in self._dotted_key():
            key = (*key, part)
            self._mark(key, start)
        self._at += 1  # the equals sign
        self._value(key)

    def _dotted_key(self) -> list[str]:
        parts = []
        while True:
            self._skip()
            quoted = _STRING.match(self._text, self._at)
            found = quoted or _BARE_KEY.match(self._text, self._at)
            if found is None:  # cannot happen in valid TOML; never loop over what we misread
                raise ValueError(f"no key at offset {self._at}")
            parts.append(_unquote(found.group()) if quoted else found.group())
            self._at = found.end()
            self._skip()
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self, key: Key) -> None:
        self._skip()
        opening = self._text[self._at]
        if opening == "[":
            self._array(key)
        elif opening == "{":
            self._inline_table(key)
        else:
            found = _STRING.match(self._text, self._at) or _SCALAR.match(self._text, self._at)
            self._at = found.end() if found else self._at + 1

    def _array(self, key: Key) -> None:
        self._at += 1
        index = 0
        while True:
            self._skip()
            if self._text[self._at] == "]":
                self._at += 1
                return
            self._mark((*key, index), self._at)
            self._value((*key, index))
            index += 1
            self._comma()

    def _inline_table(self, key: Key) -> None:
        self._at += 1
        while True:
            self._skip()
            if self._text[self._at] == "}":
                self._at += 1
                return
            self._pair(key)
            self._comma()

    def _comma(self) -> None:
        self._skip()
        if self._text[self._at] == ",":
            self._at += 1


def _unquote(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1]
    return _ESCAPED.sub(
        lambda m: chr(int(m[1] or m[2], 16)) if m[1] or m[2] else _ESCAPES.get(m[3], m[3]),
        text[1:-1],
    )
