"""A server for policies, as real as it gets on loopback: HTTPS with a certificate of a test's."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.peers.certificates import KeyPair


def policy(mode: str, *hosts: str, max_age: int = 604_800) -> bytes:
    """A policy's text."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts)]
    return "".join(f"{line}\r\n" for line in (*lines, f"max_age: {max_age}")).encode()


@dataclass
class PolicyServer:
    """What it serves, and what it was asked for."""

    body: bytes = b""
    status: str = "200 OK"
    kind: str = "text/plain; charset=utf-8"
    more: str = ""
    raw: bytes | None = None
    is_silent: bool = False
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if self.is_silent:
                await reader.read()
                return
            head = (
                f"HTTP/1.1 {self.status}\r\nContent-Type: {self.kind}\r\n{self.more}"
                f"Content-Length: {len(self.body)}\r\n\r\n"
            )
            writer.write(head.encode() + self.body if self.raw is None else self.raw)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def policy_server(
    pair: KeyPair, served: PolicyServer, ip: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[PolicyServer]:
    """Run it on a loopback port, free if none is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    server = await asyncio.start_server(served.serve, ip, port, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    async with server:
        yield served
