"""The messages a worker has in memory: one copy of each, kept while it may not be read anew."""

from collections.abc import Callable, Iterable, Mapping

from postern.spool.message import DeliveryState, Message

MESSAGE_BYTES = 4096
DELIVERY_BYTES = 1024
ORDINARY_BYTES = 4096 + MESSAGE_BYTES + DELIVERY_BYTES
"""What a message and each of its deliveries cost in memory, beside the body."""


class Desk:
    """Messages at work, by number. For the loop's thread.

    A message stays while a delivery of it is busy, and until the disk knows all that was decided: a
    row that tells less than we know must not be read again, for what it says is still to be
    delivered may have been delivered a moment ago.
    """

    def __init__(self, budget_bytes: int, on_room: Callable[[], None]) -> None:
        self._budget_bytes = budget_bytes
        self._on_room = on_room
        self._messages: dict[int, Message] = {}
        self._unwritten: dict[int, int] = {}
        self._bytes = 0

    @property
    def messages(self) -> Mapping[int, Message]:
        """The copies that may be changed."""
        return self._messages

    @property
    def fresh(self) -> int:
        """Deliveries at their first attempt."""
        return sum(
            d.state is DeliveryState.FRESH for m in self._messages.values() for d in m.deliveries
        )

    @property
    def fair_share(self) -> int:
        """Ordinary messages that fill half of it: more no group may have waiting in it."""
        return max(1, self._budget_bytes // 2 // ORDINARY_BYTES)

    @property
    def is_full(self) -> bool:
        """True when no more should be brought into memory."""
        return self._bytes > self._budget_bytes

    def take(self, message: Message) -> Message:
        """The copy to work on of a message: this one, unless there is one already."""
        found = self._messages.setdefault(message.id, message)
        if found is message:
            self._bytes += _cost_bytes(message)
        return found

    def take_all(self, messages: Iterable[Message]) -> list[Message]:
        """``take`` each; those that came in."""
        new = [message for message in messages if message.id not in self._messages]
        for message in new:
            self.take(message)
        return new

    def let_go(self, message: Message) -> None:
        """Drop a message once nobody is at work on it and nothing about it is unwritten."""
        # Another copy, read from disk meanwhile, must not push out the one that is worked on.
        if self._messages.get(message.id) is not message or message.id in self._unwritten:
            return
        if not any(d.busy for d in message.deliveries):
            del self._messages[message.id]
            self._bytes -= _cost_bytes(message)
            self._on_room()

    def writing(self, message: Message) -> None:
        """Something about it is on its way to the disk."""
        self._unwritten[message.id] = self._unwritten.get(message.id, 0) + 1

    def written(self, message: Message) -> None:
        """It has arrived there, or never will."""
        left = self._unwritten.pop(message.id) - 1
        if left:
            self._unwritten[message.id] = left


def _cost_bytes(message: Message) -> int:
    body = len(message.content.in_memory or b"")
    return body + MESSAGE_BYTES + DELIVERY_BYTES * len(message.deliveries)
