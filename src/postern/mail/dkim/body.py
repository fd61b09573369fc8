"""The hash of a body that comes in pieces, in all the forms that signatures ask for.

However many signatures a message has, its body is canonicalised at most twice (simple, relaxed)
and hashed at most twice: a signature over the first ``l=`` octets takes a copy of the running hash
when it comes by. What is held back between pieces is a count of empty lines and two octets.

Only CR LF ends a line, as everywhere in Postern: a bare CR or LF is an ordinary octet.

Source: RFC 6376 §3.4.3 (simple), §3.4.4 (relaxed), §3.7.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from postern.mail.dkim.canonical import Canon

_LF, _SPACE = 0x0A, 0x20
_LINES_AT_ONCE = 4096
_EMPTY_LINES = b"\r\n" * _LINES_AT_ONCE


@dataclass(frozen=True, slots=True)
class BodyForm:
    """What of a body is hashed: its canonical form, and how many octets of it (None: all)."""

    canon: Canon
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class BodyHash:
    """SHA-256 of a form, and how long the whole body is in its canonical form.

    ``digest`` is None when the body is shorter than the form's limit.
    """

    digest: bytes | None
    length: int


class BodyHashes:
    """The hashes of a finished body."""

    __slots__ = ("_found",)

    def __init__(self, found: dict[BodyForm, BodyHash]) -> None:
        self._found = found

    def of(self, form: BodyForm) -> BodyHash:
        """The hash of a form the hasher was made for.

        Raises:
            KeyError: it was not.
        """
        return self._found[form]


class BodyHasher:
    """Takes a body in pieces of any size; memory does not grow with it.

    Args:
        forms: of all signatures to be verified or made. With none it does nothing, fast.
    """

    __slots__ = ("_forms", "_streams")

    def __init__(self, forms: Iterable[BodyForm]) -> None:
        self._forms = frozenset(forms)
        limits: dict[Canon, set[int]] = {}
        for form in self._forms:
            wanted = limits.setdefault(form.canon, set())
            if form.limit is not None:
                wanted.add(form.limit)
        self._streams = {canon: _Stream(canon, wanted) for canon, wanted in limits.items()}

    def feed(self, piece: bytes) -> None:
        """The next octets of the body."""
        for stream in self._streams.values():
            stream.feed(piece)

    def finish(self) -> BodyHashes:
        """The hashes; to be asked for once, when the whole body was fed."""
        for stream in self._streams.values():
            stream.finish()
        found = {}
        for form in self._forms:
            running = self._streams[form.canon].running
            found[form] = BodyHash(running.digest(form.limit), running.length)
        return BodyHashes(found)


class _Running:
    """One hash over a canonical body, remembered where a limit is passed."""

    __slots__ = ("_at", "_limits", "_sha256", "length")

    def __init__(self, limits: Iterable[int]) -> None:
        self._sha256 = hashlib.sha256()
        self._limits = sorted(limits, reverse=True)  # the next one is the last
        self._at: dict[int, bytes] = {}
        self.length = 0

    def write(self, octets: bytes) -> None:
        while self._limits and self._limits[-1] <= self.length + len(octets):
            limit = self._limits.pop()
            part = limit - self.length
            self._sha256.update(octets[:part])
            self._at[limit] = self._sha256.digest()
            octets = octets[part:]
            self.length = limit
        self._sha256.update(octets)
        self.length += len(octets)

    def digest(self, limit: int | None) -> bytes | None:
        return self._sha256.digest() if limit is None else self._at.get(limit)


class _Stream:
    """Makes one canonical form out of pieces.

    ``_empty`` lines and ``_rest`` (a blank, a CR, or both) were seen and not passed on, as what
    follows decides what becomes of them.
    """

    __slots__ = ("_empty", "_relaxed", "_rest", "running")

    def __init__(self, canon: Canon, limits: Iterable[int]) -> None:
        self.running = _Running(limits)
        self._relaxed = canon is Canon.RELAXED
        self._empty = 0
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        text = self._rest + piece if self._rest else piece
        if self._relaxed:
            text = _reduced(text)
        end = len(text)
        if text.endswith(b"\r"):
            end -= 1
        if self._relaxed and end and text[end - 1] == _SPACE:
            end -= 1
        self._rest = text[end:]
        content = _content_end(text, end)
        if content:
            self._pass_empty_lines()
            self.running.write(text[:content])
        self._empty += (end - content) // 2

    def finish(self) -> None:
        rest = self._rest
        if rest == b" ":  # a blank at the end of the last line, which has no line end
            rest = b""
        if rest:
            self._pass_empty_lines()
            self.running.write(rest)
        if self.running.length or not self._relaxed:
            self.running.write(b"\r\n")
        self.running.write(b"")  # limits of 0, when the body is empty

    def _pass_empty_lines(self) -> None:
        """Empty lines that turned out not to be the last ones."""
        while self._empty:
            lines = min(self._empty, _LINES_AT_ONCE)
            self.running.write(_EMPTY_LINES[: lines * 2])
            self._empty -= lines


def _reduced(text: bytes) -> bytes:
    """Runs of blanks as one space, and none before a line end."""
    text = text.replace(b"\t", b" ")
    # Each round halves the runs; on indented HTML this takes a quarter of what a pattern takes.
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text.replace(b" \r\n", b"\r\n")


def _content_end(text: bytes, end: int) -> int:
    """Where the empty lines begin that ``text[:end]`` ends with; ``end`` when there are none.

    The CR LF of the last line that has something in it counts as one of them: every body ends with
    exactly one, so that it is held back like the others.
    """
    if not text.endswith(b"\r\n", 0, end):
        return end
    start = len(text[:end].rstrip(b"\r\n"))
    run = text[start:end]
    if run.count(b"\r\n") * 2 == len(run):
        return start
    # Bare CR or LF among them: the lines begin behind the last one.
    start += max(run.rfind(b"\r\r"), run.rfind(b"\n\n")) + 1
    return start + 1 if text[start] == _LF else start
