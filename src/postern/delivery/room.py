"""How much room a mailbox has for one more message: values, and who knows it."""

from collections.abc import Awaitable
from enum import IntEnum
from typing import Protocol

from postern.directory.resolution import Resolved, Store

GRACE = 0.1
"""The part of a limit that mail already taken, and mail to several mailboxes at once, may exceed
it by."""


class Room(IntEnum):
    """Whether a message fits; the graver the higher."""

    ENOUGH = 0
    UNKNOWN = 1  # nobody could tell: never a reason to turn mail away
    FULL = 2  # it does not fit now
    OVERFULL = 3  # nor would it with the grace
    NEVER = 4  # it is larger than all that the mailbox may ever hold


class Measure(Protocol):
    """Knows how full mailboxes are."""

    def concerns(self, resolved: Resolved) -> bool:
        """Whether any of these mailboxes could be too full; costs nothing where no limit is set."""
        ...

    def room(self, store: Store, size_bytes: int) -> Room | Awaitable[Room]:
        """Whether a message of this size fits into the mailbox; 0: its size was not told."""
        ...


def room_in(used_bytes: int, quota_bytes: int, size_bytes: int) -> Room:
    """Whether a message fits where so much is used of so much."""
    if size_bytes > quota_bytes:
        return Room.NEVER
    after = used_bytes + max(size_bytes, 1)
    if after <= quota_bytes:
        return Room.ENOUGH
    return Room.FULL if after <= quota_bytes * (1 + GRACE) else Room.OVERFULL
