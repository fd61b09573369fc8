"""Takes in one message piece by piece, and watches its size and its line ends while it comes.

An intake never answers the client; it says what it has (``ended``, ``failure``) and the machine
speaks. A message over the limit is swallowed, so that the client can be told; one that goes on to
twice the limit is cut off.
"""

from dataclasses import dataclass

from postern.mail.reply import Reply, reply
from postern.mail.smtp import replies
from postern.mail.smtp.body import ChunkDecoder, DataDecoder
from postern.mail.smtp.command import Chunk
from postern.mail.smtp.lines import InputBuffer
from postern.mail.smtp.settings import BODY_PIECE_BYTES, ServerSettings


@dataclass(frozen=True, slots=True)
class BodyFailure:
    """Why a message is refused while it comes; ``hopeless``: nothing behind it can be read."""

    check: str
    reply: Reply
    hopeless: bool


class DataIntake:
    """One message sent by DATA."""

    __slots__ = ("_decoder", "_limit_bytes", "ended", "failure", "size_bytes")

    def __init__(self, settings: ServerSettings) -> None:
        self._decoder = DataDecoder(normalise=settings.normalise_bare_newlines)
        self._limit_bytes = settings.max_message_bytes
        self.size_bytes = 0
        self.ended = False
        self.failure: BodyFailure | None = None

    def read(self, source: InputBuffer) -> bytes | None:
        """The next piece, perhaps empty; None: nothing is there to be read."""
        data = source.take(BODY_PIECE_BYTES)
        if not data:
            return None
        decoder = self._decoder
        body = decoder.feed(data)
        self.size_bytes += len(body)
        if self.size_bytes > 2 * self._limit_bytes:
            self.failure = too_big(self._limit_bytes, hopeless=True)
        elif decoder.bare:
            self.failure = _bare_newline(decoder.bare)
        elif decoder.finished:
            source.give_back(decoder.unused_bytes)
            if self.size_bytes > self._limit_bytes:
                self.failure = too_big(self._limit_bytes)
            else:
                self.ended = True
        return body if self.size_bytes <= self._limit_bytes else b""


class ChunkIntake:
    """One message sent by BDAT, over all its chunks. ``chunk_done``: the next BDAT is due."""

    __slots__ = (
        "_declared_bytes",
        "_decoder",
        "_last",
        "_left_bytes",
        "_limit_bytes",
        "chunk_done",
        "ended",
        "failure",
        "size_bytes",
    )

    def __init__(self, settings: ServerSettings) -> None:
        self._decoder = ChunkDecoder(normalise=settings.normalise_bare_newlines)
        self._limit_bytes = settings.max_message_bytes
        self._declared_bytes = 0
        self._left_bytes = 0
        self._last = False
        self.size_bytes = 0
        self.chunk_done = False
        self.ended = False
        self.failure: BodyFailure | None = None

    def begin(self, chunk: Chunk) -> None:
        """Makes ready for the octets that follow a BDAT line."""
        self._left_bytes = chunk.size_bytes
        self._last = chunk.last
        self._declared_bytes += chunk.size_bytes
        self.chunk_done = False

    def read(self, source: InputBuffer) -> bytes | None:
        """The next piece, perhaps empty; None: nothing is there to be read."""
        if self._declared_bytes > 2 * self._limit_bytes:
            self.failure = too_big(self._limit_bytes, hopeless=True)
            return b""
        data = source.take(min(self._left_bytes, BODY_PIECE_BYTES))
        if not data and self._left_bytes:
            return None
        self._left_bytes -= len(data)
        self.chunk_done = not self._left_bytes
        if self._declared_bytes > self._limit_bytes:
            if self.chunk_done:
                self.failure = too_big(self._limit_bytes)
            return b""
        body = self._decoder.feed(data, last=self._last and self.chunk_done)
        self.size_bytes += len(body)
        if self._decoder.bare:
            self.failure = _bare_newline(self._decoder.bare)
        else:
            self.ended = self._last and self.chunk_done
        return body


def too_big(limit_bytes: int, *, hopeless: bool = False) -> BodyFailure:
    """The failure of a message over the limit (RFC 1870 §6.3)."""
    refusal = reply(552, "5.3.4", replies.TOO_BIG.format(limit=limit_bytes))
    return BodyFailure("size.too-big", refusal, hopeless)


def _bare_newline(which: bytes) -> BodyFailure:
    refusal = replies.BODY_BARE_LF if which == b"LF" else replies.BODY_BARE_CR
    return BodyFailure("standards.bare-lf", refusal, hopeless=True)
