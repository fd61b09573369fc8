"""What a client is answered: one connection's conversation, from greeting to goodbye.

Driven by the events of the sans-IO server machine. Answers that need nobody else are given at once;
those that wait (for a password, a customer's server, the disk) come later through ``answer``, and
until then the machine hands out nothing more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

import structlog

from postern.directory.credentials import BadCredentials, CouldntTell
from postern.directory.reader import Account
from postern.journal.record import Because, Line
from postern.mail.envelope import Recipient
from postern.mail.finding import Effect, Finding, Result, Whose
from postern.mail.reply import Reply, reply
from postern.mail.smtp import events
from postern.mail.smtp.server import ServerMachine
from postern.reception import replies
from postern.reception.client import Client
from postern.reception.intake import Intake
from postern.reception.recipients import Decision
from postern.reception.record import Record
from postern.reception.services import Services
from postern.reception.transaction import Transaction

log = structlog.get_logger("postern.reception")


class Session:
    """Answers events. ``answer`` and ``pause_until`` are the connection's."""

    __slots__ = (
        "_answer",
        "_began",
        "_began_at",
        "_client",
        "_clock",
        "_has_told",
        "_intake",
        "_is_broken",
        "_machine",
        "_number",
        "_pause_until",
        "_record",
        "_services",
        "_trace",
        "_transaction",
        "is_leaving",
    )

    def __init__(
        self,
        services: Services,
        client: Client,
        machine: ServerMachine,
        answer: Callable[[Reply], None],
        pause_until: Callable[[Awaitable[None]], None],
    ) -> None:
        self._services = services
        self._client = client
        self._machine = machine
        self._answer = answer
        self._pause_until = pause_until
        self._clock = services.clock
        self._record = Record(client, services.settings.hostname, services.tally)
        self._began_at = services.clock.now()
        self._began = services.clock.monotonic()
        self._transaction: Transaction | None = None
        self._intake: Intake | None = None
        self._number = 0
        self._trace = ""
        self._has_told = False
        self._is_broken = False
        self.is_leaving = False
        machine.trace_source = self.trace

    def trace(self) -> str:
        """The trace code of what goes on now; made when it is first needed."""
        if not self._trace:
            self._number, self._trace = self._services.numbers.next()
        return self._trace

    def on_event(self, event: events.Event) -> Reply | None:
        """Handle one event; the reply when it asks and needs nobody else.

        An unknown exception is journaled and answered 451: a bug delays mail, never loses it.
        """
        try:
            return self._HANDLERS[type(event)](self, event)
        except Exception as error:  # noqa: BLE001 - answered 451 and journaled
            self._our_error(error)
            return replies.OUR_ERROR if isinstance(event, _ASKS) else None

    def _our_error(self, error: Exception) -> None:
        log.error("reception.bug", trace=self.trace(), rip=self._client.ip, exc_info=error)
        text = f"an error of our own: {type(error).__name__}"
        self._record.step("postern", Result.COULDNT_TELL, 0.0, text, Whose.US.value)
        self._record.decided("system.overloaded", text, Whose.US)
        self._is_broken = True

    # --- who are you -----------------------------------------------------------------------------

    def connected(self, turned_away: str = "") -> None:
        """The connection stands; ``turned_away`` says why when it may not stay."""
        client = self._client
        text = client.ip or client.local_user
        self._record.opening("connect", Result.PASS, self._elapsed(), text)
        if turned_away:
            self._record.refused(_by_sender("rate.exceeded", turned_away), self.trace())

    def _hello(self, event: events.Hello) -> None:
        self._record.helo = event.name
        self._record.opening("helo", Result.PASS, self._elapsed(), event.name)

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

    @property
    def is_in_message(self) -> bool:
        """True from DATA to the answer after it: worth waiting for when the server stops."""
        return self._intake is not None

    def _credentials(self, event: events.Credentials) -> Reply | None:
        self._later(self._authenticate(event))
        return None

    async def _authenticate(self, event: events.Credentials) -> Reply:
        started = self._clock.monotonic()
        who = await self._services.authenticator.authenticate(event.username, event.password)
        seconds = self._clock.monotonic() - started
        match who:
            case Account():
                self._client.account = who
                self._record.opening("auth", Result.PASS, seconds, str(who.address))
                return replies.SIGNED_IN
            case BadCredentials():
                self._refused_login(event, "auth.failed", Result.FAIL, seconds)
                return replies.WRONG
            case CouldntTell(text=text):
                log.warning("auth.couldnt-tell", rip=self._client.ip, reason=text)
                self._refused_login(event, "auth.couldnt-tell", Result.COULDNT_TELL, seconds)
                return replies.AUTH_BUSY

    def _refused_login(
        self, event: events.Credentials, check: str, result: Result, seconds: float
    ) -> None:
        name = event.username[:100]
        text = f"signing in as {name} did not work"
        self._record.refused(Finding(check, result, text, Whose.SENDER, seconds), self.trace())

    # --- the envelope ----------------------------------------------------------------------------

    def _mail(self, event: events.MailFrom) -> Reply:
        self._services.directory.refresh()
        refusal = self._mail_refusal(event)
        if refusal is not None:
            finding, answer = refusal
            self._record.refused(finding, self.trace())
            return answer
        self.trace()
        self._record.step("mail", Result.PASS, self._elapsed(), str(event.sender))
        now = self._clock.monotonic()
        self._transaction = Transaction(self._number, self._trace, event.sender, now)
        return replies.SENDER_OK

    def _mail_refusal(self, event: events.MailFrom) -> tuple[Finding, Reply] | None:
        """Why this client may not begin a message now, or None."""
        client = self._client
        if self.is_leaving:
            return _by_us("system.overloaded", "this server is restarting"), replies.LEAVING
        if client.must_log_in:
            answer = replies.SIGN_IN_FIRST if client.tls else replies.TLS_FIRST
            return _by_sender("rcpt.relay-denied", "the client has not signed in"), answer
        if not self._services.spool.space.may_accept():
            return _by_us("system.overloaded", "the disk is nearly full"), replies.NO_ROOM
        address = event.sender.address
        # MDNs and other automatic replies of our users come from <> (RFC 8098 §3).
        if client.account is not None and address is not None:
            account = client.account
            if not self._services.directory.may_send_as(account, address):
                text = f"{account.address} may not send as {address}"
                answer = reply(
                    553, "5.7.1", f"Not accepted: {text}; it is not one of its addresses"
                )
                return _by_sender("auth.sender-mismatch", text), answer
        return None

    def _rcpt(self, event: events.RcptTo) -> Reply | None:
        recipient = event.recipient
        decision = self._services.recipients.decide(
            recipient.address, trusted=self._client.is_trusted
        )
        if isinstance(decision, Decision):
            return self._decided(recipient, decision)
        self._later(self._decide_later(recipient, decision))
        return None

    async def _decide_later(self, recipient: Recipient, promise: Awaitable[Decision]) -> Reply:
        return self._decided(recipient, await promise)

    def _decided(self, recipient: Recipient, decision: Decision) -> Reply:
        assert self._transaction is not None
        verdict = decision.verdict
        self._transaction.add_recipient(recipient, verdict, decision.destinations)
        finding = verdict.because
        if finding is None:
            self._record.step("rcpt", Result.PASS, self._elapsed(), str(recipient.address))
        elif verdict.effect is Effect.ACCEPT:
            self._record.step(
                finding.check, finding.result, finding.seconds, finding.text, finding.whose.value
            )
        else:
            self._record.refused(finding, self._trace)
        return verdict.reply

    def _verify(self, _event: events.Verify) -> Reply:
        return replies.CANNOT_VERIFY

    # --- the message -----------------------------------------------------------------------------

    def _data(self, _event: events.DataStart) -> Reply:
        assert self._transaction is not None
        self._intake = Intake(self._services, self._client, self._record, self._transaction)
        self._intake.open(self._machine)
        return replies.GO_AHEAD

    def _body_data(self, event: events.BodyData) -> None:
        if self._is_broken or self._intake is None:
            return
        wait = self._intake.write(event.data)
        if wait is not None:
            self._pause_until(wait)

    def _body_end(self, _event: events.BodyEnd) -> Reply | None:
        if self._is_broken or self._intake is None:
            # A piece of the message was lost to an error of ours; half a message is no message.
            self._give_up_body()
            return replies.OUR_ERROR
        self._intake.finish(self._stored)
        return None

    def _stored(self, answer: Reply, because: Because | None) -> None:
        """The message is durable, or could not be taken; either way it has its answer."""
        intake, self._intake = self._intake, None
        transaction, self._transaction = self._transaction, None
        assert intake is not None
        assert transaction is not None
        if because is not None:
            self._record.because = because
            self._services.tally.refusals[because.check] += 1
            self._tell_journal(transaction, intake.size_bytes)
        self._has_told = True
        self._answer(answer)
        self._next_transaction()

    def _body_failed(self, event: events.BodyFailed) -> None:
        self._record.refused(_by_sender(event.check, event.text), self.trace())
        self._give_up_body()

    # --- the end ---------------------------------------------------------------------------------

    def _reset(self, _event: events.Reset) -> None:
        self._end_transaction()

    def _quit(self, _event: events.Quit) -> None:
        self._end_transaction()

    def _violation(self, event: events.Violation) -> None:
        check = event.check or "standards.syntax"
        self._record.step("command", Result.FAIL, 0.0, event.text, Whose.SENDER.value)
        if event.check or event.hopeless:
            self._record.decided(check, event.text, Whose.SENDER)
            self._services.tally.refusals[check] += 1

    def closed(self, reason: str) -> None:
        """The connection is gone; what was not finished is written down and thrown away."""
        if self._transaction is not None and reason:
            self._record.step("connection", Result.NOTE, self._elapsed(), reason)
        self._end_transaction()
        if not self._has_told:
            self._tell_journal(None, 0)

    def _end_transaction(self) -> None:
        if self._intake is not None:
            self._give_up_body()
        elif self._transaction is not None or self._record.because is not None:
            self._tell_journal(self._transaction, 0)
            self._next_transaction()

    def _give_up_body(self) -> None:
        intake, self._intake = self._intake, None
        if intake is None or intake.is_committing:
            # Its answer will find nobody, but what is being made durable stays ours.
            return
        transaction = self._transaction
        self._spawn(intake.abandon())
        self._tell_journal(transaction, intake.size_bytes)
        self._next_transaction()

    def _next_transaction(self) -> None:
        self._transaction = None
        self._is_broken = False
        self._number = 0
        self._trace = ""
        self._record.forget_transaction()
        self._machine.dialogue.clear()

    def _tell_journal(self, transaction: Transaction | None, size: int) -> None:
        """A conversation that left no message with us goes to the journal."""
        self.trace()
        because = self._record.because
        for record in () if transaction is None else transaction.accepted:
            # Accepted at RCPT, but the message never became ours.
            record.state = "discarded" if because is None else "refused"
        now = self._clock.monotonic()
        self._services.spool.ended(
            self._record.conversation(
                self._number,
                at=self._began_at if transaction is None else self._clock.now(),
                seconds=now - (self._began if transaction is None else transaction.started),
                worker=self._services.settings.worker,
                mail_from="" if transaction is None else str(transaction.sender),
                recipients=[] if transaction is None else transaction.records,
                because=because,
                size=size,
                transcript=[Line(*entry) for entry in self._machine.dialogue],
            )
        )
        self._has_told = True

    # --- small things ----------------------------------------------------------------------------

    def _elapsed(self) -> float:
        """Seconds since the connection (or this transaction) began."""
        start = self._began if self._transaction is None else self._transaction.started
        return self._clock.monotonic() - start

    def _later(self, promise: Awaitable[Reply]) -> None:
        async def wait() -> None:
            try:
                answer = await promise
            except Exception as error:  # noqa: BLE001 - answered 451 and journaled
                self._our_error(error)
                answer = replies.OUR_ERROR
            self._answer(answer)

        self._spawn(wait())

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        _RUNNING.add(task)
        task.add_done_callback(_RUNNING.discard)

    _HANDLERS: ClassVar[dict[type, Callable[..., Reply | None]]] = {
        events.Hello: _hello,
        events.MailFrom: _mail,
        events.RcptTo: _rcpt,
        events.DataStart: _data,
        events.BodyData: _body_data,
        events.BodyEnd: _body_end,
        events.BodyFailed: _body_failed,
        events.Reset: _reset,
        events.StartTls: _start_tls,
        events.Credentials: _credentials,
        events.Verify: _verify,
        events.Violation: _violation,
        events.Quit: _quit,
    }


def _by_sender(check: str, text: str) -> Finding:
    return Finding(check, Result.FAIL, text, Whose.SENDER)


def _by_us(check: str, text: str) -> Finding:
    return Finding(check, Result.COULDNT_TELL, text, Whose.US)


_RUNNING: set[asyncio.Future[None]] = set()
"""Tasks that may outlive their connection: the loop itself keeps only weak references."""

_ASKS = (
    events.MailFrom,
    events.RcptTo,
    events.DataStart,
    events.BodyEnd,
    events.StartTls,
    events.Credentials,
    events.Verify,
)
