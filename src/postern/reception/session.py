"""What a client is answered: one connection's conversation, from greeting to goodbye.

Driven by the events of the sans-IO server machine. Answers that need nobody else are given at once;
those that wait (for a password, a customer's server, the disk) come later through the channel, and
until then the machine hands out nothing more. A transaction is written down once its last reply was
said, so that the reply stands in its transcript and nothing pipelined behind it is mixed in.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from postern.journal.record import Because, Line
from postern.mail.envelope import Recipient
from postern.mail.finding import Effect, Finding, Result, Whose
from postern.mail.reply import Reply
from postern.mail.smtp import events
from postern.mail.smtp.server import ServerMachine
from postern.reception import replies
from postern.reception.admission import leaving_refusal, sender_refusal
from postern.reception.channel import Channel, Ending
from postern.reception.client import Client
from postern.reception.hearing import Hearing, begin_hearing
from postern.reception.intake import Intake
from postern.reception.login import sign_in
from postern.reception.recipients import Decision
from postern.reception.record import Record
from postern.reception.services import Services
from postern.reception.tasks import spawn
from postern.reception.transaction import Transaction, because_of
from postern.reception.trouble import answer_later, couldnt_decide, trouble_of

log = structlog.get_logger("postern.reception")

MAX_REFUSED_RECIPIENTS = 100
"""Recipients refused on one connection: past that somebody is trying names. A mailing list that
gets so far loses nothing: those refused are settled, and it comes back with the others."""


class Session:
    """Answers events."""

    __slots__ = (
        "_began",
        "_channel",
        "_client",
        "_clock",
        "_ending",
        "_has_told",
        "_intake",
        "_is_body_broken",
        "_is_closed",
        "_machine",
        "_number",
        "_record",
        "_refused_recipients",
        "_services",
        "_trace",
        "_transaction",
        "hearing",
        "is_leaving",
    )

    def __init__(
        self, services: Services, client: Client, machine: ServerMachine, channel: Channel
    ) -> None:
        self._services = services
        self._client = client
        self._machine = machine
        self._channel = channel
        self._clock = services.clock
        self._record = Record(client, services.settings.hostname, services.tally)
        self._began = services.clock.monotonic()
        self._transaction: Transaction | None = None
        self._intake: Intake | None = None
        self.hearing: Hearing | None = None
        self._ending: Ending | None = None
        self._number = 0
        self._trace = ""
        self._refused_recipients = 0
        self._has_told = False
        self._is_body_broken = False
        self._is_closed = False
        self.is_leaving = False
        machine.trace_source = self.trace

    def trace(self) -> str:
        """The trace code of what goes on now; made when it is first needed."""
        if not self._trace:
            self._number, self._trace = self._services.numbers.next()
        return self._trace

    @property
    def is_in_message(self) -> bool:
        """True from DATA to the answer after it: worth waiting for when the server stops."""
        return self._intake is not None

    def on_event(self, event: events.Event) -> Reply | None:
        """Handle one event; the reply when it asks and needs nobody else.

        An unknown exception is journaled and answered 451: a bug delays mail, never loses it.
        """
        try:
            return _HANDLERS[type(event)](self, event)
        except Exception as error:  # noqa: BLE001 - answered 451 and journaled
            answer = self.trouble(error)
            if isinstance(event, events.BodyData):
                self._is_body_broken = True
            elif isinstance(event, events.MailFrom | events.DataStart | events.BodyEnd):
                self._refuse_message(answer)
            return answer if isinstance(event, _ASKS) else None

    def replied(self) -> None:
        """The machine has said the reply; a transaction that ended with it is written down."""
        ending, self._ending = self._ending, None
        if ending is not None:
            self._conclude(ending)

    def trouble(self, error: Exception) -> Reply:
        """Note an error of ours; returns what the client is told."""
        finding, answer = trouble_of(error, self.trace(), self._client.ip)
        self._record.refused(finding, self._trace)
        return answer

    # --- who are you -----------------------------------------------------------------------------

    def connected(self, turned_away: str = "") -> None:
        """The connection stands; ``turned_away`` says why when it may not stay."""
        client = self._client
        text = client.ip or client.local_user
        self._record.opening("connect", Result.PASS, 0.0, text)
        if turned_away:
            finding = Finding("rate.exceeded", Result.FAIL, turned_away)
            self._record.refused(finding, self.trace())
        else:
            self.hearing = begin_hearing(self._services, client)

    def _hello(self, event: events.Hello) -> None:
        self._record.helo = event.name
        self._record.opening("helo", Result.PASS, self._elapsed(), event.name)
        if self.hearing is not None:
            self.hearing.hello(event.name)

    def _start_tls(self, _event: events.StartTls) -> Reply:
        return replies.START_TLS

    def tls_started(self, tls: str, seconds: float) -> None:
        """The line is encrypted now; what the client said before is forgotten (RFC 3207 §4.2)."""
        self._client.tls = tls
        self._record.helo = ""
        self._record.opening("starttls", Result.PASS, seconds, tls)

    def tls_failed(self, text: str) -> None:
        """The handshake did not come to an end; the connection is about to be cut."""
        self._record.opening("starttls", Result.FAIL, self._elapsed(), text)
        self._record.decided("tls.failed", f"the TLS handshake failed: {text}", Whose.BETWEEN)

    def _credentials(self, event: events.Credentials) -> None:
        self._later(sign_in(self._services, self._client, self._record, event, self.trace()))

    # --- the envelope ----------------------------------------------------------------------------

    def _mail(self, event: events.MailFrom) -> Reply:
        trace = self.trace()
        self._record.begin_transaction()
        host, now = self._services.settings.hostname, self._clock.monotonic()
        self._transaction = Transaction(self._number, trace, event.sender, now, host)
        self._services.spool.transaction_begun()
        self._services.directory.refresh()
        refusal = (
            leaving_refusal()
            if self.is_leaving
            else sender_refusal(self._services, self._client, event.sender)
        )
        if refusal is not None:
            self._record.refused(refusal.finding, trace)
            self._ending = Ending.REFUSED
            return refusal.reply
        if self.hearing is not None:
            self.hearing.mail(event.sender)
        self._record.step("mail", Result.PASS, 0.0, str(event.sender))
        return replies.SENDER_OK

    def _rcpt(self, event: events.RcptTo) -> Reply | None:
        recipient, transaction = event.recipient, self._transaction
        assert transaction is not None
        size_bytes = transaction.sender.size_bytes or 0
        try:
            decision = self._services.recipients.decide(
                recipient.address, size_bytes, trusted=self._client.is_trusted
            )
        except Exception as error:  # noqa: BLE001 - 451 for this recipient, and journaled
            return self._decided(recipient, couldnt_decide(self.trouble(error)))
        if isinstance(decision, Decision) and (self.hearing is None or not decision.is_accepted):
            return self._decided(recipient, decision)
        self._later(self._decide_later(recipient, decision), at_once=isinstance(decision, Decision))
        return None

    async def _decide_later(
        self, recipient: Recipient, found: Decision | Awaitable[Decision]
    ) -> Reply:
        try:
            decision = found if isinstance(found, Decision) else await found
            if decision.is_accepted and self.hearing is not None:
                decision = await self.hearing.decide(recipient.address, decision, self._record)
        except Exception as error:  # noqa: BLE001 - 451 for this recipient, and journaled
            if self._is_closed:
                return replies.OUR_ERROR  # it left while it was looked at: nobody to tell
            decision = couldnt_decide(self.trouble(error))
        return self._decided(recipient, decision)

    def _decided(self, recipient: Recipient, decision: Decision) -> Reply:
        verdict, transaction = decision.verdict, self._transaction
        if transaction is None:
            return verdict.reply  # the client went away while a server was asked: nobody to tell
        if transaction.is_full(len(decision.destinations)):
            return replies.TOO_MANY_PLACES
        transaction.add_recipient(recipient, verdict, decision.destinations)
        finding = verdict.because
        if finding is None:
            self._record.step("rcpt", Result.PASS, self._elapsed(), str(recipient.address))
            return verdict.reply
        if verdict.effect is Effect.ACCEPT:
            self._record.step(
                finding.check, finding.result, finding.seconds, finding.text, finding.whose.value
            )
            return verdict.reply
        self._record.refused(finding, self._trace)
        if verdict.effect is Effect.REFUSE:
            self._refused_recipients += 1
        if self._refused_recipients < MAX_REFUSED_RECIPIENTS:
            return verdict.reply
        text = f"{self._refused_recipients} recipients were refused on this connection"
        self._record.refused(Finding("rate.exceeded", Result.FAIL, text), self._trace)
        return replies.TOO_MANY_UNKNOWN

    def _verify(self, _event: events.Verify) -> Reply:
        return replies.CANNOT_VERIFY

    # --- the message -----------------------------------------------------------------------------

    def _data(self, _event: events.DataStart) -> Reply:
        assert self._transaction is not None
        self._intake = intake = Intake(
            self._services, self._client, self._record, self._transaction, self.hearing
        )
        intake.open(self._machine)
        return replies.GO_AHEAD

    def _body_data(self, event: events.BodyData) -> None:
        if self._is_body_broken or self._intake is None:
            return
        wait = self._intake.write(event.data)
        if wait is not None:
            self._channel.wait_for_disk(wait)

    def _body_end(self, _event: events.BodyEnd) -> Reply | None:
        if self._is_body_broken or self._intake is None:
            # A piece of the message was lost to an error of ours; half a message is no message.
            self._refuse_message(replies.OUR_ERROR)
            return replies.OUR_ERROR
        self._intake.finish(self._stored)
        return None

    def _refuse_message(self, answer: Reply) -> None:
        """The message can't be taken, for a reason that stands in the record."""
        self._abandon_body()
        if self._transaction is not None:
            self._transaction.refuse_accepted(answer, self._record.because)
        self._ending = Ending.REFUSED

    def _stored(self, answer: Reply, for_each: Sequence[Reply], because: Because | None) -> None:
        """The message is durable, or could not be taken; either way it has its answer."""
        ending = Ending.ACCEPTED if because is None else Ending.REFUSED
        if self._is_closed:
            self._conclude(ending)  # nobody hears the answer; what is durable stays ours
            return
        self._ending = ending
        self._channel.answer(answer, for_each)

    def _body_failed(self, event: events.BodyFailed) -> None:
        finding = Finding(event.check, Result.FAIL, event.text)
        self._record.refused(finding, self.trace())
        if self._transaction is not None:
            code, enhanced = _BODY_CODES.get(event.check, (550, "5.6.0"))
            told = Reply(code, enhanced, (event.text,))
            self._transaction.refuse_accepted(told, because_of(finding))
        self._end_transaction()

    # --- the end ---------------------------------------------------------------------------------

    def _give_up(self, _event: events.Reset | events.Quit) -> None:
        self._end_transaction()

    def _violation(self, event: events.Violation) -> None:
        self._record.violated(event.check, event.text, is_last=event.hopeless)

    def closed(self, reason: str) -> None:
        """The connection is gone; what was not finished is written down and thrown away.

        A message that is being made durable stays ours: its end is written down when it is there.
        """
        self._is_closed = True
        if self.hearing is not None:
            self.hearing.end()
        if reason:
            self._record.step("connection", Result.NOTE, self._elapsed(), reason)
        if self._intake is not None and self._intake.is_committing:
            return
        self._end_transaction()
        if self._record.because is not None or not self._has_told:
            self._tell_journal()

    def _end_transaction(self) -> None:
        """The client gave up the transaction, if there is one."""
        self._abandon_body()
        if self._transaction is not None:
            self._conclude(Ending.REFUSED)

    def _abandon_body(self) -> None:
        if self._intake is not None and not self._intake.is_over:
            # At once, for what is being judged in this very turn of the loop must not be stored.
            self._intake.is_over = True
            spawn(self._intake.abandon())

    def _conclude(self, ending: Ending) -> None:
        if ending is Ending.REFUSED:
            self._tell_journal()
        self._has_told = True
        if self._transaction is not None:
            self._services.spool.transaction_ended()
        self._transaction = None
        self._intake = None
        self._is_body_broken = False
        self._number = 0
        self._trace = ""
        self._record.end_transaction()
        self._machine.dialogue.clear()

    def _tell_journal(self) -> None:
        """A conversation that left no message with us goes to the journal."""
        self.trace()
        transaction, intake = self._transaction, self._intake
        if transaction is not None:
            transaction.discard_accepted()
        self._services.spool.ended(
            self._record.conversation(
                self._number,
                at=self._clock.now(),
                seconds=self._elapsed(),
                worker=self._services.settings.worker,
                mail_from="" if transaction is None else str(transaction.sender),
                recipients=[] if transaction is None else transaction.records,
                because=self._record.because,
                summary=None if intake is None else intake.summary,
                size=0 if intake is None else intake.size_bytes,
                transcript=[Line(*entry) for entry in self._machine.dialogue],
            )
        )
        self._has_told = True

    def _elapsed(self) -> float:
        """Seconds since the connection (or this transaction) began."""
        start = self._began if self._transaction is None else self._transaction.started
        return self._clock.monotonic() - start

    def _later(self, promise: Awaitable[Reply], *, at_once: bool = False) -> None:
        spawn(answer_later(promise, self._channel, self.trouble), at_once=at_once)


_HANDLERS: Mapping[type, Callable[[Session, object], Reply | None]] = {
    event: getattr(Session, method)
    for event, method in (
        (events.Hello, "_hello"),
        (events.MailFrom, "_mail"),
        (events.RcptTo, "_rcpt"),
        (events.DataStart, "_data"),
        (events.BodyData, "_body_data"),
        (events.BodyEnd, "_body_end"),
        (events.BodyFailed, "_body_failed"),
        (events.Reset, "_give_up"),
        (events.StartTls, "_start_tls"),
        (events.Credentials, "_credentials"),
        (events.Verify, "_verify"),
        (events.Violation, "_violation"),
        (events.Quit, "_give_up"),
    )
}
"""After the class, by name: a table in the class itself is more than mypyc can compile."""
_BODY_CODES = {"size.too-big": (552, "5.3.4")}
"""What the machine answered when it refused a body; it tells us only why."""
_ASKS = (
    events.MailFrom,
    events.RcptTo,
    events.DataStart,
    events.BodyEnd,
    events.StartTls,
    events.Credentials,
    events.Verify,
)
