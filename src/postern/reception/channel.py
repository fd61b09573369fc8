"""What a session asks of the connection it talks through."""

from collections.abc import Awaitable, Sequence
from enum import Enum
from typing import Protocol

from postern.mail.reply import Reply


class Channel(Protocol):
    """The connection, as its session needs it."""

    def answer(self, answer: Reply, for_each: Sequence[Reply] = ()) -> None:
        """Answer the question that is open; nothing happens when the client has gone.

        ``for_each``: what each recipient of a message is told in front of it (PRDR).
        """
        ...

    def wait_for_disk(self, drained: Awaitable[None]) -> None:
        """Do nothing more for the client until then."""
        ...


class Ending(Enum):
    """How a transaction ends with the reply that is about to be said."""

    ACCEPTED = "accepted"  # the message is ours, and carries its conversation
    REFUSED = "refused"
