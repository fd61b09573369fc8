"""Specimens, and a scanner that does as it is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from postern.mail.content import BytesContent
from postern.policy.scanners.scan import Answer, Clean, Specimen, Untold

PLAIN = b"From: a@tea.test\r\nTo: wang@here.test\r\nSubject: tea\r\n\r\nHello\r\n"


@dataclass(frozen=True)
class LongContent:
    """Content that is never in memory: a head, and so many octets behind it."""

    head: bytes
    more: int
    piece: int = 256 * 1024

    @property
    def size_bytes(self) -> int:
        return len(self.head) + self.more

    @property
    def in_memory(self) -> None:
        return

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.head
        line = b"x" * 76 + b"\r\n"
        block = (line * (self.piece // len(line) + 1))[: self.piece]
        left = self.more
        while left:
            yield block[:left]
            left -= min(left, self.piece)


def specimen(data: bytes = PLAIN) -> Specimen:
    return enveloped(BytesContent(data))


def enveloped(content: BytesContent | LongContent) -> Specimen:
    return Specimen(
        content,
        "PT-7Q2M-K4XD",
        "mx.here.test",
        "198.51.100.24",
        "mail.tea.test",
        "mail.tea.test",
        "chen@tea.test",
        ("wang@here.test",),
    )


def body(text: bytes) -> Specimen:
    return specimen(PLAIN + text + b"\r\n")


class Told:
    """A scanner in memory: ``answer`` is an answer or an error; ``gate`` holds it up."""

    def __init__(self, answer: Answer | Exception | None = None) -> None:
        self.answer: Answer | Exception = answer or Clean("fine")
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0
        self.pinged = 0
        self.at_once = 0
        self.most = 0

    async def scan(self, specimen: Specimen) -> Answer:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.gate.wait()
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer
        finally:
            self.at_once -= 1

    async def ping(self) -> Untold | None:
        self.pinged += 1
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return None
