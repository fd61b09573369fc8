"""Whether what was written has come to the other machine, as far as ours knows."""

import asyncio
import fcntl
import sys
import termios

_NUMBER = bytes(4)


def has_arrived(transport: asyncio.Transport | None) -> bool:
    """Whether the peer's machine has acknowledged all that was written; True: couldn't tell.

    While the last octet is not acknowledged the peer has not the whole message, and another may be
    given it. A machine takes in a message, and its program may never read it: then it is not known
    what becomes of it (RFC 1047).
    """
    if transport is None or transport.get_write_buffer_size():
        return False
    line = transport.get_extra_info("socket")
    try:
        # SIOCOUTQ of Linux, tcp(7): octets that are not sent, or not acknowledged.
        left = fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, _NUMBER)
    except (OSError, AttributeError):  # a unix socket, or another system
        return True
    return int.from_bytes(left, sys.byteorder) == 0
