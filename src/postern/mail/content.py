"""The octets of a message as delivery reads them: in memory when small, from a file when large."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


class Content(Protocol):
    """A message's bytes, exactly as they are to be delivered: lines end in CR LF."""

    @property
    def size_bytes(self) -> int:
        """Length in octets, without dot-stuffing."""
        ...

    @property
    def in_memory(self) -> bytes | None:
        """All of it when it is small enough to be in memory, else None."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The octets in order, in pieces of at most 256 kB; may be asked for again."""
        ...


@dataclass(frozen=True, slots=True)
class BytesContent:
    """Content that is in memory."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        """Length in octets."""
        return len(self.data)

    @property
    def in_memory(self) -> bytes:
        """The octets."""
        return self.data

    async def chunks(self) -> AsyncIterator[bytes]:
        """The octets as one piece."""
        yield self.data


@dataclass(frozen=True, slots=True)
class PrefixedContent:
    """Content with octets of ours in front: header fields, whole lines."""

    prefix: bytes
    rest: Content

    @property
    def size_bytes(self) -> int:
        """Length in octets."""
        return len(self.prefix) + self.rest.size_bytes

    @property
    def in_memory(self) -> bytes | None:
        """The octets, where the rest is in memory."""
        data = self.rest.in_memory
        return None if data is None else self.prefix + data

    async def chunks(self) -> AsyncIterator[bytes]:
        """The prefix, then the rest as it comes."""
        yield self.prefix
        chunks = self.rest.chunks()
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()


async def pour(content: Content, take: Callable[[bytes], Awaitable[bool]]) -> None:
    """Give the pieces to ``take`` until it says False; whatever happens, the content is closed.

    Raises:
        OSError: the content can't be read.
    """
    chunks = content.chunks()
    try:
        async for chunk in chunks:
            if not await take(chunk):
                return
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
