"""Whether what was written has come to the other machine, as far as ours knows.

A message that rides right behind its envelope may be lost with its line before a single reply. Who
has it then? What Linux says of it, measured on loopback with and without TLS, on both loops:

=========================================  ===============  =================================
the peer                                   how it ends      octets not acknowledged
=========================================  ===============  =================================
closed, and our write crossed that         end of file      all of them, for good
read everything, then closed               end of file      none (at most a closing alert)
read everything, then reset                an error         none, or all while ACKs are delayed
was gone for long (reset while it rested)  an error         none: nothing could be sent
=========================================  ===============  =================================

So an end of file tells, and a reset does not: one that comes when the message is on its way counts
as if it were read. Lines that ended while they rested are found out by ``is_quiet`` before anything
is sent over them.
"""

import asyncio
import fcntl
import os
import select
import sys
import termios

_NUMBER = bytes(4)
_GOODBYE_BYTES = 128
"""More than the alert with which TLS closes, which our side sends by itself at the end of file."""


def has_arrived(transport: asyncio.Transport | None) -> bool:
    """Whether the peer's machine has acknowledged all that was written; True: couldn't tell.

    While the last octet is not acknowledged the peer has not the whole message, and another may be
    given it. A machine takes in a message, and its program may never read it: then it is not known
    what becomes of it (RFC 1047).
    """
    return transport is not None and unacknowledged(transport) == 0


def unacknowledged(transport: asyncio.Transport | None) -> int:
    """Octets that were written and not acknowledged; 0: none, or couldn't tell."""
    if transport is None:
        return 0
    line = transport.get_extra_info("socket")
    left = 0 if line is None else _left(line.fileno())
    return int(transport.get_write_buffer_size()) + left


def is_quiet(transport: asyncio.Transport | None) -> bool:
    """Whether the peer has neither spoken nor hung up: asked of the kernel, as the loop is late."""
    line = None if transport is None else transport.get_extra_info("socket")
    if line is None or line.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(line.fileno(), select.POLLIN)  # an end and an error are told of unasked
    return not poll.poll(0)


class Parcel:
    """A message on its way in one write with its envelope: whether it was lost on the line.

    Holds the socket by a descriptor of its own, for under TLS the loops have closed theirs when
    they tell of the end; ``close`` it.

    Args:
        transport: what it is sent over.
        octets: how many are sent.
        is_encrypted: our side will say goodbye by itself.
    """

    __slots__ = ("_fd", "_is_lost", "_most_left")

    def __init__(
        self, transport: asyncio.Transport | None, octets: int, *, is_encrypted: bool
    ) -> None:
        self._most_left = min(_GOODBYE_BYTES, octets - 1) if is_encrypted else 0
        line = None if transport is None else transport.get_extra_info("socket")
        try:
            self._fd = -1 if line is None else os.dup(line.fileno())
        except OSError:
            self._fd = -1
        # The loop may have seen the end already: then nothing is written any more.
        is_over = transport is None or transport.is_closing()
        self._is_lost: bool | None = True if is_over else None

    def line_ended(self) -> None:
        """Look, once: the peer has closed the line."""
        if self._is_lost is None:
            self._is_lost = self._fd >= 0 and _left(self._fd) > self._most_left

    def is_lost_with(self, error: Exception | None) -> bool:
        """Whether it cannot have come there whole, on a line that ended so; False: it may have."""
        if error is None or isinstance(error, BrokenPipeError):  # the latter: closed, and we wrote
            self.line_ended()
        return self._is_lost is True

    def close(self) -> None:
        """Let go of the socket."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _left(descriptor: int) -> int:
    try:
        # SIOCOUTQ of Linux, tcp(7): octets that are not sent, or not acknowledged.
        left = fcntl.ioctl(descriptor, termios.TIOCOUTQ, _NUMBER)
    except OSError:  # a unix socket, or another system
        return 0
    return int.from_bytes(left, sys.byteorder)
