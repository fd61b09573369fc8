"""The dialogue as it was spoken, for ``postern trace``: bounded, secrets masked, no content."""

import re
from collections.abc import Iterator, Sequence
from typing import overload

from postern.mail.address import CONTROLS

Entry = tuple[float, str, str]
"""Seconds since the greeting, ``C`` or ``S``, text of one line."""

MAX_ENTRIES = 300
MAX_TEXT_BYTES = 512

_AUTH = re.compile(rb"^(.*?\bAUTH\b)(?:\s+([A-Z0-9_-]+))?.*$", re.IGNORECASE | re.DOTALL)
_KNOWN_MECHANISMS = frozenset(
    b"PLAIN LOGIN CRAM-MD5 DIGEST-MD5 NTLM GSSAPI EXTERNAL XOAUTH2 OAUTHBEARER".split()
)
MASK = b"****"


class Transcript(Sequence[Entry]):
    """The lines of one conversation, oldest first; reads like a list of entries.

    When there are too many the middle is dropped: how it began and how it ended tell the most.
    Lines are kept as bytes and become text only when somebody reads them, since most transcripts
    belong to mail that was simply accepted.
    """

    __slots__ = ("_entries", "start")

    def __init__(self) -> None:
        self.start = 0.0
        self._entries: list[tuple[float, str, bytes]] = []

    def add(self, now: float, side: str, raw: bytes) -> None:
        """Notes a command without its CR LF, or a whole reply as it went on the wire."""
        entries = self._entries
        entries.append((now, side, raw))
        if len(entries) > MAX_ENTRIES:
            del entries[MAX_ENTRIES // 2]

    def clear(self) -> None:
        """Forgets what was said so far; the clock goes on."""
        self._entries.clear()

    def _texts(self) -> list[Entry]:
        texts = [
            (at - self.start, side, _text(line))
            for at, side, raw in self._entries
            for line in raw.removesuffix(b"\r\n").split(b"\r\n")
        ]
        if len(texts) > MAX_ENTRIES:  # replies of several lines
            texts = texts[: MAX_ENTRIES // 2] + texts[-(MAX_ENTRIES // 2) :]
        return texts

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        return self._texts()[index]

    def __len__(self) -> int:
        return len(self._texts())

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._texts())


def _text(line: bytes) -> str:
    """One line as text of at most 512 bytes, with nothing in it that a terminal would obey."""
    if line.isascii():
        text = line[:MAX_TEXT_BYTES].decode("ascii")
    else:
        octets = line.decode("utf-8", "replace").encode()
        text = octets[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
    return text if text.isprintable() else CONTROLS.sub("?", text)


def without_secrets(line: bytes) -> bytes:
    """A command line with what follows AUTH's mechanism masked, however oddly it is written."""
    match = _AUTH.match(line)
    if match is None:
        return line
    verb, mechanism = match.groups()
    if mechanism is None or mechanism.upper() not in _KNOWN_MECHANISMS:
        return verb + b" " + MASK
    shown = verb + b" " + mechanism
    return shown if line == shown else shown + b" " + MASK
