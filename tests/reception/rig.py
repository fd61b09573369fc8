"""A reception in full work: real sockets, spool and directory; what it hands on is recorded."""

import asyncio
import base64
import contextlib
import shutil
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from postern.app.judging import Judging
from postern.directory.credentials import Authenticator
from postern.directory.model import DomainPatch, HostPort, MailboxPatch
from postern.directory.passwords import hash_password
from postern.directory.reader import Directory
from postern.directory.signers import Signers
from postern.directory.store.correspondents import CorrespondentStore
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.directory.trace import TraceCounter
from postern.journal.record import ChangeRecord, Conversation, HeardRecord
from postern.mail.address import Address
from postern.mail.envelope import Recipient
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.reply import reply
from postern.mail.route import Egress, Route, SmtpRoute, Target, Way
from postern.mail.tracecode import TraceCodes
from postern.policy.greylist.keeper import GreylistKeeper
from postern.policy.greylist.settings import GreylistSettings, Mode
from postern.policy.policy import Memory, Policy
from postern.policy.rates import RateSettings
from postern.policy.rules.store import Books, RuleStore
from postern.policy.scanners.settings import ScannerSettings
from postern.policy.settings import PolicySettings
from postern.policy.untold.patience import Patience
from postern.policy.uses import Uses
from postern.reception.callahead import CallAhead
from postern.reception.codes import Numbers
from postern.reception.reception import Reception
from postern.reception.recipients import Recipients
from postern.reception.services import Services
from postern.reception.settings import Kind, ListenerSettings, Network, ReceptionSettings
from postern.reception.tls import CertificateFiles, Certificates
from postern.runtime.clock import Clock, FakeClock, SystemClock
from postern.runtime.database.engine import Database
from postern.runtime.database.watch import ChangeWatch
from postern.runtime.headcount import Headcount
from postern.runtime.ratetable import RateTable
from postern.runtime.resolver.fake import FakeResolver
from postern.spool.message import Message
from postern.spool.settings import SpoolSettings
from postern.spool.spool import Spool

PATIENCE_S = 10.0
PASSWORD = "correct horse"
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"),)


def make_site(folder: Path) -> None:
    """harbour.example has people, gate.example a server of its own, catch.example takes all."""
    site = SiteStore.open(folder, FakeClock(), "test")
    stored = hash_password(PASSWORD)
    site.add_domain("harbour.example")
    for name in ("wang", "li", "chen", "gone"):
        site.add_mailbox(f"{name}@harbour.example", stored)
    site.set_mailbox("gone@harbour.example", MailboxPatch(enabled=False))
    site.add_alias("sales@harbour.example", ["wang@harbour.example", "friend@far.example"])
    site.add_alias("info@harbour.example", ["wang@harbour.example"])
    site.add_domain("gate.example", HostPort("127.0.0.1", 1))
    site.add_domain("catch.example")
    site.set_domain("catch.example", DomainPatch(catch_all=Address("li", "harbour.example")))
    site.close()


class Journal:
    """Keeps decisions alone: what else is told is caught on its way there."""

    def __init__(self) -> None:
        self.heard: list[HeardRecord] = []

    def append(
        self, conversations: Sequence[Conversation], heard: Sequence[HeardRecord] = ()
    ) -> None:
        """Take them."""
        self.heard += heard

    def append_change(self, change: ChangeRecord) -> None:
        """Take it."""

    def close(self) -> None:
        """Nothing to close."""


class RecordingSpool(Spool):
    """A real spool that also remembers the conversations it was told of."""

    told: list[Conversation]

    def ended(self, conversation: Conversation) -> None:
        """Remember it."""
        self.told.append(conversation)
        super().ended(conversation)


@dataclass
class Outgoing:
    """In place of the queue."""

    prepared: list[Message] = field(default_factory=list)
    submitted: list[Message] = field(default_factory=list)

    def prepare(self, message: Message) -> None:
        self.prepared.append(message)

    def submit(self, message: Message) -> None:
        self.submitted.append(message)


ROUTE = SmtpRoute("gate.example", Egress("direct"), (Target("gate.example", "127.0.0.1", 1),))


class Gate:
    """The customer's server behind gate.example: ``known`` live there; it may be ``down``."""

    def __init__(self) -> None:
        self.known = {"known"}
        self.is_down = False
        self.is_given_up = False
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def route(self, address: Address, via: str | None = None) -> Route:
        if self.is_given_up:
            raise asyncio.CancelledError
        return ROUTE

    async def verify(self, ways: Sequence[Way], recipient: Recipient) -> Outcome:
        self.asked.append(recipient.address.local)
        await self.open.wait()
        if self.is_down:
            return Deferred(reply(451, "4.4.1", "no answer"), Cause.SILENT)
        if recipient.address.local in self.known:
            return Delivered(reply(250, "2.1.5", "ok"), "gate.example")
        return Refused(reply(550, "5.1.1", "no such user"), Cause.REPLY, "gate.example")


class Client:
    """A client that says exactly the bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.drain()

    async def reply(self) -> str:
        """One whole reply, its lines joined by newlines; empty at the end of the connection."""
        lines = []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = (await self.reader.readline()).decode("ascii").removesuffix("\r\n")
                lines.append(line)
                if line[3:4] != "-":
                    return "\n".join(lines)

    async def say(self, *lines: str) -> str:
        """Send lines, and read as many replies; the last is returned."""
        await self.send("".join(f"{line}\r\n" for line in lines).encode())
        replies = [await self.reply() for _ in lines]
        return replies[-1]

    async def hello(self) -> str:
        """Read the greeting and say EHLO."""
        await self.reply()
        return await self.say("EHLO client.example")

    async def deliver(self, data: bytes, sender: str = "a@far.example", *recipients: str) -> str:
        """One message, step by step; the reply after its last octet."""
        wanted = recipients or ("wang@harbour.example",)
        rcpts = [f"RCPT TO:<{recipient}>" for recipient in wanted]
        go = await self.say(f"MAIL FROM:<{sender}>", *rcpts, "DATA")
        assert go.startswith("354"), go
        await self.send(data + b".\r\n")
        return await self.reply()

    async def starttls(self, context: ssl.SSLContext) -> None:
        assert (await self.say("STARTTLS")).startswith("220")
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.start_tls(context, server_hostname="mx.harbour.example")

    async def log_in(self, context: ssl.SSLContext, name: str = "wang@harbour.example") -> None:
        await self.hello()
        await self.starttls(context)
        await self.say("EHLO client.example")
        answer = await self.say(f"AUTH PLAIN {plain(name, PASSWORD)}")
        assert answer.startswith("235"), answer

    async def ended(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    def reset(self) -> None:
        """Break the connection: the server meets ECONNRESET."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self.writer.wait_closed()


def plain(name: str, password: str, act_as: str = "") -> str:
    """The response of AUTH PLAIN."""
    return base64.b64encode(f"{act_as}\0{name}\0{password}".encode()).decode()


def listener(
    kind: Kind = Kind.MX,
    proxy_protocol: tuple[Network, ...] = (),
    relay_from: tuple[Network, ...] = (),
    greeting_wait_s: float = 0.0,
) -> ListenerSettings:
    """One listener."""
    return ListenerSettings(
        kind, "127.0.0.1:0", proxy_protocol, relay_from, greeting_wait_s=greeting_wait_s
    )


HOP_KEY = b"h" * 32


class Rig:
    """One worker's reception."""

    def __init__(
        self,
        folder: Path,
        settings: ReceptionSettings,
        certificates: Certificates,
        clock: Clock | None = None,
        *,
        examines: bool = False,
        rates: RateSettings | None = None,
        greylist: GreylistSettings | None = None,
        scanners: Sequence[ScannerSettings] = (),
    ) -> None:
        self._scanners = scanners
        self.clock = clock or SystemClock()
        self.certificates = certificates
        self.resolver = FakeResolver()
        self.folder = folder
        self.site = SiteStore.open(folder, self.clock, "test")
        self.keeper = GreylistKeeper(folder, self.clock)
        self._database = Database.open(folder / FILE_NAME)
        self._watch = ChangeWatch(folder / FILE_NAME)
        self.directory = Directory(self._database, self._watch)
        self.authenticator = Authenticator(self.directory, self.clock)
        self.correspondents = CorrespondentStore.open(folder)
        self.correspondents.prepare()
        self.outgoing = Outgoing()
        self.gate = Gate()
        spool_settings = SpoolSettings(
            folder / "spool",
            folder / "corrupt",
            settings.max_message_bytes,
            reserve_extra_bytes=0,
            ballast_bytes=4096,
        )
        self.journal = Journal()
        self.spool = RecordingSpool(spool_settings, 0, 1, self.journal, self.clock)
        self.spool.told = []
        self.patience: Patience | None = None
        self.services = Services(
            settings,
            self.spool,
            self.outgoing,
            self.directory,
            Recipients(self.directory, CallAhead(self.gate, self.gate, self.clock)),
            self.authenticator,
            Numbers(1, TraceCounter(self.site.reserve_counters), TraceCodes(b"k" * 16)),
            self.clock,
            policy=self._policy(rates, greylist) if examines or scanners else None,
            signers=self._signers(),
            hop_key=HOP_KEY,
        )
        self.rules = RuleStore(self.site.database, self.clock, "test")
        self.reception = Reception(self.services, certificates, Headcount(1))
        self.ports: list[int] = []
        self._clients: list[Client] = []

    def _signers(self) -> Signers:
        signers = Signers(self._database)
        self.directory.on_change(signers.forget)
        return signers

    def _policy(self, rates: RateSettings | None, greylist: GreylistSettings | None) -> Policy:
        books = Books(self._database, self.clock)
        self.directory.on_change(books.forget)
        self.patience = Patience(self.folder / "untold.db")
        memory = Memory(
            books,
            Uses(),
            self.correspondents.knows,
            self.patience,
            self.keeper,
            RateTable(),
        )
        settings = PolicySettings(
            rates=rates or RateSettings(),
            greylist=greylist or GreylistSettings(Mode.OFF),
            scanners=tuple(self._scanners),
        )
        return Judging(settings, self.resolver, memory, self.clock).policy

    @property
    def told(self) -> list[Conversation]:
        """Conversations that left no message, in their order."""
        return self.spool.told

    @property
    def accepted(self) -> list[Message]:
        """Messages handed on to the queue, in their order."""
        return self.outgoing.submitted

    async def open(self, listeners: Sequence[ListenerSettings]) -> None:
        await self.spool.open()
        bound = []
        for one in listeners:
            sock = socket.create_server(("127.0.0.1", 0))
            sock.setblocking(False)
            self.ports.append(sock.getsockname()[1])
            bound.append((one, sock))
        await self.reception.open(bound)

    async def connect(self, index: int = 0, tls: ssl.SSLContext | None = None) -> Client:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            self.ports[index],
            ssl=tls,
            server_hostname="mx.harbour.example" if tls else None,
        )
        client = Client(reader, writer)
        self._clients.append(client)
        return client

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what a connection's end brings about."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():  # noqa: ASYNC110 - the server under test has no event for it
                await asyncio.sleep(0.002)

    async def wait_idle(self) -> None:
        """Wait until no connection is open."""
        await self.wait_until(lambda: self.reception.counts.open == 0)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self.reception.stop(1.0)
        await self.keeper.close()
        await self.spool.close()
        self.authenticator.close()
        if self.patience is not None:
            self.patience.close()
        self._watch.close()
        self.correspondents.close()
        self._database.close()
        self.site.close()


@dataclass(frozen=True)
class Make:
    """Makes rigs for one test."""

    folder: Path
    site: Path
    files: CertificateFiles

    @contextlib.asynccontextmanager
    async def __call__(
        self,
        *listeners: ListenerSettings,
        clock: Clock | None = None,
        with_tls: bool = True,
        settings: Mapping[str, float] | None = None,
        examines: bool = False,
        rates: RateSettings | None = None,
        greylist: GreylistSettings | None = None,
        scanners: Sequence[ScannerSettings] = (),
        **limits: float,
    ) -> AsyncIterator[Rig]:
        """A rig with these listeners (one ``mx`` when none is named) and limits."""
        shutil.copy(self.site, self.folder / FILE_NAME)
        known = {"hostname": "mx.harbour.example", "max_message_bytes": 1024 * 1024, **limits}
        known |= settings or {}
        reception = ReceptionSettings(**known)  # type: ignore[arg-type]  # names of its own fields
        certificates = Certificates((self.files,) if with_tls else ())
        rig = Rig(
            self.folder,
            reception,
            certificates,
            clock,
            examines=examines,
            rates=rates,
            greylist=greylist,
            scanners=scanners,
        )
        try:
            await rig.open(listeners or (listener(),))
            yield rig
        finally:
            await rig.close()
