"""One query to one server, within one time limit.

Every query has a socket of its own, so that the kernel gives it a random port; it is connected, so
that the kernel drops what others send, and tells at once when nobody listens there. dnspython's own
asyncio sockets do neither.
"""

import asyncio
import ssl
from enum import Enum

from postern.mail.dns import Answer
from postern.runtime.resolver.settings import Server, Transport
from postern.runtime.resolver.wire import Query, Unfit, read_response

MAX_STRANGERS = 50
"""Wrong datagrams before a query is given up: somebody is guessing ids."""


class Failure(Enum):
    """No answer came."""

    SILENT = "silent"
    BROKEN = "broken"  # nobody listens, the network is unreachable, TLS or framing failed


async def exchange(
    query: Query,
    server: Server,
    transport: Transport,
    timeout_s: float,
    *,
    tls: ssl.SSLContext | None = None,
    tls_name: str = "",
) -> Answer | Failure:
    """Ask ``server`` once. An answer cut short over UDP is asked for again over TCP."""
    try:
        async with asyncio.timeout(timeout_s):
            if transport is Transport.UDP:
                result = await _by_datagram(query, server)
                if not isinstance(result, Unfit):
                    return result
                return await _by_stream(query, server, None, "")
            context = tls if transport is Transport.TLS else None
            return await _by_stream(query, server, context, tls_name or server.ip)
    except TimeoutError:
        return Failure.SILENT
    except (OSError, EOFError):
        return Failure.BROKEN


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the one datagram that answers ``query``; others may come before it."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._strangers = 0
        loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Answer | Failure | Unfit] = loop.create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        reading = read_response(self._query, data)
        if reading is not Unfit.NOT_OURS:
            self._settle(reading)
            return
        self._strangers += 1
        if self._strangers > MAX_STRANGERS:
            self._settle(Failure.BROKEN)

    def error_received(self, exc: Exception) -> None:
        self._settle(Failure.BROKEN)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(Failure.BROKEN)

    def _settle(self, result: Answer | Failure | Unfit) -> None:
        if not self.result.done():
            self.result.set_result(result)


async def _by_datagram(query: Query, server: Server) -> Answer | Failure | Unfit:
    loop = asyncio.get_running_loop()
    transport, waiting = await loop.create_datagram_endpoint(
        lambda: _Waiting(query), remote_addr=(server.ip, server.port)
    )
    try:
        transport.sendto(query.wire)
        return await waiting.result
    finally:
        transport.abort()


async def _by_stream(
    query: Query, server: Server, tls: ssl.SSLContext | None, tls_name: str
) -> Answer | Failure:
    reader, writer = await asyncio.open_connection(
        server.ip, server.port, ssl=tls, server_hostname=tls_name if tls is not None else None
    )
    try:
        writer.write(len(query.wire).to_bytes(2) + query.wire)
        await writer.drain()
        size_bytes = int.from_bytes(await reader.readexactly(2))
        reading = read_response(query, await reader.readexactly(size_bytes))
        return Failure.BROKEN if isinstance(reading, Unfit) else reading
    finally:
        writer.transport.abort()
