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
) -> tuple[asyncio.Transport, str]:
    """Shake hands; returns the encrypted transport, and its version and cipher.

    Args:
        transport: plain until now.
        protocol: gets what is decrypted, from the first byte on.
        context: our certificate.

    Raises:
        OSError: the handshake failed (``ssl.SSLError`` is one), or the client went away in it.
    """
    loop = asyncio.get_running_loop()
    encrypted = await loop.start_tls(
        transport, protocol, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
    )
    # A client that left in the middle ends the wait without an error, and without a cipher.
    tls = None if encrypted is None else encrypted.get_extra_info("ssl_object")
    if encrypted is None or tls is None or tls.cipher() is None:
        raise ConnectionResetError("the client went away during the TLS handshake")
    return encrypted, describe(tls)


def feed(transport: asyncio.Transport, early: bytes) -> None:
    """Give the handshake the bytes that were read before it began."""
    protocol = cast("asyncio.BufferedProtocol", transport.get_protocol())
    while early:
        buffer = memoryview(cast("bytearray", protocol.get_buffer(len(early))))
        count = min(len(buffer), len(early))
        buffer[:count] = early[:count]
        protocol.buffer_updated(count)
        early = early[count:]
