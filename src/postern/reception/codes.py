"""Numbers and trace codes for this worker's conversations."""

from typing import Protocol

from postern.mail.tracecode import TraceCodes, message_id


class CounterBlocks(Protocol):
    """Gives out counters that no other process, and no later start, is given again."""

    def next(self) -> int:
        """The next counter of 36 bits."""
        ...


class Numbers:
    """Makes the number of a conversation, and its code."""

    def __init__(self, node: int, counter: CounterBlocks, codes: TraceCodes) -> None:
        self._node = node
        self._counter = counter
        self._codes = codes

    def next(self) -> tuple[int, str]:
        """A new number and its trace code."""
        number = message_id(self._node, self._counter.next())
        return number, self._codes.encode(number)
