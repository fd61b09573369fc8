"""aiosmtpd as fast as it goes: one process on uvloop, messages dropped. Argument: the port."""

import asyncio
import sys

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

LARGEST_BYTES = 100_000_000


class Drop:
    """Says yes to everything."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Forget the message."""
        del server, session, envelope
        return "250 OK"


async def serve(port: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Drop(), data_size_limit=LARGEST_BYTES, hostname="aiosmtpd.test", loop=loop),
        "127.0.0.1",
        port,
        backlog=1024,
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
