"""A mail server on loopback that does as it is told: answers, stalls, floods, resets, lies."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

from postern.mail.route import Target


class Act(Enum):
    """What it does in place of an answer."""

    CLOSE = "close"
    STALL = "stall"  # keeps the line, reads nothing
    RESET = "reset"
    SILENCE = "silence"
    IGNORE = "ignore"  # says nothing, reads on
    TRICKLE = "trickle"  # an octet of a reply that never ends, at each look at the connection
    FLOOD = "flood"


Answer = str | Act
OFFERED = ("PIPELINING", "8BITMIME", "SIZE 104857600", "ENHANCEDSTATUSCODES")


@dataclass
class Script:
    """What it says. ``answers`` are by verb, or by whole line, which goes first.

    ``once`` is used up. ``DOT`` answers the end of the message and ``MIDDLE`` its first octets.
    ``hold``: it greets only once this is set.
    """

    greeting: Answer = "220 peer.test ESMTP"
    offered: tuple[str, ...] = OFFERED
    answers: Mapping[str, Answer] = field(default_factory=dict)
    once: dict[str, Answer] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    after_starttls: bytes | Act | None = None
    hold: asyncio.Event | None = None


@dataclass
class Peer:
    """A running server: what it was told, and what it heard."""

    script: Script
    port: int = 0
    host: str = "127.0.0.1"
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    is_secure: bool = False
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def target(self) -> Target:
        return Target("peer.test", self.host, self.port)

    def verbs(self) -> list[str]:
        return [command.split(" ")[0].split(":")[0].upper() for command in self.commands]

    def hang_up(self) -> None:
        """Close every connection now."""
        for writer in self.writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self.is_secure = False
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if self.script.hold is not None:
                await self.script.hold.wait()
            if await self.say(self.script.greeting, reader, writer):
                await self.converse(reader, writer)
        writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            command = line.decode().rstrip("\r\n")
            self.commands.append(command)
            verb = command.split(" ")[0].split(":")[0].upper()
            answer = self.answer(command, verb)
            if verb == "BDAT":
                self.messages.append(await reader.readexactly(int(command.split(" ")[1])))
            if not await self.say(answer, reader, writer) or verb == "QUIT":
                return
            if answer == "220 go" and not await self.secure(reader, writer):
                return
            if answer == "354 go" and not await self.take_message(reader, writer):
                return

    def answer(self, command: str, verb: str) -> Answer:
        script = self.script
        for key in (command, verb):
            if key in script.once:
                return script.once.pop(key)
            if key in script.answers:
                return script.answers[key]
        return self.usual(verb)

    def usual(self, verb: str) -> str:
        match verb:
            case "EHLO" | "LHLO":
                offered = self.script.offered
                if self.script.tls is not None and not self.is_secure:
                    offered = ("STARTTLS", *offered)
                lines = ["peer.test", *offered]
                return "\r\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"])
            case "DATA":
                return "354 go"
            case "STARTTLS":
                return "220 go"
            case "QUIT":
                return "221 2.0.0 bye"
            case "AUTH":
                return "235 2.7.0 welcome"
            case _:
                return "250 2.0.0 ok"

    async def secure(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False when it ended there."""
        act = self.script.after_starttls
        if isinstance(act, bytes):
            await reader.read(65536)
            writer.write(act)
            await writer.drain()
            await reader.read()
            return False
        if act is not None:
            return await self.say(act, reader, writer)
        assert self.script.tls is not None
        below = writer.transport
        try:
            await writer.start_tls(self.script.tls)
        except (ssl.SSLError, OSError):
            return False
        except AttributeError:
            # Who connected hung up as the handshake ended: asyncio's writer trips over having no
            # transport, now and when it goes.
            writer._transport = below  # type: ignore[attr-defined]  # see above
            return False
        self.is_secure = True
        return True

    async def take_message(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        message = bytearray()
        middle = self.script.answers.get("MIDDLE")
        while True:
            line = await reader.readline()
            if line == b".\r\n" or not line:
                break
            message += line.removeprefix(b".")
            if middle is not None and not await self.say(middle, reader, writer):
                return False
            middle = None
        if not line:
            return False
        self.messages.append(bytes(message))
        return await self.say(self.script.answers.get("DOT", "250 2.0.0 queued"), reader, writer)

    async def say(
        self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        match answer:
            case str():
                writer.write(answer.encode() + b"\r\n")
                await writer.drain()
                return True
            case Act.CLOSE:
                return False
            case Act.RESET:
                reset(writer)
                return False
            case Act.SILENCE:
                await reader.read()
                return False
            case Act.IGNORE:
                return True
            case Act.TRICKLE:
                return await trickle(writer)
            case Act.STALL:
                await asyncio.Event().wait()
                return False
            case Act.FLOOD:
                return await flood(writer)


async def flood(writer: asyncio.StreamWriter) -> bool:
    """A reply of very many lines."""
    while True:
        writer.write(b"250-" + b"x" * 500 + b"\r\n")
        await writer.drain()


async def trickle(writer: asyncio.StreamWriter) -> bool:
    """A reply of one line that never ends, octet by octet."""
    writer.write(b"250-")
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.005)
    return False


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def peer(
    script: Script | None = None,
    *,
    path: str = "",
    host: str = "127.0.0.1",
    port: int = 0,
    is_narrow: bool = False,
) -> AsyncIterator[Peer]:
    """Run one on a loopback port, free if none is given, or on a unix socket.

    ``is_narrow``: its machine takes in little that it has not read.
    """
    made = Peer(script or Script(), host=host)
    if path:
        server: asyncio.Server = await asyncio.start_unix_server(made.serve, path)
    else:
        server = await asyncio.start_server(made.serve, host, port)
        made.port = server.sockets[0].getsockname()[1]
        if is_narrow:
            server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        yield made
    finally:
        server.close()
        made.hang_up()
        await asyncio.sleep(0)
