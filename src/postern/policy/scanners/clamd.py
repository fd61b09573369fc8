"""clamd: viruses, by INSTREAM over a unix socket or TCP.

The message goes out in pieces as it is read from the disk; neither side holds all of it. Commands
begin with ``z`` and end with NUL, so do answers.

Source: clamd(8), "INSTREAM" and "PING".
"""

import asyncio
import gzip
import re
from functools import cache

from postern.mail.content import BytesContent, pour
from postern.policy.scanners.place import Place
from postern.policy.scanners.scan import Answer, Caught, Clean, Specimen, Untold, printable
from postern.policy.scanners.talk import converse, put

_FOUND = re.compile(r"(?:stream|instream\([^)]*\)): (.+) FOUND", re.IGNORECASE)
_CLEAN = re.compile(r"(?:stream|instream\([^)]*\)): OK", re.IGNORECASE)
_TOO_LARGE = "INSTREAM size limit exceeded"
_EXCEEDED = "Heuristics.Limits.Exceeded"
"""What ``AlertExceedsMax`` has clamd "find" where it looked at a part only: that is no virus."""
_DEEP = 120
"""More than ``MaxRecursion`` can be set to (100)."""


class Clamd:
    """One clamd."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def scan(self, specimen: Specimen) -> Answer:
        """``Caught`` names the signature."""

        async def send(writer: asyncio.StreamWriter) -> None:
            async def take(piece: bytes) -> bool:
                await put(writer, len(piece).to_bytes(4, "big"), piece)
                return True

            await put(writer, b"zINSTREAM\0")
            await pour(specimen.content, take)
            await put(writer, bytes(4))

        return answer_of(await converse(self._place, send, _line))

    async def ping(self) -> Untold | None:
        """It says PONG."""

        async def send(writer: asyncio.StreamWriter) -> None:
            await put(writer, b"zPING\0")

        said = await converse(self._place, send, _line)
        return None if said == b"PONG" else Untold("it answered strangely", printable(said))


@cache
def nested() -> bytes:
    """Archives in archives, deeper than any clamd looks: nothing in it is bad."""
    data = b"Nothing is in here.\n"
    for _ in range(_DEEP):
        data = gzip.compress(data, mtime=0)
    return data


async def calls_a_part_clean(place: Place) -> bool:
    """Whether clamd says OK of what it has looked at in part, as it does unless told otherwise.

    Raises:
        OSError, EOFError: as ``Clamd.scan``.
    """
    return isinstance(await Clamd(place).scan(Specimen(BytesContent(nested()))), Clean)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\0"))[:-1]
    except asyncio.LimitOverrunError:
        raise EOFError("its answer has no end") from None


def answer_of(said: bytes) -> Answer:
    """What clamd's one line comes to."""
    text = printable(said, 400)
    if found := _FOUND.fullmatch(text):
        if found[1].startswith(_EXCEEDED):
            detail = f"{found[1]}: raise its MaxScanSize, MaxFileSize or MaxRecursion"
            return Untold("it looked at a part of the message only", detail, is_ailing=False)
        return Caught(f"the message carries the virus {found[1]}")
    if _CLEAN.fullmatch(text):
        return Clean("no virus was found")
    if text.startswith(_TOO_LARGE):
        detail = "raise StreamMaxLength in its configuration"
        return Untold("the message is larger than it takes", detail, is_ailing=False)
    return Untold("it could not look at it", text)
