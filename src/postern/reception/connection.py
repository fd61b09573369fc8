"""The bytes of one connection: in to the machine, out to the client, and the clock over both.

What a client sends is read only while it can be dealt with. Reading stops while the disk is behind,
while the client does not take our replies, and while much has piled up behind a question that is
not answered yet; so a connection's memory is bounded whatever its client does.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import cast

import structlog

from postern.mail.reply import Reply, reply
from postern.mail.smtp.events import Quit, StartTls
from postern.mail.smtp.server import ServerMachine
from postern.reception import replies
from postern.reception.client import Client
from postern.reception.greeting import holds_back
from postern.reception.limits import limit_key
from postern.reception.peer import is_within, lost_text, peer_address, peer_user
from postern.reception.port import Port
from postern.reception.session import Session
from postern.reception.settings import Kind
from postern.reception.tasks import spawn
from postern.reception.upgrade import feed, upgrade

log = structlog.get_logger("postern.reception")

LINGER_S = 10.0
"""How long what we said last may take to reach a client that reads slowly, or is still talking."""
PIECE_BYTES = 32 * 1024
"""Most that the machine is fed before its replies are sent: 5,000 HELPs, say."""
MAX_AHEAD_BYTES = 64 * 1024
"""What a client may send ahead of an answer that takes time before we stop reading."""


class Connection(asyncio.Protocol):
    """One connection, from accept to close."""

    __slots__ = (
        "_client", "_early", "_end_text", "_has_hung_up", "_is_closing", "_is_half_closed",
        "_is_reading", "_is_running", "_is_upgrading", "_key", "_machine", "_opened",
        "_port", "_session", "_touched", "_transport", "_waits_for_client",
        "_waits_for_disk",
    )  # fmt: skip

    def __init__(self, port: Port) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._client = Client("", 0, port.listener)
        self._machine: ServerMachine | None = None
        self._session: Session | None = None
        self._early = b""  # received, and not given to the machine yet
        self._key: str | None = None
        self._opened = self._touched = port.services.clock.monotonic()
        self._end_text = ""
        self._is_reading = True
        self._is_running = self._is_upgrading = False
        self._is_closing = self._is_half_closed = self._has_hung_up = False
        self._waits_for_disk = self._waits_for_client = False

    # --- what the loop calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted: find out who it is, and greet."""
        # uvloop's transports have the methods of asyncio.Transport without being one.
        plain = cast("asyncio.Transport", transport)
        if self._port.listener.is_unix:
            self._client.is_relay = True
            # One user's programs count together, as one address's clients do.
            self._key = self._client.local_user = peer_user(transport)
            self._begin(plain, self._port.counts.enter(self._key))
            return
        peer = peer_address(transport)
        if peer is None:
            plain.abort()  # gone before we looked; nobody to be served
        else:
            self.introduced(plain, peer, b"", may_relay=True)

    def introduced(
        self,
        transport: asyncio.Transport,
        client: tuple[str, int],
        early: bytes,
        *,
        may_relay: bool,
    ) -> None:
        """Greet the client at that address and port, which has sent ``early`` already.

        ``may_relay`` False: ``relay_from`` does not count for it.
        """
        port = self._port
        self._client.ip, self._client.port = client
        self._client.is_relay = may_relay and is_within(client[0], port.listener.relay_from)
        self._key = limit_key(client[0])
        self._early = early
        self._begin(transport, port.counts.enter(self._key))

    def _begin(self, transport: asyncio.Transport, turned_away: str) -> None:
        """Open the session, and greet: over TLS where TLS comes first."""
        self._transport = transport
        self._port.connections.add(self)
        self._machine = machine = ServerMachine(self._port.speaks)
        self._session = session = Session(self._port.services, self._client, machine, self)
        session.connected(turned_away)
        if turned_away:
            last = reply(421, "4.7.0", f"Not accepted now: {turned_away}")
            machine.greet_with(last, self._touched)
        elif self._port.listener.kind is not Kind.SUBMISSIONS:
            hearing = session.hearing
            if hearing is None or not holds_back(hearing, self, transport, self._early):
                machine.greet(self._touched)
        elif self._port.certificates.context is None:
            log.error("reception.no_certificate", bind=self._port.listener.bind)
            machine.greet_with(replies.NO_CERTIFICATE, self._touched)
        else:
            self._start_tls()
        self._go_on()

    def greet(self, early: bytes) -> None:
        """Say who we are, after a while; ``early`` is what the client did not wait to say."""
        if (machine := self._machine) is not None and not self._is_closing:
            self._early = early
            machine.greet(self._port.services.clock.monotonic())
            self._go_on()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        machine = self._machine
        if self._is_closing or machine is None:
            return  # only read so that the kernel does not cut off our last words
        self._touched = now = self._port.services.clock.monotonic()
        if self._is_upgrading or self._early or len(data) > PIECE_BYTES or self._is_held:
            self._early += data
        else:
            machine.receive(data, now)
        self._go_on()

    def eof_received(self) -> bool:
        """The client will say nothing more; what it is owed is still sent."""
        self._is_half_closed = True
        # Under TLS the answer makes no difference: the transport closes.
        return not (self._client.tls or self._is_closing) and self._owes_answer

    def pause_writing(self) -> None:
        """The client does not take our replies: nothing more is done for it until it does."""
        self._waits_for_client = True
        self._steer()

    def resume_writing(self) -> None:
        """It takes them again."""
        self._waits_for_client = False
        self._touched = self._port.services.clock.monotonic()
        self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        """Gone, for whichever reason. A handshake that fails is told of here by ourselves."""
        if self._transport is None:
            return
        self._transport = None
        self._port.connections.discard(self)
        if self._key is not None:
            self._port.counts.leave(self._key)
        session, machine = self._session, self._machine
        self._session = self._machine = None
        self._early = b""
        if session is not None and machine is not None:
            machine.trace_source = None  # it led back to the session: no circle to collect later
            has_left = not self._is_closing or self._has_hung_up
            session.closed(self._end_text or (lost_text(error) if has_left else ""))

    # --- the conversation ------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Do what can be done with what has come; then read on, wait, or close."""
        machine = self._machine
        if self._is_running or self._is_upgrading or machine is None:
            return
        self._run()
        while self._early and not (self._is_held or self._is_closing or self._is_upgrading):
            piece, self._early = self._early[:PIECE_BYTES], self._early[PIECE_BYTES:]
            machine.receive(piece, self._touched)
            self._run()
        if self._is_half_closed and not self._owes_answer:
            self._close()
        elif self._early or not self._is_reading or machine.awaits_answer:
            self._steer()

    @property
    def _is_held(self) -> bool:
        """True while nothing more may be given to the machine."""
        machine = self._machine
        return (
            self._waits_for_disk
            or self._waits_for_client
            or (machine is not None and machine.awaits_answer)
        )

    @property
    def _owes_answer(self) -> bool:
        """True while something the client said is not dealt with yet."""
        machine = self._machine
        return machine is not None and (
            machine.awaits_answer or self._waits_for_disk or bool(self._early)
        )

    def _run(self) -> None:
        """Let the session handle every event there is, then send all that was said at once."""
        machine, session = self._machine, self._session
        if machine is None or session is None:
            return
        self._is_running = True
        try:
            while not self._waits_for_disk and (event := machine.next_event()) is not None:
                answer = session.on_event(event)
                if answer is not None:
                    if type(event) is StartTls and answer.is_positive:
                        self._promise_tls(answer)
                        return
                    machine.reply(answer, self._touched)
                    session.replied()
                if machine.closing:
                    self._has_hung_up = type(event) is not Quit
        except Exception as error:  # noqa: BLE001 - journaled, and the client told to come again
            session.trouble(error)
            self._say_and_close(replies.BROKEN, "an error of our own")
        finally:
            self._is_running = False
        self._flush()

    def _flush(self) -> None:
        machine, transport = self._machine, self._transport
        if machine is None or transport is None or self._is_closing:
            return
        output = machine.take_output()
        if output:
            transport.write(output)
        if machine.closing:
            self._close()

    def answer(self, answer: Reply, for_each: Sequence[Reply] = ()) -> None:
        """An answer that had to be waited for."""
        machine, session = self._machine, self._session
        if machine is None or session is None or self._is_closing or not machine.awaits_answer:
            return
        self._touched = self._port.services.clock.monotonic()
        machine.reply(answer, self._touched, for_each)
        session.replied()
        self._has_hung_up = machine.closing
        if not self._is_running:
            self._go_on()

    def wait_for_disk(self, drained: Awaitable[None]) -> None:
        """Do nothing more for the client until the disk has caught up."""
        self._waits_for_disk = True
        asyncio.ensure_future(drained).add_done_callback(self._disk_caught_up)

    def _disk_caught_up(self, task: "asyncio.Future[None]") -> None:
        if not task.cancelled():
            task.exception()  # the end of the message meets the same error and answers it
        self._waits_for_disk = False
        self._touched = self._port.services.clock.monotonic()
        self._go_on()

    def _steer(self) -> None:
        """Read from the client only while what it says can be dealt with."""
        transport, machine = self._transport, self._machine
        if transport is None or machine is None or self._is_closing or self._is_upgrading:
            return
        ahead = len(self._early) + machine.backlog_bytes
        wants = not (self._waits_for_disk or self._waits_for_client or ahead > MAX_AHEAD_BYTES)
        if wants is not self._is_reading:
            self._is_reading = wants
            if wants:
                transport.resume_reading()
            else:
                transport.pause_reading()

    # --- TLS -------------------------------------------------------------------------------------

    def _promise_tls(self, answer: Reply) -> None:
        """Answer 220 and upgrade. Reading stops first: the next byte belongs to the handshake."""
        assert self._transport is not None
        assert self._machine is not None
        self._transport.pause_reading()
        # What was sent behind STARTTLS was said in the clear, perhaps by somebody in between.
        self._early = b""
        self._machine.reply(answer, self._touched)
        self._flush()
        self._start_tls()

    def _start_tls(self) -> None:
        transport, context = self._transport, self._port.certificates.context
        assert transport is not None
        assert context is not None  # the port would not offer it
        self._is_upgrading = True
        loop = asyncio.get_running_loop()
        spawn(self._upgrade(upgrade(transport, self, context)))
        # The task comes first; what it has queued by then (making the connection, reading on)
        # goes before the early bytes, and they before anything that is read.
        loop.call_soon(loop.call_soon, self._feed_handshake, transport)

    def _feed_handshake(self, transport: asyncio.Transport) -> None:
        """The handshake's first bytes may have come with a PROXY header, or before it began."""
        early, self._early = self._early, b""
        if early and not transport.is_closing():
            feed(transport, early)

    async def _upgrade(self, work: Awaitable[tuple[asyncio.Transport, str]]) -> None:
        clock = self._port.services.clock
        started = clock.monotonic()
        try:
            upgraded, tls = await work
        except OSError as error:
            self._upgrade_failed(error)
            return
        self._is_upgrading = self._waits_for_client = False
        self._is_reading = True
        machine, session = self._machine, self._session
        if self._transport is None or machine is None or session is None or self._is_closing:
            upgraded.abort()
            return
        self._transport = upgraded
        self._touched = clock.monotonic()
        machine.tls_started()
        session.tls_started(tls, self._touched - started)
        if self._port.listener.kind is Kind.SUBMISSIONS:
            machine.greet(self._touched)
        self._go_on()

    def _upgrade_failed(self, error: OSError) -> None:
        self._is_upgrading = False
        text = getattr(error, "reason", None) or str(error) or type(error).__name__
        log.info("reception.tls_failed", rip=self._client.ip, error=text)
        if self._session is not None:
            self._session.tls_failed(text)
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    # --- the clock and the end -------------------------------------------------------------------

    def look_at_clock(self, now: float) -> None:
        """Called every few seconds: a client that is silent or stays too long is sent away."""
        settings = self._port.services.settings
        if self._transport is None:
            return
        if self._is_closing:
            if now - self._touched > LINGER_S:
                self._transport.abort()
        elif self._is_held and not self._waits_for_client:
            return  # the client waits for us, not we for it
        elif now - self._opened > settings.session_s:
            self._say_and_close(replies.TOO_LONG, "the connection was open for too long")
        elif now - self._touched > settings.idle_s:
            self._say_and_close(replies.IDLE, "the client said nothing for too long")

    def leave(self) -> None:
        """The server stops: end at once, or after the message that is under way."""
        session = self._session
        if session is not None:
            session.is_leaving = True
            if session.is_in_message:
                return
        self._say_and_close(replies.RESTARTING, "this server was stopped")

    def abort(self) -> None:
        """Cut it; what was not answered 250 is the client's to send again."""
        if self._transport is not None:
            self._transport.abort()

    def _say_and_close(self, last: Reply, text: str) -> None:
        transport, machine = self._transport, self._machine
        if transport is None or self._is_closing:
            return
        self._end_text = text
        if not self._is_upgrading:  # nothing readable can be said in the middle of a handshake
            wire = last.encode(self._session.trace() if self._session is not None else "")
            transport.write(wire if machine is None else machine.take_output() + wire)
            if machine is not None:
                machine.dialogue.add(self._port.services.clock.monotonic(), "S", wire)
        self._close()

    def _close(self) -> None:
        """Let what was said reach the client, then close."""
        transport = self._transport
        if transport is None or self._is_closing:
            return
        self._is_closing = True
        self._early = b""
        self._touched = self._port.services.clock.monotonic()
        if self._has_hung_up and not self._is_half_closed and transport.can_write_eof():
            # It is still talking. Closing now would make the kernel reset the connection, and the
            # client would never read why: let it talk into the void until it hangs up.
            if not self._is_reading:
                transport.resume_reading()
            transport.write_eof()
        else:
            transport.close()
