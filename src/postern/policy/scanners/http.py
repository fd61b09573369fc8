"""One HTTP request over a connection of its own, its body streamed.

h11 knows the protocol and needs no network; the bytes are moved here.

Source: RFC 9112.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import h11

from postern.mail.content import BytesContent, Content, pour
from postern.policy.scanners.place import Place
from postern.policy.scanners.talk import MAX_ANSWER_BYTES, converse, put

Field = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered; ``body`` is all of it, at most a megabyte."""

    status: int
    body: bytes


async def request(
    place: Place, method: str, target: str, fields: Iterable[Field], content: Content | None = None
) -> Response:
    """Ask, and wait for the whole answer.

    Raises:
        OSError: no connection, or it broke.
        EOFError: the answer did not come whole, or is none.
    """
    machine = h11.Connection(h11.CLIENT)
    sent = content or BytesContent(b"")

    async def send(writer: asyncio.StreamWriter) -> None:
        async def take(piece: bytes) -> bool:
            await put(writer, machine.send(h11.Data(data=piece)) or b"")
            return True

        host = "localhost" if place.path else str(place)
        head = [("Host", host), ("Connection", "close"), ("Content-Length", str(sent.size_bytes))]
        wanted = [(name.encode("ascii"), _value(text)) for name, text in (*head, *fields)]
        asked = h11.Request(method=method, target=target, headers=wanted)
        await put(writer, machine.send(asked) or b"")
        await pour(sent, take)
        await put(writer, machine.send(h11.EndOfMessage()) or b"")

    async def receive(reader: asyncio.StreamReader) -> Response:
        try:
            return await _receive(machine, reader)
        except h11.RemoteProtocolError as error:
            raise EOFError(str(error)) from None

    return await converse(place, send, receive)


async def _receive(machine: h11.Connection, reader: asyncio.StreamReader) -> Response:
    status, body = 0, bytearray()
    while True:
        event = machine.next_event()
        if event is h11.NEED_DATA:
            machine.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_ANSWER_BYTES:
                raise EOFError("its answer has no end")
        elif isinstance(event, h11.EndOfMessage):
            return Response(status, bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise EOFError


def _value(text: str) -> bytes:
    """A field's value: what a client said must not end the line (RFC 9110 §5.5)."""
    kept = "".join(char if char.isprintable() else "?" for char in text)
    return kept.strip().encode("utf-8", "replace")
