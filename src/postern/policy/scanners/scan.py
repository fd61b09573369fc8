"""What a scanner is shown and what it says."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from postern.mail.content import Content


@dataclass(frozen=True, slots=True)
class Specimen:
    """One message that has come whole, with its envelope.

    ``content`` has our own Received line in front. ``mail_from`` is empty for the null sender,
    ``user`` unless somebody logged in, ``ip`` for a program on this machine.
    """

    content: Content
    trace: str = ""
    hostname: str = ""
    ip: str = ""
    helo: str = ""
    ptr: str = ""
    mail_from: str = ""
    recipients: tuple[str, ...] = ()
    user: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """How a spam scanner counted: ``required`` makes it spam; ``symbols`` are its reasons."""

    value: float
    required: float
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clean:
    """It found nothing, or too little; ``text`` is one sentence without a full stop."""

    text: str
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class Caught:
    """It found something."""

    text: str
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class Untold:
    """It could not say.

    ``cause`` is short and tells nothing of this machine; ``detail`` is for whoever looks after it.
    ``is_ailing``: that speaks against the scanner, not against the message.
    """

    cause: str
    detail: str = ""
    is_ailing: bool = True

    @property
    def text(self) -> str:
        """Both."""
        return f"{self.cause}: {self.detail}" if self.detail else self.cause


Answer = Clean | Caught | Untold


class UnreadableError(Exception):
    """The message could not be read from our own disk: no fault of the scanner's."""


@dataclass(frozen=True, slots=True)
class ReadContent:
    """Content whose errors can be told from those of the connection that it is poured into."""

    content: Content

    @property
    def size_bytes(self) -> int:
        """Length in octets."""
        return self.content.size_bytes

    @property
    def in_memory(self) -> bytes | None:
        """The octets, where they are in memory."""
        return self.content.in_memory

    async def chunks(self) -> AsyncIterator[bytes]:
        """The octets as they come.

        Raises:
            UnreadableError: the disk can't be read, or the message is not there any more.
        """
        chunks = self.content.chunks()
        try:
            async for chunk in chunks:
                yield chunk
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from error
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()


class Scanner(Protocol):
    """One program that looks at messages."""

    async def scan(self, specimen: Specimen) -> Answer:
        """Show it the message; whoever calls sets the time limit, and may give up any time.

        Raises:
            OSError: it cannot be reached or started.
            UnreadableError: the message cannot be read.
            EOFError: it hung up without an answer.
        """
        ...

    async def ping(self) -> Untold | None:
        """Ask whether it is there; None when it is.

        Raises:
            OSError, EOFError: as ``scan``.
        """
        ...


def printable(text: str | bytes, limit: int = 200) -> str:
    """One safe line of what a stranger's program said."""
    if isinstance(text, bytes):
        text = text[: 4 * limit].decode("utf-8", "replace")
    kept = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    return " ".join(kept.split())[:limit]
