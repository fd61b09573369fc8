"""Content transfer encodings, decoded piece by piece and never refused: as mail programs do.

Source: RFC 2045 §6.7, §6.8 (octets outside the alphabet are passed over); uuencode: POSIX.
"""

import binascii
import re

from postern.mail.mime.part import Encoding

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_JUNK = bytes(octet for octet in range(256) if octet not in _ALPHABET)
_PADDING = re.compile(rb"=++")
_MAX_RUNS = 1000
"""Pieces with padding between them; there is one in honest mail."""
_MAX_HELD_BYTES = 200


class Decoder:
    """Passes octets on as they are; the others are made from it.

    ``is_broken``: programs would not agree on what was decoded. ``is_given_up``: there was more.
    """

    def __init__(self) -> None:
        self.is_broken = False
        self.is_given_up = False

    def feed(self, data: bytes) -> bytes:
        """What these octets decode to; some may be held back for the next piece."""
        return data

    def finish(self) -> bytes:
        """What was held back."""
        return b""


class Base64Decoder(Decoder):
    """Goes on behind padding, where others would stop: what follows is decoded anew."""

    def __init__(self) -> None:
        super().__init__()
        self._held = b""
        self._is_padded = False
        self._runs = 0

    def feed(self, data: bytes) -> bytes:
        """Decode whole groups of four."""
        clean = self._held + data.translate(None, _JUNK)
        if b"=" in clean or self._is_padded:
            return self._slow(clean)
        whole = len(clean) & ~3
        self._held = clean[whole:]
        return binascii.a2b_base64(clean[:whole])

    def _slow(self, clean: bytes) -> bytes:
        """With padding somewhere in it."""
        *ended, rest = _PADDING.split(clean)
        self._runs += len(ended)
        if self._runs > _MAX_RUNS:
            self.is_broken = self.is_given_up = True
            return b""
        decoded: list[bytes] = []
        for run in ended:
            self.is_broken = self.is_broken or (self._is_padded and bool(run))
            self._is_padded = True
            decoded.append(_group(run))
        self.is_broken = self.is_broken or bool(self._is_padded and rest)
        whole = len(rest) & ~3
        self._held = rest[whole:]
        decoded.append(binascii.a2b_base64(rest[:whole]))
        return b"".join(decoded)

    def finish(self) -> bytes:
        """The last group, padded or not."""
        held, self._held = self._held, b""
        return _group(held)


def _group(run: bytes) -> bytes:
    """A run that ended without being whole; one letter alone is no octet."""
    left = len(run) & 3
    if left == 1:
        run, left = run[:-1], 0
    return binascii.a2b_base64(run + b"=" * (-left & 3))


class QuotedDecoder(Decoder):
    """Holds back what may be the beginning of an escape or of a soft line break."""

    def __init__(self) -> None:
        super().__init__()
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Decode what the next piece can't change."""
        buffer = self._held + data
        open_end = _OPEN_END.search(buffer, max(0, len(buffer) - _MAX_HELD_BYTES))
        cut = len(buffer) if open_end is None else open_end.start()
        self._held = buffer[cut:]
        return _unquoted(buffer[:cut])

    def finish(self) -> bytes:
        """The rest."""
        held, self._held = self._held, b""
        return _unquoted(held)


# binascii.a2b_qp passes over all that stands between "=" CR and the next LF.
_OPEN_END = re.compile(rb"=(?:[0-9A-Fa-f]?|[ \t]{1,100}\r?|\r)\Z")
_ESCAPE = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]{0,100}\r?\n)")


def _unquoted(data: bytes) -> bytes:
    return _ESCAPE.sub(_octet, data) if b"=" in data else data


def _octet(found: re.Match[bytes]) -> bytes:
    """What an escape stands for; a soft line break for nothing."""
    digits = found[1]
    return b"" if digits is None else bytes.fromhex(digits.decode("ascii"))


class UuDecoder(Decoder):
    """Lines between ``begin`` and ``end``."""

    def __init__(self) -> None:
        super().__init__()
        self._held = b""
        self._is_open = False
        self._is_over = False

    def feed(self, data: bytes) -> bytes:
        """Decode whole lines."""
        *lines, rest = (self._held + data).split(b"\n")
        self._held = rest[:_MAX_HELD_BYTES]
        return b"".join([self._line(line[:_MAX_HELD_BYTES]) for line in lines])

    def _line(self, line: bytes) -> bytes:
        if not self._is_open:
            self._is_open = line.startswith(b"begin")
            return b""
        self._is_over = self._is_over or line.rstrip() == b"end"
        return b"" if self._is_over else uu_line(line)

    def finish(self) -> bytes:
        """The last line."""
        held, self._held = self._held, b""
        return self._line(held)


def uu_line(line: bytes) -> bytes:
    """One line of uuencode; nothing where it is none."""
    line = line.rstrip(b"\r")
    try:
        return binascii.a2b_uu(line) if line else b""
    except binascii.Error:
        return b""


def decoder_for(encoding: Encoding) -> Decoder:
    """A new decoder."""
    if encoding is Encoding.BASE64:
        return Base64Decoder()
    if encoding is Encoding.QUOTED:
        return QuotedDecoder()
    if encoding is Encoding.UU:
        return UuDecoder()
    return Decoder()
