"""All MX hosts of the laboratory's world, in one process: good ones, slow ones, broken ones.

``python -m tests.lab.mx FOLDER PORT`` listens on every address of its network namespace and behaves
as that address was told to, through the socket ``control`` in FOLDER. An address that nobody spoke
of resets. In FOLDER are also ``good.pem`` and ``bad.pem``, certificates, and their ``.key`` files.
"""

import asyncio
import re
import socket
import ssl
import struct
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import msgspec
from tests.lab.behaviour import Behave, Behaviour, LetGo, Letter, Opening, Request, Seen, Tls, Visit

LINE_BYTES = 4 << 20
BACKLOG = 2000
MUTE_S = 3600.0
ALERT = bytes.fromhex("15 0303 0002 02 28")  # fatal, handshake_failure (RFC 8446 §6)
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_HOP = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_PATH = re.compile(r"<([^>]*)>")


class Hosts:
    """What all connections share: manners, records, and who waits for leave to reply."""

    def __init__(self, folder: Path) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.letters: list[Letter] = []
        self.visits: list[Visit] = []
        self.changed: list[int] = []
        """Numbers of visits in the order in which they began or changed."""
        self.first_seen: dict[tuple[str, str, str], float] = {}
        self.held: defaultdict[str, asyncio.Future[bool]] = defaultdict(asyncio.Future)
        """Address to the leave that its replies wait for; True: the connection is reset instead."""
        self.good = _context(folder / "good.pem", folder / "good.key")
        self.bad = _context(folder / "bad.pem", folder / "bad.key")

    def of(self, ip: str) -> Behaviour:
        """How this address behaves now."""
        return self.behaviours.get(ip, Behaviour(opening=Opening.RESETS))

    def answer(self, request: Request) -> Seen:
        """Do what a play asks."""
        if isinstance(request, Behave):
            for ip in request.addresses:
                self.behaviours[ip] = request.behaviour
            return Seen()
        if isinstance(request, LetGo):
            for ip in request.addresses:
                if waiting := self.held.pop(ip, None):
                    waiting.set_result(request.resets)
            return Seen()
        changed = self.changed[request.changes :]
        return Seen(
            tuple(self.letters[request.letters :]),
            {number: self.visits[number] for number in changed},
            len(changed),
        )

    def visit(self, visit: Visit, number: int | None = None) -> int:
        """Note a new visit, or what has become of one; returns its number."""
        if number is None:
            number = len(self.visits)
            self.visits.append(visit)
        else:
            self.visits[number] = visit
        self.changed.append(number)
        return number


class Ended(Exception):  # noqa: N818 - no error: how a conversation is over
    """The conversation is over; the text says how."""


class Conversation:
    """One connection."""

    def __init__(
        self, hosts: Hosts, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.hosts, self.reader, self.writer = hosts, reader, writer
        self.ip = _plain(writer.get_extra_info("sockname")[0])
        self.client = _plain(writer.get_extra_info("peername")[0])
        self.visit = Visit(self.ip, self.client, time.time(), (), "")
        self.number = hosts.visit(self.visit)
        self.helo = self.tls = self.mail_from = ""
        self.recipients: tuple[str, ...] = ()
        self.messages = 0

    @property
    def manners(self) -> Behaviour:
        """How to behave at this step."""
        return self.hosts.of(self.ip)

    async def run(self) -> None:
        """Hold it to its end, and note that."""
        try:
            await self._open()
            while True:
                await self._command(await self.reader.readline())
        except Ended as end:
            self._note(end=str(end))
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, ValueError) as error:
            self._note(end=type(error).__name__)
        finally:
            with suppress(OSError, ssl.SSLError):
                self.writer.close()
                await self.writer.wait_closed()

    def _note(self, *, command: str = "", end: str = "") -> None:
        commands = (*self.visit.commands, command) if command else self.visit.commands
        self.visit = msgspec.structs.replace(self.visit, commands=commands, end=end)
        self.hosts.visit(self.visit, self.number)

    async def _open(self) -> None:
        manners = self.manners
        match manners.opening:
            case Opening.RESETS:
                self._reset()
                raise Ended("reset")
            case Opening.CLOSES:
                raise Ended("closed")
            case Opening.MUTE:
                await self._silence()
            case Opening.BUSY:
                await self._say("421 4.3.2 Too busy, come again later")
                raise Ended("busy")
            case Opening.UNWELCOME:
                await self._say("554 5.7.1 We take no mail from you")
                raise Ended("unwelcome")
            case Opening.GREETS:
                if manners.greeting_after_s:
                    await asyncio.sleep(manners.greeting_after_s)
                await self._say(f"220 {self.ip} ESMTP")

    def _reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _silence(self) -> None:
        """Say nothing until the client has gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MUTE_S):
                while await self.reader.read(4096):
                    pass
        raise Ended("left")

    async def _say(self, text: str) -> None:
        data = text.encode() + b"\r\n"
        rate = self.manners.bytes_per_s
        if not rate:
            self.writer.write(data)
            await self.writer.drain()
            return
        for byte in data:
            self.writer.write(bytes([byte]))
            await self.writer.drain()
            await asyncio.sleep(1 / rate)

    async def _command(self, line: bytes) -> None:
        if not line:
            raise Ended("left")
        text = line.decode("utf-8", "replace").strip()
        verb, _, rest = text.partition(" ")
        verb = verb.upper()
        self._note(command=verb)
        match verb:
            case "EHLO" | "HELO":
                await self._ehlo(rest)
            case "STARTTLS":
                await self._starttls()
            case "MAIL":
                await self._mail(rest)
            case "RCPT":
                await self._rcpt(rest)
            case "DATA":
                await self._data()
            case "RSET":
                self.mail_from, self.recipients = "", ()
                await self._say("250 2.0.0 Flushed")
            case "NOOP":
                await self._say("250 2.0.0 OK")
            case "QUIT":
                await self._say("221 2.0.0 Bye")
                raise Ended("quit")
            case _:
                await self._say("502 5.5.1 No such command")

    async def _ehlo(self, name: str) -> None:
        self.helo = name
        offers = ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 52428800", "ENHANCEDSTATUSCODES"]
        if not self.tls and self.manners.tls is not Tls.NONE:
            offers.append("STARTTLS")
        lines = [self.ip, *offers]
        text = "\r\n".join(f"250-{line}" for line in lines[:-1]) + f"\r\n250 {lines[-1]}"
        await self._say(text)

    async def _starttls(self) -> None:
        match self.manners.tls:
            case Tls.REFUSED | Tls.NONE:
                await self._say("454 4.7.0 TLS not available now")
                return
            case Tls.STALLS:
                await self._silence()
            case Tls.HANDSHAKE_STALLS:
                await self._say("220 2.0.0 Ready")
                await self._silence()
            case Tls.ALERT:
                await self._say("220 2.0.0 Ready")
                await self.reader.read(4096)  # the ClientHello
                self.writer.write(ALERT)
                await self.writer.drain()
                raise Ended("alert")
            case Tls.GOOD | Tls.UNTRUSTED as which:
                context = self.hosts.bad if which is Tls.UNTRUSTED else self.hosts.good
                await self._say("220 2.0.0 Ready")
                await self.writer.start_tls(context)
                self.tls = self.writer.get_extra_info("ssl_object").version()

    async def _mail(self, rest: str) -> None:
        most = self.manners.most_messages
        if most and self.messages >= most:
            await self._say(f"421 4.7.28 Too many messages from {self.client}, slow down")
            raise Ended("throttled")
        self.mail_from, self.recipients = _path(rest), ()
        await self._say("250 2.1.0 OK")

    async def _rcpt(self, rest: str) -> None:
        recipient = _path(rest)
        wait = self.manners.greylist_s
        if wait:
            key = (self.client, self.mail_from, recipient)
            passed = time.monotonic() - self.hosts.first_seen.setdefault(key, time.monotonic())
            if passed < wait:
                await self._say(f"450 4.2.0 Greylisted, try again in {wait - passed:.0f} seconds")
                return
        self.recipients = (*self.recipients, recipient)
        await self._say("250 2.1.5 OK")

    async def _data(self) -> None:
        if not self.recipients:
            await self._say("503 5.5.1 RCPT first")
            return
        await self._say("354 Go on")
        body = b"\r\n" + await self.reader.readuntil(b"\r\n.\r\n")
        number = self._keep(body)
        await self._wait_for_leave()
        self.messages += 1
        await self._say(f"250 2.0.0 Taken as {number}")
        letter = self.hosts.letters[number]
        self.hosts.letters[number] = msgspec.structs.replace(letter, is_answered=True)

    def _keep(self, body: bytes) -> int:
        header = body.partition(b"\r\n\r\n")[0]
        found = _MESSAGE_ID.search(body.replace(b"\r\n", b"\n"))
        letter = Letter(
            self.ip,
            self.client,
            self.helo,
            self.tls,
            self.mail_from,
            self.recipients,
            found[1].decode() if found else "",
            len(_HOP.findall(header)),
            time.time(),
            is_answered=False,
        )
        self.hosts.letters.append(letter)
        return len(self.hosts.letters) - 1

    async def _wait_for_leave(self) -> None:
        if self.manners.holds_dot and await self.hosts.held[self.ip]:
            self._reset()
            raise Ended("reset")
        if self.manners.reply_after_s:
            await asyncio.sleep(self.manners.reply_after_s)


def _plain(address: str) -> str:
    """An address without what a socket of both families puts before IPv4."""
    return address.removeprefix("::ffff:")


def _path(rest: str) -> str:
    found = _PATH.search(rest)
    return found[1] if found else ""


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def serve(folder: Path, port: int) -> None:
    """Both doors, until killed: mail on every address, and the plays' requests."""
    hosts = Hosts(folder)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Conversation(hosts, reader, writer).run()

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = msgspec.json.decode(line, type=Request)
            writer.write(msgspec.json.encode(hosts.answer(request)) + b"\n")
            await writer.drain()
        writer.close()

    door = socket.create_server(
        ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
    )
    mail = await asyncio.start_server(talk, sock=door, limit=LINE_BYTES, backlog=BACKLOG)
    asks = await asyncio.start_unix_server(control, folder / "control", limit=LINE_BYTES)
    async with mail, asks:
        await asyncio.gather(mail.serve_forever(), asks.serve_forever())


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
