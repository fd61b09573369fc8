"""Takes one message's octets, makes it durable, and says how that went."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from postern.journal.record import Because
from postern.mail.content import Content
from postern.mail.finding import Result, Whose
from postern.mail.message.summary import Summary, summarise
from postern.mail.received import received_header
from postern.mail.reply import Reply, reply
from postern.mail.smtp.server import ServerMachine
from postern.reception.client import Client
from postern.reception.record import Record
from postern.reception.services import Services
from postern.reception.transaction import Mending, Transaction
from postern.spool.message import Message, Origin

log = structlog.get_logger("postern.reception")

BACKLOG_BYTES = 1024 * 1024
"""Octets that may wait for the disk before the client is asked to wait as well."""

ACCEPTED = reply(250, "2.0.0", "Accepted")
NOT_STORED = reply(451, "4.3.0", "Not accepted for now: our disk could not take the message")

Answered = Callable[[Reply, Because | None], None]


class Intake:
    """From DATA to the answer after the last octet."""

    __slots__ = (
        "_answered",
        "_client",
        "_opened",
        "_record",
        "_services",
        "_transaction",
        "is_committing",
        "size_bytes",
    )

    def __init__(
        self, services: Services, client: Client, record: Record, transaction: Transaction
    ) -> None:
        self._services = services
        self._client = client
        self._record = record
        self._transaction = transaction
        self._opened = services.clock.monotonic()
        self._answered: Answered | None = None
        self.is_committing = False
        self.size_bytes = 0

    def open(self, machine: ServerMachine) -> None:
        """Begin the message with our Received line."""
        transaction, client, settings = self._transaction, self._client, self._services.settings
        now = self._services.clock.now()
        received = received_header(
            helo=self._record.helo,
            ip=client.ip,
            rdns="",
            hostname=settings.hostname,
            protocol=machine.with_keyword,
            trace=transaction.trace,
            instant=now,
            tls=client.tls,
            recipient=transaction.only_recipient(),
        )
        mending = Mending(settings.hostname, now) if client.is_trusted else None
        body = self._services.spool.body(transaction.number)
        transaction.open_body(body, received, mending)

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Take a piece; what to wait for before the next one, when the disk is behind."""
        self.size_bytes += len(data)
        self._transaction.write(data)
        body = self._transaction.body
        assert body is not None
        if body.backlog_bytes > BACKLOG_BYTES:
            return body.drained()
        return None

    def finish(self, answered: Answered) -> None:
        """The last octet has come; ``answered`` gets the reply, once it may be given."""
        self._answered = answered
        refusal = self._transaction.end()
        if refusal is not None:
            text = "the header is longer than what is read here"
            self._refuse(refusal, Because("size.too-big", text, Whose.SENDER.value))
            return
        summary = summarise(self._transaction.head)
        if summary.received_count > self._services.settings.max_hops:
            text = f"the message went through {summary.received_count} servers: it is in a loop"
            self._refuse(
                reply(554, "5.4.6", f"Not accepted: {text}"),
                Because("loop.detected", text, Whose.SENDER.value),
            )
            return
        body = self._transaction.body
        assert body is not None
        if body.is_inline:
            self._commit(body.inline_content(), summary)
        else:
            self._later(self._commit_file(summary))

    async def abandon(self) -> None:
        """Throw away what came."""
        if self._transaction.body is not None:
            await self._transaction.body.abandon()

    async def _commit_file(self, summary: Summary) -> None:
        body = self._transaction.body
        assert body is not None
        self.is_committing = True
        try:
            content = await body.finish()
        except OSError as error:
            self._not_stored(error)
        else:
            self._commit(content, summary)

    def _commit(self, content: Content, summary: Summary) -> None:
        self.is_committing = True
        message = self._message(content, summary)
        self._services.outgoing.prepare(message)

        def done(error: Exception | None) -> None:
            if error is not None:
                self._not_stored(error)
                return
            self._services.tally.accepted += 1
            self._tell(ACCEPTED, None)
            self._services.outgoing.submit(message)

        self._services.spool.accept(message, done)

    def _message(self, content: Content, summary: Summary) -> Message:
        transaction, client, services = self._transaction, self._client, self._services
        now = services.clock.now()
        elapsed = services.clock.monotonic()
        self._record.step("data", Result.PASS, elapsed - self._opened, f"{self.size_bytes} bytes")
        conversation = self._record.conversation(
            transaction.number,
            at=now,
            seconds=elapsed - transaction.started,
            worker=services.settings.worker,
            mail_from=str(transaction.sender),
            recipients=transaction.records,
            because=None,
            summary=summary,
            size=content.size_bytes,
            accepted=True,
        )
        return Message(
            transaction.number,
            transaction.trace,
            now,
            now + services.settings.expire_s,
            transaction.sender,
            Origin.OURS if client.is_trusted else Origin.OUTSIDE,
            content,
            conversation,
            transaction.deliveries,
        )

    def _not_stored(self, error: Exception) -> None:
        log.error("reception.not_stored", trace=self._transaction.trace, error=str(error))
        text = "our disk or database could not take the message"
        self._refuse(NOT_STORED, Because("system.overloaded", text, Whose.US.value))

    def _refuse(self, answer: Reply, because: Because) -> None:
        self.is_committing = False
        for record in self._transaction.accepted:
            record.state = "refused" if answer.is_permanent else "refused-for-now"
            record.because = because
            record.reply = str(answer)
        self._later(self.abandon())
        self._tell(answer, because)

    def _tell(self, answer: Reply, because: Because | None) -> None:
        assert self._answered is not None
        self._answered(answer, because)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        _RUNNING.add(task)
        task.add_done_callback(_RUNNING.discard)


_RUNNING: set[asyncio.Future[None]] = set()
"""Tasks that outlive their connection: the loop keeps only weak references."""
