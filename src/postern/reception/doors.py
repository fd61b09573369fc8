"""The listening sockets of one worker, and when it leaves connections to the others.

All workers accept from the same sockets. The kernel wakes those that idle always in the same order,
so on a quiet server one worker would get every connection that comes to stay. A worker that has
clearly more than its part therefore shuts its doors, until the others have caught up or somebody
waits whom none of them lets in.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass

from postern.reception.limits import ConnectionCounts
from postern.reception.tasks import spawn

BACKLOG = 1024
LOOK_S = 0.001
LONGEST_LOOK_S = 0.16
"""Looks become rarer while nothing changes: a worker that is shut and idle costs nothing."""


@dataclass(slots=True)
class Door:
    """One listening socket; ``server`` accepts from it, and is None while the door is shut."""

    sock: socket.socket
    protocol: Callable[[], asyncio.Protocol]
    is_unix: bool
    server: asyncio.AbstractServer | None = None


class Doors:
    """Opens and shuts the doors of one worker, all together."""

    def __init__(self, counts: ConnectionCounts) -> None:
        self._counts = counts
        counts.crowded = self._crowded
        self._doors: list[Door] = []
        self._looks: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def open(self, door: Door) -> None:
        """Accept from one more socket."""
        self._doors.append(door)
        await _serve(door)

    def close(self) -> None:
        """Let nobody in any more."""
        self._is_closed = True
        if self._looks is not None:
            self._looks.cancel()
        self._shut()
        for door in self._doors:
            door.sock.close()

    def _crowded(self) -> None:
        """This worker has clearly more than its part: the next may go to another."""
        if self._looks is None and not self._is_closed:
            self._shut()
            self._looks = asyncio.get_running_loop().call_later(LOOK_S, self._look, LOOK_S)

    def _shut(self) -> None:
        for door in self._doors:
            if door.server is not None:
                door.server.close()
                door.server = None

    def _look(self, waited_s: float) -> None:
        """Open again when the others have caught up, or leave somebody waiting."""
        if self._counts.has_its_part() or self._somebody_waits():
            spawn(self._open_again())
        else:
            wait_s = min(2 * waited_s, LONGEST_LOOK_S)
            self._looks = asyncio.get_running_loop().call_later(wait_s, self._look, wait_s)

    def _somebody_waits(self) -> bool:
        """True when a connection waits to be accepted, by whomever."""
        poll = select.poll()
        for door in self._doors:
            poll.register(door.sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def _open_again(self) -> None:
        for door in self._doors:
            if not self._is_closed:
                await _serve(door)
        self._looks = None


async def _serve(door: Door) -> None:
    """Accept from a copy of the socket: closing the server closes the copy alone."""
    loop = asyncio.get_running_loop()
    create = loop.create_unix_server if door.is_unix else loop.create_server
    door.server = await create(door.protocol, sock=door.sock.dup(), backlog=BACKLOG)
