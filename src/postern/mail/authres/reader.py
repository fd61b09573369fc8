"""The words of a structured header value: comments, quoted strings, keywords, in one pass.

A comment or quoted string that never ends breaks the whole value: what other programs make of it is
anybody's guess, and looking for its end from every place it could begin takes quadratic time.

Source: RFC 5322 §3.2.2 (CFWS), §3.2.4 (quoted strings); RFC 2045 §5.1 (token); RFC 6532 §3.
"""

import re

from postern.mail.address import CONTROLS

_MAX_COMMENT_DEPTH = 20

_FOLD = re.compile(r"\r\n(?=[ \t])")
_BLANKS = re.compile(" *+")
_COMMENT_PIECE = re.compile(r"\\.|[()]|[^\\()]++")
_ESCAPE = re.compile(r"\\(.)")
_KEYWORD = re.compile(r"[A-Za-z0-9_-]++")
_DIGITS = re.compile(r"[0-9]++")
_TOKEN = re.compile(r"[^ ()<>@,;:\\\"/\[\]?=]++")
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*)"')
# Wider than a token: header.b=ab/cd= and smtp.remote-ip=2001:db8::1 are seen without quotes.
_BARE = re.compile(r'[^ ;()"]++')


def one_line(value: bytes) -> str:
    """A raw field value unfolded, with every control and what is not UTF-8 made harmless."""
    return CONTROLS.sub(" ", _FOLD.sub("", value.decode("utf-8", "replace")))


class Reader:
    """A place in a text of one line, and what can be read there.

    Attributes:
        text: as ``one_line`` makes it.
        position: offset of what comes next.
        comments: the comments skipped so far, without their parentheses and escapes.
        is_broken: True once a comment or quoted string had no end; then nothing is left to read.
    """

    __slots__ = ("comments", "is_broken", "position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.comments: list[str] = []
        self.is_broken = False

    @property
    def at_end(self) -> bool:
        """True when nothing is left."""
        return self.position >= len(self.text)

    def skip(self) -> None:
        """Go past blanks and comments."""
        while True:
            blanks = _BLANKS.match(self.text, self.position)
            if blanks:
                self.position = blanks.end()
            if not self.sees("("):
                return
            self._skip_comment()

    def sees(self, character: str) -> bool:
        """True when this character comes next."""
        return self.text.startswith(character, self.position)

    def take(self, character: str) -> bool:
        """Go past blanks, comments and this character, if it comes next behind them."""
        self.skip()
        if not self.sees(character):
            return False
        self.position += 1
        return True

    def keyword(self) -> str:
        """The lower-case keyword that comes next (RFC 5321 §4.1.2), or an empty text."""
        self.skip()
        return self._match(_KEYWORD).lower()

    def number(self) -> int | None:
        """The number that comes next; of more than nine digits, -1."""
        self.skip()
        digits = self._match(_DIGITS)
        if not digits:
            return None
        return int(digits) if len(digits) < 10 else -1

    def word(self) -> str | None:
        """The token or quoted string that comes next, without quotes."""
        self.skip()
        if self.sees('"'):
            return self._quoted()
        return self._match(_TOKEN) or None

    def value(self) -> str | None:
        """The value that comes next: a quoted string, or anything up to a blank or semicolon.

        An address stays as it is written, ``"a b"@tea.example`` with its quotes.
        """
        self.skip()
        if not self.sees('"'):
            return self._match(_BARE) or None
        start = self.position
        text = self._quoted()
        if text is not None and self.sees("@"):
            self._match(_BARE)
            return self.text[start : self.position]
        return text

    def skip_result(self) -> None:
        """Go to the next semicolon, or to the end."""
        while True:
            self.skip()
            if self.at_end or self.sees(";"):
                return
            if self.value() is None:  # a closing parenthesis that opens nowhere
                self.position += 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        """What the pattern finds here, past which it goes; else an empty text."""
        match = pattern.match(self.text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    def _quoted(self) -> str | None:
        """The quoted string that begins here, without quotes and escapes."""
        match = _QUOTED.match(self.text, self.position)
        if match is None:
            self._break()
            return None
        self.position = match.end()
        return _ESCAPE.sub(r"\1", match[1])

    def _skip_comment(self) -> None:
        """Go past the comment that begins here, with those within it."""
        start, position, depth = self.position + 1, self.position, 0
        while piece := _COMMENT_PIECE.match(self.text, position):
            position = piece.end()
            if piece[0] == "(":
                depth += 1
            elif piece[0] == ")":
                depth -= 1
            if depth == 0:
                self.position = position
                self.comments.append(_ESCAPE.sub(r"\1", self.text[start : position - 1]))
                return
            if depth > _MAX_COMMENT_DEPTH:
                break
        self._break()

    def _break(self) -> None:
        """Give up on the rest."""
        self.is_broken = True
        self.position = len(self.text)
