"""A connection that comes through a load balancer: first its PROXY header, then the client."""

import asyncio
from typing import cast

import structlog

from postern.reception import replies
from postern.reception.connection import Connection
from postern.reception.limits import plain_ip
from postern.reception.peer import is_within, peer_address
from postern.reception.port import Port
from postern.reception.proxy import BadHeader, Header, NotYet, parse_proxy_header

log = structlog.get_logger("postern.reception")


def accept(port: Port) -> asyncio.Protocol:
    """What serves the next connection of ``port``."""
    return ProxiedStart(port) if port.listener.proxy_protocol else Connection(port)


class ProxiedStart(asyncio.Protocol):
    """Reads the header, then hands the connection over to a ``Connection``."""

    __slots__ = ("_early", "_peer", "_port", "_timer", "_transport")

    def __init__(self, port: Port) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early = b""
        self._peer = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted: from the balancer a header must come, anybody else is served as usual."""
        self._transport = cast("asyncio.Transport", transport)
        port = self._port
        peer = peer_address(transport)
        if peer is None:
            transport.close()
        elif not is_within(peer[0], port.listener.proxy_protocol):
            self._hand_over(peer, may_relay=True)
        else:
            self._peer = peer
            port.connections.add(self)
            limit_s = port.services.settings.proxy_header_s
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(limit_s, self._give_up, "none came in time")

    def data_received(self, data: bytes) -> None:
        """Bytes from the balancer; what follows the header is the client's."""
        self._early += data
        match parse_proxy_header(self._early):
            case NotYet():
                return
            case BadHeader(text=text):
                self._give_up(text)
            case Header(client=client, length=length):
                self._early = self._early[length:]
                self._forget()
                if client.ip:
                    self._hand_over((plain_ip(client.ip), client.port), may_relay=True)
                else:
                    # LOCAL and UNKNOWN are the balancer's own health checks, or clients it can't
                    # name: served under its address, never as if that might send to anyone.
                    self._hand_over(self._peer, may_relay=False)

    def connection_lost(self, error: Exception | None) -> None:
        """Gone before anybody was named."""
        self._forget()

    def look_at_clock(self, now: float) -> None:
        """Nothing to do: a timer of its own ends the wait to the second."""

    def leave(self) -> None:
        """The server stops."""
        self.abort()

    def abort(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self, text: str) -> None:
        log.warning("reception.proxy", rip=self._peer[0], text=text)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(replies.NO_PROXY_HEADER.encode(self._trace()))
            self._transport.close()

    def _trace(self) -> str:
        _, trace = self._port.services.numbers.next()
        return trace

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._port.connections.discard(self)

    def _hand_over(self, client: tuple[str, int], *, may_relay: bool) -> None:
        transport, self._transport = self._transport, None
        assert transport is not None
        connection = Connection(self._port)
        transport.set_protocol(connection)
        connection.introduced(transport, client, self._early, may_relay=may_relay)
