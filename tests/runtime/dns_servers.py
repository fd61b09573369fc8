"""DNS servers that do as a test tells them: lie, fail, keep silent, count what they were asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Reply = bytes | None
Script = Callable[[dns.message.Message], list[bytes]]


def answering(query: dns.message.Message, *records: str, ttl: int = 300) -> bytes:
    """A recursive server's answer with ``records`` of the type asked."""
    response = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    if records:
        response.answer.append(
            dns.rrset.from_text(question.name, ttl, question.rdclass, question.rdtype, *records)
        )
    return response.to_wire()


def failing(query: dns.message.Message, rcode: int = dns.rcode.SERVFAIL) -> bytes:
    """A recursive server that failed."""
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(dns.rcode.Rcode(rcode))
    return response.to_wire()


class ScriptedServer(asyncio.DatagramProtocol):
    """Sends what ``script`` makes of each query; remembers all queries and where they came from."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.queries: list[dns.message.Message] = []
        self.ports: list[int] = []
        self.transport: asyncio.DatagramTransport | None = None
        self._asked = asyncio.Event()
        self._answered = 0

    @property
    def address(self) -> str:
        assert self.transport is not None
        host, port = self.transport.get_extra_info("sockname")
        return f"{host}:{port}"

    async def wait_for(self, number: int) -> None:
        """Return once so many queries have come in."""
        while len(self.queries) < number:
            self._asked.clear()
            await self._asked.wait()

    def answer_all(self, script: Script) -> None:
        """Answer by ``script`` every query that was not answered so."""
        assert self.transport is not None
        for query, port in list(zip(self.queries, self.ports, strict=True))[self._answered :]:
            self._answered += 1
            for wire in script(query):
                self.transport.sendto(wire, ("127.0.0.1", port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.queries.append(query)
        self.ports.append(addr[1])
        self._asked.set()
        assert self.transport is not None
        for wire in self.script(query):
            self.transport.sendto(wire, addr)


@asynccontextmanager
async def udp_server(script: Script, port: int = 0) -> AsyncIterator[ScriptedServer]:
    """A UDP server on a loopback port, free if none is given."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: ScriptedServer(script), local_addr=("127.0.0.1", port)
    )
    server.transport = transport  # here, for asyncio's own class is no DatagramTransport in 3.11
    try:
        yield server
    finally:
        transport.close()


@asynccontextmanager
async def stream_server(
    script: Script, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[str]:
    """A TCP or TLS server; yields its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2))
            query = dns.message.from_wire(await reader.readexactly(size))
            for wire in script(query):
                writer.write(len(wire).to_bytes(2) + wire)
            await writer.drain()
            await reader.read()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
    async with server:
        yield "{}:{}".format(*server.sockets[0].getsockname())
