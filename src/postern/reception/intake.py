"""Takes one message's octets, makes it durable, and says how that went."""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from postern.journal.record import Because
from postern.mail.authres.build import field
from postern.mail.content import BytesContent, Content, PrefixedContent
from postern.mail.finding import Finding, Result, Whose
from postern.mail.hops import relays_of
from postern.mail.message.summary import Summary, asked_of_tls
from postern.mail.received import received_header, with_keyword
from postern.mail.reply import Reply, reply
from postern.mail.smtp.server import ServerMachine
from postern.policy.checks.letter import Letter
from postern.policy.scanners.scanners import Scanners
from postern.reception import replies
from postern.reception.admission import Refusal, author_refusal
from postern.reception.client import Client
from postern.reception.forwarding import SEALED_FORM, goes_round, is_aligned, sealed
from postern.reception.hearing import Hearing
from postern.reception.limits import parse_ip
from postern.reception.record import Record
from postern.reception.screening import Screening
from postern.reception.services import Services
from postern.reception.settlement import Settlement
from postern.reception.tasks import spawn
from postern.reception.transaction import Inspection, Mending, Transaction, because_of
from postern.reception.trouble import trouble_of
from postern.spool.message import Message, Origin

log = structlog.get_logger("postern.reception")

BACKLOG_BYTES = 1024 * 1024
"""Octets that may wait for the disk before the client is asked to wait as well."""

Answered = Callable[[Reply, Sequence[Reply], Because | None], None]
"""The answer to the message, those for each recipient in front of it (PRDR), and why refused."""


class Intake:
    """From DATA to the answer after the last octet.

    Attributes:
        is_committing: the disk is at work; the message may be ours already.
        is_over: it was accepted, or thrown away.
        summary: what its header says, once all of it is there.
    """

    __slots__ = (
        "_answered",
        "_apart",
        "_client",
        "_hearing",
        "_is_aligned",
        "_opened",
        "_prefix",
        "_record",
        "_screening",
        "_services",
        "_transaction",
        "is_committing",
        "is_over",
        "size_bytes",
        "summary",
    )

    def __init__(
        self,
        services: Services,
        client: Client,
        record: Record,
        transaction: Transaction,
        hearing: Hearing | None,
    ) -> None:
        self._services = services
        self._client = client
        self._record = record
        self._transaction = transaction
        self._hearing = hearing
        self._opened = services.clock.monotonic()
        self._answered: Answered | None = None
        self._prefix = b""
        self._is_aligned = False
        self._apart: tuple[Refusal | None, ...] = ()
        self._screening: Screening | None = None
        self.is_committing = False
        self.is_over = False
        self.size_bytes = 0
        self.summary: Summary | None = None

    def open(self, machine: ServerMachine) -> None:
        """Begin the message with our Received line."""
        transaction, client, settings = self._transaction, self._client, self._services.settings
        now = self._services.clock.now()
        received = received_header(
            helo=self._record.helo,
            ip=client.ip,
            rdns="" if self._hearing is None else self._hearing.ptr,
            hostname=settings.hostname,
            protocol=with_keyword(
                extended=machine.extended,
                tls=bool(client.tls),
                authenticated=client.account is not None,
                smtputf8=transaction.sender.smtputf8,
            ),
            trace=transaction.trace,
            instant=now,
            tls=client.tls,
            recipient=transaction.only_recipient(),
        )
        body = self._services.spool.body(transaction.number)
        transaction.open_body(body, received, self._work(now))

    def _work(self, now: float) -> Mending | Inspection | None:
        """What is done with the header on its way: a program on this machine gets it as it is."""
        client, hostname = self._client, self._services.settings.hostname
        if client.is_trusted:
            return Mending(hostname, now, self._services.signers, mends=not self._is_from_server())
        if self._hearing is not None:
            forms = frozenset({SEALED_FORM} if self._transaction.forwarded else ())
            return Inspection((hostname,), now, self._hearing.depth, forms)
        ip = parse_ip(client.ip)
        if ip is None or ip.is_loopback:
            return None
        # Without checks it is a stranger's all the same, and may carry forged marks of ours.
        return Inspection((hostname,), now, None)

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
        transaction = self._transaction
        self.summary = summary = transaction.end()
        refusal = self._refusal(summary)
        scanners = self._scanners()
        if refusal is not None:
            self._refuse_for(refusal)
        elif self._hearing is not None:
            spawn(self._hear(self._hearing, summary), at_once=True)
        elif scanners is not None and scanners.look_at_everybody:
            spawn(self._screen(scanners, summary))
        else:
            self._sign()
            self._store(summary)

    def _sign(self) -> None:
        """Put our signature on top: what our own users send is signed, and nothing else."""
        signature = self._transaction.signature(self._services.clock.now())
        self._prefix = signature + self._prefix
        self._is_aligned = signature != b""

    async def _hear(self, hearing: Hearing, summary: Summary) -> None:
        """Have the whole message looked at and judged before it is taken."""
        try:
            letter = self._transaction.letter()
            assert letter is not None
            scanners = self._scanners()
            if scanners is not None:
                need = hearing.need(scanners, self._transaction)
                if need.families:
                    self._screening = self._new_screening()
                    await self._screening.begin(scanners, need, hearing.ptr)
            screening = self._screening
            scanned = None if screening is None else screening.scanned
            await hearing.read(letter, self._record, scanned)
            await hearing.ask_again(self._transaction, letter, self._record)
            if self.is_over:
                return  # the client did not wait; it will send the message again
            holdings = self._services.spool.holdings
            settled = hearing.settle(self._transaction, letter, self.size_bytes, holdings)
            if not self._is_taken(settled):
                return
            self._prefix = self._fields_of(hearing, letter)
            if screening is not None:
                self._prefix += screening.fields
            self._store(summary)
        except Exception as error:  # noqa: BLE001 - answered 451 and journaled
            self._not_looked_at(error)
        finally:
            self._end_screening()

    def _fields_of(self, hearing: Hearing, letter: Letter) -> bytes:
        """What was found, to be put on top; and our seal, where the message is sent on."""
        transaction, results = self._transaction, hearing.results
        authors = letter.authors or ()
        self._is_aligned = len(authors) == 1 and is_aligned(results, authors[0].domain)
        fields = field(results, utf8=transaction.sender.smtputf8) + hearing.untold_field
        signers, forwarded = self._services.signers, transaction.forwarded
        if not forwarded or signers is None:
            return fields
        now = self._services.clock.now()
        return sealed(signers, forwarded[0].forwarder, results, letter, now) + fields

    async def _screen(self, scanners: Scanners, summary: Summary) -> None:
        """Have a message that nobody else looks at shown to the scanners before it is taken."""
        try:
            self._screening = screening = self._new_screening()
            findings = await screening.look(scanners)
            if self.is_over:
                return
            if not self._is_taken(screening.settle(findings, self.size_bytes)):
                return
            self._prefix = screening.fields
            self._sign()
            self._store(summary)
        except Exception as error:  # noqa: BLE001 - answered 451 and journaled
            self._not_looked_at(error)
        finally:
            self._end_screening()

    def _is_taken(self, settled: Settlement) -> bool:
        """Note who refuses it; False when all do, and the client was told so."""
        self._apart = settled.apart
        for one in settled.apart:
            if one is not None and one is not settled.refusal:
                self._record.refused(one.finding, self._transaction.trace)
        if settled.refusal is not None:
            self._refuse_for(settled.refusal)
        return settled.refusal is None

    def _scanners(self) -> Scanners | None:
        policy = self._services.policy
        return None if policy is None else policy.scanners

    def _end_screening(self) -> None:
        """Nobody waits for the scanners any more; what still runs is given up."""
        if self._screening is not None:
            self._screening.end()

    def _new_screening(self) -> Screening:
        policy = self._services.policy
        assert policy is not None
        return Screening(self._services, policy, self._client, self._record, self._transaction)

    def _refuse_for(self, refusal: Refusal) -> None:
        self._record.refused(refusal.finding, self._transaction.trace)
        self._refuse(refusal.reply, because_of(refusal.finding))

    def _store(self, summary: Summary) -> None:
        body = self._transaction.body
        assert body is not None
        if body.is_inline:
            content = body.inline_content()
            prefix = self._prefix
            self._commit(BytesContent(prefix + content.data) if prefix else content, summary)
        else:
            self.is_committing = True
            spawn(self._commit_file(summary))

    def _refusal(self, summary: Summary) -> Refusal | None:
        """Why the message can't be taken as it is."""
        if summary.is_overlong:
            text = "the header is longer than what is read here"
            return Refusal(Finding("standards.header", Result.FAIL, text), replies.HEADER_TOO_LONG)
        if summary.received_count > self._services.settings.max_hops:
            text = f"the message went through {summary.received_count} servers: it is in a loop"
            finding = Finding("loop.detected", Result.FAIL, text, Whose.BETWEEN)
            return Refusal(finding, reply(554, "5.4.6", f"Not accepted: {text}"))
        account = None if self._is_from_server() else self._client.account
        # A person who sends once more what he got goes in no circle.
        if account is None and goes_round(self._transaction):
            text = "an alias sent it out from here before, and it came back"
            finding = Finding("loop.detected", Result.FAIL, text, Whose.BETWEEN)
            return Refusal(finding, reply(554, "5.4.6", f"Not accepted: {text}"))
        if account is not None:
            return author_refusal(self._services, account, self._transaction.head)
        return None

    def _is_from_server(self) -> bool:
        """Whether another server of ours hands it on: it leaves as that server would send it."""
        account = self._client.account
        return account is not None and self._services.is_server(account)

    async def abandon(self) -> None:
        """Throw away what came."""
        self.is_over = True
        self.is_committing = False
        self._end_screening()
        body = self._transaction.body
        if body is None:
            return
        try:
            await body.abandon()
        except OSError as error:  # the start sweeps up what is left
            log.warning("reception.not_removed", trace=self._transaction.trace, error=str(error))

    async def _commit_file(self, summary: Summary) -> None:
        body = self._transaction.body
        assert body is not None
        try:
            content = await body.finish()
            if self._prefix:
                content = PrefixedContent(self._prefix, content)
            self._commit(content, summary)
        except Exception as error:  # noqa: BLE001 - answered 451 and journaled
            self._not_stored(error)

    def _commit(self, content: Content, summary: Summary) -> None:
        message = self._message(content, summary)
        self._services.outgoing.prepare(message)

        def done(error: Exception | None) -> None:
            if error is not None:
                self._not_stored(error)
                return
            self.is_over = True
            self._services.tally.accepted += 1
            try:
                self._tell(replies.ACCEPTED, None)
            finally:
                self._services.outgoing.submit(message)

        self.is_committing = True
        self._services.spool.accept(message, done)

    def _message(self, content: Content, summary: Summary) -> Message:
        transaction, services = self._transaction, self._services
        now = services.clock.now()
        elapsed = services.clock.monotonic()
        if self._client.is_trusted:
            transaction.nothing_is_forwarded()
        self._record.step("data", Result.PASS, elapsed - self._opened, f"{self.size_bytes} bytes")
        conversation = self._record.conversation(
            transaction.number,
            at=now,
            seconds=elapsed - transaction.started,
            worker=services.settings.worker,
            mail_from=str(transaction.sender),
            recipients=transaction.records,
            because=transaction.because,
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
            self._origin(),
            content,
            conversation,
            transaction.deliveries,
            self._is_aligned,
            asked_of_tls(summary, transaction.sender, is_ours=self._client.is_trusted),
            relays_of(summary.marks, services.hop_key) if summary.marks else (),
        )

    def _origin(self) -> Origin:
        if self._client.is_trusted:
            return Origin.OURS
        is_proven = self._hearing is not None and self._hearing.is_sender_proven
        return Origin.OUTSIDE_PROVEN if is_proven else Origin.OUTSIDE

    def _not_looked_at(self, error: Exception) -> None:
        """An error of ours before the message could be stored; where nobody waits, only logged."""
        if isinstance(error, OSError):
            self._not_stored(error)
            return
        trace = self._transaction.trace
        finding, answer = trouble_of(error, trace, self._client.ip)
        if not self.is_over:
            self._record.refused(finding, trace)
            self._refuse(answer, because_of(finding))

    def _not_stored(self, error: Exception) -> None:
        if self.is_over:
            return  # the client has left, and its end is on record
        log.error("reception.not_stored", trace=self._transaction.trace, error=str(error))
        text = "our disk or database could not take the message"
        finding = Finding("system.overloaded", Result.COULDNT_TELL, text, Whose.US)
        self._record.refused(finding, self._transaction.trace)
        self._refuse(replies.NOT_STORED, because_of(finding))

    def _refuse(self, answer: Reply, because: Because) -> None:
        self._record.because = because  # it decides, whatever was refused for single recipients
        self._transaction.refuse_accepted(answer, because)
        self.is_over = True
        spawn(self.abandon())
        self._tell(answer, because)

    def _tell(self, answer: Reply, because: Because | None) -> None:
        assert self._answered is not None
        # Whoever was not refused has the answer of the message: "accepted", or "not stored".
        for_each = [answer if one is None else one.reply for one in self._apart]
        self._answered(answer, for_each, because)
