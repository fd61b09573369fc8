"""TLS over a connection that is already open: for STARTTLS, and for ports where TLS comes first."""

import asyncio
import ssl
from typing import cast

from postern.reception.tls import describe

HANDSHAKE_S = 60.0


async def upgrade(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    early: bytes = b"",
) -> tuple[asyncio.Transport, str]:
    """Shake hands; returns the encrypted transport, and its version and cipher.

    Args:
        transport: reading from it is paused.
        protocol: gets what is decrypted, from the first byte on.
        context: our certificate.
        early: the handshake's first bytes, where they came together with a PROXY header.

    Raises:
        OSError: the handshake failed (``ssl.SSLError`` is one), or the client went away in it.
    """
    loop = asyncio.get_running_loop()
    if early:
        # start_tls runs up to its first wait before this is called, and what it has put into the
        # loop's queue by then (making the connection, reading on) comes before the early bytes,
        # which come before anything that is read.
        loop.call_soon(lambda: loop.call_soon(_feed, transport, early))
    encrypted = await loop.start_tls(
        transport, protocol, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
    )
    # A client that left in the middle ends the wait without an error, and without a cipher.
    tls = None if encrypted is None else encrypted.get_extra_info("ssl_object")
    if encrypted is None or tls is None or tls.cipher() is None:
        raise ConnectionResetError("the client went away during the TLS handshake")
    return encrypted, describe(tls)


def _feed(transport: asyncio.Transport, early: bytes) -> None:
    """Give the handshake the bytes that were read before it began."""
    if transport.is_closing():
        return
    protocol = cast("asyncio.BufferedProtocol", transport.get_protocol())
    while early:
        buffer = memoryview(cast("bytearray", protocol.get_buffer(len(early))))
        count = min(len(buffer), len(early))
        buffer[:count] = early[:count]
        protocol.buffer_updated(count)
        early = early[count:]
