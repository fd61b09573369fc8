"""One connection to a peer: the network around the client machine.

The hot path is one write, one or two reads and one future per message. Nothing here creates a
task or a timer per message or per command: a deadline is a number on the connection, and the pool
looks at all of them in turn.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from postern.delivery.arrival import Parcel, has_arrived, is_quiet, unacknowledged
from postern.delivery.attempt import octets_of
from postern.delivery.failure import cause_of_loss
from postern.delivery.handshake import Secured, Unsecured, of_stall, shake_hands
from postern.delivery.settings import DeliverySettings
from postern.delivery.tls import Handshake
from postern.mail.content import Content, pour
from postern.mail.finding import Whose
from postern.mail.outcome import Cause
from postern.mail.paths import Sign
from postern.mail.smtp.client import ClientMachine, Want
from postern.mail.smtp.client_mail import Mail, must_scan
from postern.mail.smtp.client_opening import Stage
from postern.mail.tlsrpt import TlsResult
from postern.runtime.clock import Clock

PIECE_BYTES = 65536
"""Content is handed to the transport in such pieces, so that its copies stay small."""
_MAY_QUIT = frozenset({Stage.EHLO, Stage.HELO, Stage.OPEN})
"""Where QUIT is taken for one: not in the middle of STARTTLS or AUTH."""


class SmtpConnection(asyncio.Protocol):
    """Carries octets between the machine and the network until ``is_closed``.

    One coroutine at a time may wait on it. ``remote`` names the peer in texts; ``tls`` is the
    session in words, empty without TLS; ``tls_trouble``: why there is none where one was begun;
    ``tls_result``: what reports call it, None where all is well; ``has_heard``: the peer sent
    something; ``was_stale``: and that before our MAIL came there. ``on_greeting`` is called when
    it has greeted with 2xx, ``on_lost`` at the end, each once.
    """

    def __init__(
        self, machine: ClientMachine, remote: str, settings: DeliverySettings, clock: Clock
    ) -> None:
        self.machine = machine
        self.remote = remote
        self.tls = ""
        self.tls_trouble: Sign | None = None
        self.has_heard = False
        self.was_stale = False
        self.tls_result: TlsResult | None = None
        self.is_closed = False
        self.on_greeting: Callable[[], None] | None = None
        self.on_lost: Callable[[SmtpConnection], None] | None = None
        self.opened_at = clock.monotonic()
        self._settings = settings
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._begun_at = self.opened_at
        self._greeted_at = math.inf
        self._session_ends_at = self.opened_at + settings.session_budget_s
        self._deadline = self._session_ends_at
        self._step: asyncio.Timeout | None = None
        self._end_allowance_s = 0.0
        self._is_ending = False
        self._is_resting = False
        self._is_doubted = False
        self._sent_bytes = 0
        self._parcel: Parcel | None = None
        self._is_leaving = False

    @property
    def is_connected(self) -> bool:
        """Whether the line was opened, be it gone again."""
        return self._transport is not None

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line is there; the peer speaks first."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Octets from the peer, straight into the machine."""
        machine = self.machine
        self.has_heard = True
        if self._is_doubted:
            self._is_doubted = False
            self._deadline = self._session_ends_at
            # Said at the end of a rest it crosses our MAIL, of which nothing has come there yet.
            if data.startswith(b"421"):
                self.was_stale = unacknowledged(self._transport) >= self._sent_bytes
        self._write(machine.receive(data))
        if self._greeted_at == math.inf and machine.is_greeted:
            self._greeted_at = self._clock.monotonic()
            if self.on_greeting is not None:
                self.on_greeting()
        if machine.want is Want.REPLY:
            if machine.content_sent and machine.answered and not self._is_ending:
                # Once: a last reply that trickles in does not earn itself more time.
                self._is_ending = True
                self._deadline = self._clock.monotonic() + self._end_allowance_s
            return
        self._wake()
        if machine.want is Want.CLOSE and self._is_resting:
            self._hang_up()

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._paused = False
        self._wake()

    def eof_received(self) -> None:
        """The peer closes; so does the loop."""
        if self._parcel is not None:
            self._parcel.line_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """The line is gone, by whoever's hand."""
        if self.is_closed:
            return
        self.is_closed = True
        machine = self.machine
        if machine.want is not Want.CLOSE:
            cause, words = cause_of_loss(exc)
            if machine.want is Want.TLS or machine.opened_to is Stage.STARTTLS:
                cause, self.tls_trouble = Cause.TLS, self.tls_trouble or Sign.TLS_CUT
            whose = Whose.RECIPIENT if cause is Cause.CLOSED else Whose.BETWEEN
            is_unread = self._parcel is not None and self._parcel.is_lost_with(exc)
            machine.lost(cause, f"{self.remote} {words} {self._when}", whose, is_unread=is_unread)
        self._wake()
        if self.on_lost is not None:
            self.on_lost(self)

    # What delivery calls

    def limit(self, seconds: float) -> asyncio.Timeout:
        """A context for a step that only the event loop can break off: it ends it in time."""
        self._deadline = min(self._clock.monotonic() + seconds, self._session_ends_at)
        self._step = asyncio.timeout(None)
        return self._step

    def limit_is_over(self) -> None:
        """The context of ``limit`` was left."""
        self._step = None
        self._deadline = self._session_ends_at

    def hurry(self, until: float) -> None:
        """What it does now must be done by the monotonic second ``until``."""
        self._deadline = min(self._deadline, until)

    async def wait_ready(self, handshake: Handshake | None) -> bool:
        """Go through greeting, EHLO, STARTTLS and AUTH; False when the session came to nothing.

        Args:
            handshake: for STARTTLS; None where the machine will never ask for it.
        """
        machine = self.machine
        while machine.want in {Want.REPLY, Want.TLS}:
            if machine.want is Want.TLS and handshake is not None:
                await self._start_tls(handshake)
            else:
                await self._wait()
        return machine.want is Want.MAIL

    async def send(self, mail: Mail, content: Content) -> None:
        """One transaction; afterwards ``machine.outcomes`` has one outcome per recipient.

        Streams ``content`` where ``mail.data`` is None. When cancelled the connection is dropped.
        """
        machine, settings = self.machine, self._settings
        if must_scan(mail, machine.extensions):
            mail = replace(mail, octets=await octets_of(content))
        self._deadline = self._session_ends_at
        if self._is_resting:
            self._is_resting = False
            self._begun_at = now = self._clock.monotonic()
            self._session_ends_at = now + settings.session_budget_s
            # The line may have been cut while it rested, with nobody to say so.
            self._is_doubted = True
            self._deadline = min(now + settings.hedge_s, self._session_ends_at)
        self._is_ending = self.was_stale = False
        self._end_allowance_s = settings.final_dot_timeout_s + settings.body_timeout_s(
            mail.size_bytes
        )
        try:
            octets = machine.start(mail)
            self._sent_bytes = len(octets)
            if machine.content_sent:
                self._parcel = Parcel(self._transport, len(octets), is_encrypted=bool(self.tls))
            self._write(octets)
            while True:
                if machine.want is Want.REPLY:
                    await self._wait()
                elif machine.want is Want.CONTENT:
                    await self._stream(content, mail.size_bytes)
                else:
                    break
        except BaseException:
            self.abort()
            raise
        finally:
            if self._parcel is not None:
                self._parcel.close()
                self._parcel = None
        self._deadline = math.inf

    def rest(self, until: float) -> None:
        """Nothing to do before the monotonic second ``until``; then it is closed."""
        self._is_resting = True
        self._deadline = until

    def can_send(self, now: float) -> bool:
        """True when a transaction can begin at once."""
        return self.machine.want is Want.MAIL and not self.is_closed and now < self._deadline

    @property
    def is_quiet(self) -> bool:
        """False where it ended while it rested, and nobody has noticed yet."""
        return is_quiet(self._transport)

    def look(self, now: float) -> None:
        """Act on the deadline if it has passed."""
        if now < self._deadline or self.is_closed:
            return
        if self._is_resting and self.machine.want is Want.MAIL:
            self.close()
            return
        if self._break_step():
            return
        machine = self.machine
        is_unread = self._is_doubted and not has_arrived(self._transport)
        if self._is_doubted and not is_unread:
            # All of it is there, be it the whole message: whoever answers late is waited for.
            self._is_doubted = False
            self._deadline = self._session_ends_at
            return
        if machine.want is not Want.CLOSE:
            seconds = now - self._begun_at
            what = "take the message" if machine.want is Want.CONTENT else f"send {self._due}"
            words = f"{self.remote} did not {what} within {seconds:.0f} s"
            cause = Cause.SILENT
            if machine.opened_to is Stage.STARTTLS:
                self.tls_trouble, cause = of_stall(now - self._greeted_at, self._settings)
            machine.lost(cause, words, is_unread=is_unread)
        self.abort()

    def give_way(self) -> None:
        """Another goes on in its place: it says QUIT where a greeting allows it, and ends."""
        if self.machine.is_greeted and self.machine.opened_to in _MAY_QUIT:
            self.close()
            self._wake()
        else:
            self.abort()

    def close(self) -> None:
        """Say QUIT and close, at the latest after ``quit_timeout_s``; returns at once."""
        if self._is_leaving:
            return
        self._is_leaving = True
        self._deadline = self._clock.monotonic() + self._settings.quit_timeout_s
        self._is_resting = True
        goodbye = self.machine.quit()
        if goodbye:
            self._write(goodbye)  # the peer's 221, or its closing, ends it
        else:
            self._hang_up()

    def abort(self) -> None:
        """Drop the line now."""
        if self.machine.want is not Want.CLOSE:
            self.machine.lost(Cause.LOCAL, "the attempt was broken off here", Whose.US)
        self._wake()
        if self._break_step():
            return
        if self._transport is not None and not self.is_closed:
            self._transport.abort()

    def abandon(self) -> None:
        """It never came to be open: nobody need watch it any more."""
        self.machine.lost(Cause.LOCAL, "the connection was never opened", Whose.US)
        if self._transport is not None:
            self._transport.abort()  # it opened at the very moment it was given up
        self.connection_lost(None)

    # Within

    @property
    def _when(self) -> str:
        """Where in the conversation it is, to follow what the peer did."""
        if self.machine.want is Want.CONTENT:
            return "in the middle of the message"
        return f"when {self._due} was due"

    @property
    def _due(self) -> str:
        stage = self.machine.stage
        return stage if stage.startswith("the greeting") else f"the answer to {stage}"

    def _break_step(self) -> bool:
        """True where a step was under way; it ends as if its time were up."""
        step = self._step
        if step is None:
            return False
        self._step = None
        self._deadline = math.inf  # until whoever is in the step has left it
        step.reschedule(self._loop.time())
        return True

    def _write(self, octets: bytes) -> None:
        if octets and self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)

    def _hang_up(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _start_tls(self, handshake: Handshake) -> None:
        """Shake hands; a failure, a stall or a stranger ends the session."""
        assert self._transport is not None
        left_s = self._session_ends_at - self._clock.monotonic()
        limit_s = min(self._settings.tls_timeout_s, max(0.1, left_s))
        step = self.limit(limit_s)
        try:
            made = await shake_hands(self._transport, self, handshake, step, limit_s)
        finally:
            self.limit_is_over()
        if isinstance(made, Secured):
            if self.is_closed:
                made = Unsecured(Sign.TLS_CUT, "closed the connection in the TLS handshake")
            else:
                self._transport, self.tls, self.tls_result = made.transport, made.text, made.result
                self._write(self.machine.tls_started())
                return
        self.tls = made.text
        self._tls_failed(made)

    def _tls_failed(self, why: Unsecured) -> None:
        if self.machine.want is not Want.CLOSE:
            sign, cause = why.sign, Cause.TLS
            if sign is Sign.TLS_STALLED:
                waited_s = self._clock.monotonic() - self._greeted_at
                sign, cause = of_stall(waited_s, self._settings)
            self.tls_trouble, self.tls_result = sign, why.result
            whose = Whose.RECIPIENT if sign is Sign.UNTRUSTED else Whose.BETWEEN
            self.machine.lost(cause, f"{self.remote} {why.words}", whose)
        self.abort()
        # The transport below a failed handshake does not always report back to this protocol.
        self.connection_lost(None)

    async def _stream(self, content: Content, size_bytes: int) -> None:
        """Send content no faster than the peer takes it, then the end of data."""
        settings, machine = self._settings, self.machine
        self._deadline = self._clock.monotonic() + settings.body_timeout_s(size_bytes)
        try:
            await pour(content, self._send_chunk)
        except OSError as error:
            # No end of data is sent, so the peer throws away what it has (RFC 5321 §4.1.1.4).
            words = f"The stored message could not be read: {error.strerror or error}"
            machine.lost(Cause.LOCAL, words, Whose.US)
            self.abort()
        if machine.want is Want.CONTENT:
            self._write(machine.content_end())
            self._deadline = self._clock.monotonic() + settings.final_dot_timeout_s
            self._is_ending = True

    async def _send_chunk(self, chunk: bytes) -> bool:
        """False when the peer has answered before it had everything."""
        machine = self.machine
        for at in range(0, len(chunk), PIECE_BYTES):
            self._write(machine.content(chunk[at : at + PIECE_BYTES]))
            while self._paused and machine.want is Want.CONTENT:
                await self._wait()
            if machine.want is not Want.CONTENT:
                return False
        return True
