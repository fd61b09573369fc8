"""The bytes of one connection: in to the machine, out to the client, and the clock over both."""

import asyncio
import socket
import struct
from collections.abc import Awaitable

import structlog

from postern.mail.reply import Reply, reply
from postern.mail.smtp.events import StartTls
from postern.mail.smtp.server import ServerMachine
from postern.reception.client import Client
from postern.reception.limits import limit_key, parse_ip
from postern.reception.port import Port
from postern.reception.proxy import BadHeader, Header, NotYet, ProxiedClient, parse_proxy_header
from postern.reception.session import Session
from postern.reception.settings import Kind, Network
from postern.reception.tls import describe

log = structlog.get_logger("postern.reception")

TLS_HANDSHAKE_S = 60.0
LINGER_S = 10.0
"""How long what we said last may take to reach a client that reads slowly."""

IDLE = reply(421, "4.4.2", "You said nothing for too long; goodbye")
TOO_LONG = reply(421, "4.4.2", "This connection has been open for too long; goodbye")
RESTARTING = reply(421, "4.3.2", "This server is restarting; please come back in a moment")
NO_PROXY_HEADER = reply(421, "4.7.0", "This port expects a PROXY header, and none came")


class Connection(asyncio.Protocol):
    """One connection, from accept to close."""

    __slots__ = (
        "_client",
        "_closing",
        "_early",
        "_is_paused",
        "_key",
        "_loop",
        "_machine",
        "_opened",
        "_port",
        "_running",
        "_session",
        "_touched",
        "_transport",
        "_waits",
    )

    def __init__(self, port: Port) -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._client = Client("", 0, port.listener)
        self._machine: ServerMachine | None = None
        self._session: Session | None = None
        self._early = b""
        self._key = ""
        self._opened = self._touched = self._loop.time()
        self._running = False
        self._closing = False
        self._is_paused = False
        self._waits = 0

    # --- what the loop calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted: find out who it is, and greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._port.connections.add(self)
        listener = self._port.listener
        if listener.is_unix:
            self._client.is_relay = True
            self._client.local_user = _peer_user(transport)
            self._begin("")
            return
        peer = transport.get_extra_info("peername") or ("", 0)
        ip, port = str(peer[0]), int(peer[1])
        if _is_within(ip, listener.proxy_protocol):
            return  # data_received waits for the header; look_at_clock for its time
        self._identify(ip, port)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        now = self._touched = self._loop.time()
        machine = self._machine
        if machine is None:
            self._proxy_data(data)
            return
        machine.receive(data, now)
        if not self._running:
            self._run()

    def eof_received(self) -> bool:
        """The client will say nothing more; what it is owed is still sent."""
        return self._machine is not None and self._machine.awaits_answer

    def connection_lost(self, error: Exception | None) -> None:
        """Gone, for whichever reason."""
        self._port.connections.discard(self)
        if self._key:
            self._port.counts.leave(self._key)
            self._key = ""
        if self._session is not None:
            reason = "" if self._closing else _lost_text(error)
            self._session.closed(reason)
        self._transport = None

    # --- who is it -------------------------------------------------------------------------------

    def _proxy_data(self, data: bytes) -> None:
        self._early += data
        match parse_proxy_header(self._early):
            case NotYet():
                return
            case BadHeader(text=text):
                log.warning("reception.proxy", text=text)
                self._say_and_close(NO_PROXY_HEADER)
            case Header(client=client, length=length):
                rest, self._early = self._early[length:], b""
                self._proxied(client)
                if rest and self._machine is not None:
                    self.data_received(rest)

    def _proxied(self, client: ProxiedClient) -> None:
        if client.ip:
            self._identify(client.ip, client.port)
        else:
            self._identify("127.0.0.1", 0)  # the balancer's own health check

    def _identify(self, ip: str, port: int) -> None:
        self._client.ip = ip
        self._client.port = port
        self._client.is_relay = _is_within(ip, self._port.listener.relay_from)
        self._key = limit_key(ip)
        self._begin(self._port.counts.enter(self._key))

    def _begin(self, turned_away: str) -> None:
        if self._port.listener.kind is Kind.SUBMISSIONS and not turned_away:
            if not self._client.tls:
                self._start_tls()
            return
        self._greet(turned_away)

    def _greet(self, turned_away: str) -> None:
        machine = ServerMachine(self._port.speaks, tls_active=bool(self._client.tls))
        self._machine = machine
        session = Session(
            self._port.services, self._client, machine, self._answer, self._pause_until
        )
        self._session = session
        now = self._loop.time()
        if turned_away:
            session.connected(turned_away)
            machine.trace = session.trace()
            machine.greet_with(reply(421, "4.7.0", turned_away.capitalize()), now)
        else:
            session.connected()
            machine.greet(now)
        self._run()

    # --- the conversation ------------------------------------------------------------------------

    def _run(self) -> None:
        """Let the session handle every event there is, then send all that was said at once."""
        machine, session = self._machine, self._session
        assert machine is not None
        assert session is not None
        self._running = True
        try:
            while (event := machine.next_event()) is not None:
                answer = session.on_event(event)
                if answer is not None:
                    if type(event) is StartTls and answer.is_positive:
                        self._promise_tls(answer)
                        return
                    machine.reply(answer, self._loop.time())
                if self._is_paused:
                    break
        finally:
            self._running = False
        self._flush()

    def _flush(self) -> None:
        machine, transport = self._machine, self._transport
        if machine is None or transport is None:
            return
        output = machine.take_output()
        if output:
            transport.write(output)
        if machine.closing:
            self._close()

    def _answer(self, answer: Reply) -> None:
        """An answer that had to be waited for."""
        machine = self._machine
        if self._transport is None or machine is None or not machine.awaits_answer:
            return
        self._touched = self._loop.time()
        machine.reply(answer, self._touched)
        if not self._running:
            self._run()

    def _pause_until(self, wait: Awaitable[None]) -> None:
        """Read nothing more from the client until the disk has caught up."""
        if self._is_paused or self._transport is None:
            asyncio.ensure_future(wait).cancel()
            return
        self._is_paused = True
        self._transport.pause_reading()
        task = asyncio.ensure_future(wait)
        task.add_done_callback(self._resume)

    def _resume(self, task: "asyncio.Future[None]") -> None:
        if not task.cancelled():
            task.exception()  # the end of the message meets the same error and answers it
        self._is_paused = False
        if self._transport is not None:
            self._touched = self._loop.time()
            self._transport.resume_reading()
            if not self._running:
                self._run()

    # --- TLS -------------------------------------------------------------------------------------

    def _promise_tls(self, answer: Reply) -> None:
        """Answer 220 and upgrade. Reading stops first: the next byte belongs to the handshake."""
        assert self._transport is not None
        assert self._machine is not None
        self._transport.pause_reading()
        self._machine.reply(answer, self._loop.time())
        self._flush()
        self._start_tls()

    def _start_tls(self) -> None:
        self._waits += 1
        task = self._loop.create_task(self._upgrade())
        task.add_done_callback(self._upgraded)

    async def _upgrade(self) -> None:
        transport, context = self._transport, self._port.certificates.context
        assert transport is not None
        assert context is not None
        started = self._loop.time()
        upgraded = await self._loop.start_tls(
            transport, self, context, server_side=True, ssl_handshake_timeout=TLS_HANDSHAKE_S
        )
        if upgraded is None or self._transport is None:
            raise ConnectionResetError("the client went away in the handshake")
        self._transport = upgraded
        self._touched = self._loop.time()
        tls = describe(upgraded.get_extra_info("ssl_object"))
        if self._machine is None:
            self._client.tls = tls
            self._greet("")
        else:
            self._machine.tls_started()
            assert self._session is not None
            self._session.tls_started(tls, self._touched - started)

    def _upgraded(self, task: "asyncio.Task[None]") -> None:
        self._waits -= 1
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        log.info("reception.tls_failed", rip=self._client.ip, error=str(error) or repr(error))
        if self._session is not None:
            self._session.tls_failed(str(error) or type(error).__name__)
        if self._transport is not None:
            self._transport.abort()

    # --- the clock and the end -------------------------------------------------------------------

    def look_at_clock(self, now: float) -> None:
        """Called every few seconds: a client that is silent or stays too long is sent away."""
        settings = self._port.services.settings
        if self._transport is None:
            return
        if self._closing:
            if now - self._touched > LINGER_S:
                self._transport.abort()
        elif self._machine is None and not self._waits:
            if now - self._opened > settings.proxy_header_s:
                self._say_and_close(NO_PROXY_HEADER)
        elif now - self._opened > settings.session_s:
            self._say_and_close(TOO_LONG)
        elif now - self._touched > settings.idle_s and not self._is_busy:
            self._say_and_close(IDLE)

    @property
    def _is_busy(self) -> bool:
        """True while the client waits for us, not we for it."""
        machine = self._machine
        return self._is_paused or (machine is not None and machine.awaits_answer)

    def leave(self) -> bool:
        """The server stops: True when this connection could be ended at once."""
        session = self._session
        if session is not None:
            session.is_leaving = True
            if session.is_in_message:
                return False
        self._say_and_close(RESTARTING)
        return True

    def abort(self) -> None:
        """Cut the connection; what was not answered 250 is the client's to send again."""
        if self._transport is not None:
            self._transport.abort()

    def _say_and_close(self, last: Reply) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        trace = self._session.trace() if self._session is not None else ""
        if not self._waits:  # nothing readable can be said in the middle of a handshake
            transport.write(last.encode(trace))
        self._close()

    def _close(self) -> None:
        self._closing = True
        self._touched = self._loop.time()
        if self._transport is not None:
            self._transport.close()


def _is_within(ip: str, networks: tuple[Network, ...]) -> bool:
    if not networks or not ip:
        return False
    address = parse_ip(ip)
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


def _peer_user(transport: asyncio.Transport) -> str:
    """``uid:1000``: who is at the other end of a unix socket, told by the kernel."""
    sock = transport.get_extra_info("socket")
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", raw)
    return f"uid:{uid}"


def _lost_text(error: Exception | None) -> str:
    if error is None:
        return "the client closed the connection without QUIT"
    return f"the connection broke: {error}"
