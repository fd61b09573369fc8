"""spamd: SpamAssassin's daemon, by SPAMC/1.5.

Source: SpamAssassin's spamd/PROTOCOL: ``SYMBOLS`` answers with the score and the tests that hit,
``PING`` with ``PONG``.
"""

import asyncio
import re

from postern.mail.content import pour
from postern.policy.scanners.place import Place
from postern.policy.scanners.scan import Answer, Score, Specimen, Untold, printable
from postern.policy.scanners.scoring import judge_score
from postern.policy.scanners.talk import MAX_ANSWER_BYTES, converse, put

_SPAM = re.compile(
    rb"^Spam: *(?:True|False|Yes|No) *; *(-?[0-9.]{1,12}) */ *(-?[0-9.]{1,12}) *\r?$", re.I | re.M
)
_OK = re.compile(rb"SPAMD/[0-9.]+ 0 ")


class Spamd:
    """One spamd; ``threshold`` None: what it requires itself."""

    def __init__(self, place: Place, threshold: float | None) -> None:
        self._place = place
        self._threshold = threshold

    async def scan(self, specimen: Specimen) -> Answer:
        """Its score, and the tests that made it."""
        content = specimen.content

        async def send(writer: asyncio.StreamWriter) -> None:
            async def take(piece: bytes) -> bool:
                await put(writer, piece)
                return True

            head = f"SYMBOLS SPAMC/1.5\r\nContent-length: {content.size_bytes}\r\n\r\n"
            await put(writer, head.encode())
            await pour(content, take)

        return answer_of(await converse(self._place, send, _all), self._threshold)

    async def ping(self) -> Untold | None:
        """It says PONG."""

        async def send(writer: asyncio.StreamWriter) -> None:
            await put(writer, b"PING SPAMC/1.5\r\n\r\n")

        said = await converse(self._place, send, _all)
        if b"PONG" in said.partition(b"\n")[0]:
            return None
        return Untold("it answered strangely", printable(said))


async def _all(reader: asyncio.StreamReader) -> bytes:
    """All until it closes, for that is where its answer ends; a part only where it has no end."""
    said = bytearray()
    while len(said) < MAX_ANSWER_BYTES and (piece := await reader.read(65_536)):
        said += piece
    if not said:
        raise EOFError
    return bytes(said)


def answer_of(said: bytes, threshold: float | None) -> Answer:
    """What spamd's answer comes to."""
    head, _, body = said.partition(b"\r\n\r\n")
    if not _OK.match(head):
        return Untold("it could not look at it", printable(head.partition(b"\r\n")[0]))
    found = _SPAM.search(head)
    if found is None:
        return Untold("it answered strangely", printable(head))
    try:
        value, required = float(found[1]), float(found[2])
    except ValueError:
        return Untold("it answered strangely", printable(head))
    symbols = tuple(printable(name, 40) for name in body.split(b",") if name.strip())
    score = Score(value, required if threshold is None else threshold, symbols)
    return judge_score(score, is_spam=value >= score.required)
