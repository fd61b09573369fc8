"""Macros: text in a record that stands for something of the message at hand.

Parsing and expanding are apart: a record is parsed once and kept, expanded for every message.

Source: RFC 7208 §7 (macros), §4.8 (domain-spec), §6.2 (explain-string), RFC 8616 §4 (UTF-8).
"""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from postern.mail.address import to_a_labels
from postern.mail.message.text import without_controls
from postern.mail.spf.client import Client

MAX_NAME_CHARS = 253
"""RFC 7208 §7.3: a longer name loses labels on its left."""
MAX_EXPLANATION_CHARS = 400
"""Fits into one line of a reply beside our own words (RFC 7208 §6.2 allows a limit)."""

_MAX_EXPLANATION_RECORD_CHARS = 2_048
_MAX_PARTS = 127  # RFC 7208 §7.3: more parts than any name has
_VISIBLE = re.compile(r"[!-~]+")
_EXPLAIN = re.compile(r"[ -~]+")
_MACRO = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([-.+,/_=]*)\}|([%_-]))")
_TOP_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_TERM_LETTERS = frozenset("slodiphv")
_ALL_LETTERS = _TERM_LETTERS | frozenset("crt")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}


@dataclass(frozen=True, slots=True)
class Expand:
    """One macro: ``%{l1r-}`` is letter ``l``, ``keep`` 1, ``is_reversed``, ``delimiters`` ``-``.

    ``keep`` 0 keeps all parts. ``is_escaped``: the letter was upper case, the value becomes part
    of a URL.
    """

    letter: str
    keep: int
    is_reversed: bool
    delimiters: str
    is_escaped: bool


@dataclass(frozen=True, slots=True)
class MacroString:
    """A parsed text: literal pieces and macros in order, and the letters of those macros."""

    pieces: tuple[str | Expand, ...]
    letters: frozenset[str]

    @property
    def needs_validated_name(self) -> bool:
        """True when ``%{p}`` is in it, which costs look-ups."""
        return "p" in self.letters


@dataclass(frozen=True, slots=True)
class Facts:
    """What macros can stand for, the same for the whole of one check.

    ``now``: seconds since 1970. Domains are A-labels where they are names at all.
    """

    client: Client
    local: str
    sender_domain: str
    helo: str
    receiver: str
    now: float

    @classmethod
    def of(
        cls, client: Client, domain: str, sender: str, helo: str, receiver: str, now: float
    ) -> Self:
        """The facts of a conversation; a sender without local part is postmaster (§4.3)."""
        local, _, sender_domain = sender.rpartition("@")
        return cls(
            client,
            local or "postmaster",
            a_labels(sender_domain or domain),
            a_labels(helo),
            receiver or "unknown",
            now,
        )

    def hide(self, text: MacroString) -> bool:
        """True when a term with ``text`` can match nothing.

        A local part beyond ASCII is no label that anyone could have meant (RFC 8616 §4).
        """
        return not self.local.isascii() and ("l" in text.letters or "s" in text.letters)

    def value(self, letter: str, domain: str, validated: str) -> str:
        """What a macro letter stands for in the record of ``domain`` (RFC 7208 §7.2)."""
        match letter:
            case "d":
                return domain
            case "i":
                return self.client.dotted
            case "v":
                return self.client.version
            case "p":
                return validated
            case "c":
                return self.client.readable
            case _:
                return self._word(letter)

    def _word(self, letter: str) -> str:
        """The letters that are the client's or our own words."""
        match letter:
            case "s":
                return f"{self.local}@{self.sender_domain}"
            case "l":
                return self.local
            case "o":
                return self.sender_domain
            case "h":
                return self.helo
            case "r":
                return self.receiver
            case _:
                return str(int(self.now))


def a_labels(name: str) -> str:
    """``name`` as A-labels if it has any others (RFC 8616 §4); unchanged when it is not a name."""
    return name if name.isascii() else to_a_labels(name) or name


def parse_domain_spec(text: str) -> MacroString | None:
    """A domain-spec, or None when it is not one: it must end in a macro or in ``.`` and a TLD."""
    parsed = _parse(text, _VISIBLE, _TERM_LETTERS)
    if parsed is None:
        return None
    # An escape is a macro too, so what counts is how the text ends, not the last piece.
    ends = 0
    for match in _MACRO.finditer(text):
        ends = match.end()
    if ends == len(text):
        return parsed
    _, dot, label = text[ends:].removesuffix(".").rpartition(".")
    return parsed if dot and is_top_label(label) else None


def is_top_label(label: str) -> bool:
    """True for what may stand last in a name: letters, digits, hyphens, not digits alone."""
    return _TOP_LABEL.fullmatch(label) is not None and not label.isdigit()


def is_macro_string(text: str) -> bool:
    """True when ``text`` may be the value of a modifier nobody here knows (RFC 7208 §6)."""
    return not text or _parse(text, _VISIBLE, _ALL_LETTERS) is not None


def parse_explanation(text: str) -> MacroString | None:
    """An explain-string, or None when it is not one or longer than 2,048 octets."""
    if len(text) > _MAX_EXPLANATION_RECORD_CHARS:
        return None
    return _parse(text, _EXPLAIN, _ALL_LETTERS)


def expand_domain(text: MacroString, facts: Facts, domain: str, validated: str = "") -> str:
    """The name a domain-spec stands for, without final dot, cut on its left to 253 characters.

    It need not be a name that DNS can hold. ``validated`` is the value of ``%{p}``.
    """
    found: list[str] = []
    size = 0
    for piece in reversed(text.pieces):
        expanded = piece if isinstance(piece, str) else _expand(piece, facts, domain, validated)
        found.append(expanded)
        size += len(expanded)
        if size > MAX_NAME_CHARS + 1:  # whatever stands further left would be cut off again
            break
    found.reverse()
    name = "".join(found).removesuffix(".")
    if len(name) <= MAX_NAME_CHARS:
        return name
    cut = name.find(".", len(name) - MAX_NAME_CHARS - 1)
    return name[cut + 1 :] if cut >= 0 else ""


def expand_explanation(text: MacroString, facts: Facts, domain: str, validated: str = "") -> str:
    """An explanation as one line of ASCII, at most 400 characters.

    The record holds only ASCII, but macros can bring in anything the client said; controls become
    spaces and what is beyond ASCII ``?``.
    """
    found: list[str] = []
    size = 0
    for piece in text.pieces:
        expanded = piece if isinstance(piece, str) else _expand(piece, facts, domain, validated)
        found.append(expanded)
        size += len(expanded)
        if size > MAX_EXPLANATION_CHARS:
            break
    line = without_controls("".join(found)[:MAX_EXPLANATION_CHARS])
    return line.encode("ascii", "replace").decode("ascii").strip()


def _parse(text: str, allowed: re.Pattern[str], letters: frozenset[str]) -> MacroString | None:
    """A macro-string of these characters and macro letters, or None."""
    if allowed.fullmatch(text) is None:
        return None
    if "%" not in text:
        return MacroString((text,), frozenset())
    pieces: list[str | Expand] = []
    used: set[str] = set()
    position = 0
    while (percent := text.find("%", position)) >= 0:
        if percent > position:
            pieces.append(text[position:percent])
        match = _MACRO.match(text, percent)
        piece = None if match is None else _piece(match)
        if match is None or piece is None:
            return None
        if isinstance(piece, Expand):
            if piece.letter not in letters:
                return None
            used.add(piece.letter)
        pieces.append(piece)
        position = match.end()
    if position < len(text):
        pieces.append(text[position:])
    return MacroString(tuple(pieces), frozenset(used))


def _piece(match: re.Match[str]) -> str | Expand | None:
    """What one ``%…`` stands for; None for ``%{d0}``, which RFC 7208 §7.3 forbids."""
    letter, digits, reverse, delimiters, escape = match.groups()
    if escape is not None:
        return _ESCAPES[escape]
    keep = 0
    if digits:
        significant = digits.lstrip("0")
        if not significant:
            return None
        keep = int(significant) if len(significant) <= 3 else _MAX_PARTS
    return Expand(letter.lower(), keep, bool(reverse), delimiters, letter.isupper())


def _expand(macro: Expand, facts: Facts, domain: str, validated: str) -> str:
    """The value of one macro, transformed (RFC 7208 §7.3)."""
    value = facts.value(macro.letter, domain, validated)
    if macro.keep or macro.is_reversed or macro.delimiters:
        delimiters = macro.delimiters or "."
        for other in delimiters[1:]:
            value = value.replace(other, delimiters[0])
        parts = value.split(delimiters[0])
        if macro.is_reversed:
            parts.reverse()
        value = ".".join(parts[-macro.keep :])
    return quote(value, safe="", errors="replace") if macro.is_escaped else value
