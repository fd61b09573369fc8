"""``mailq`` as programs know it: one block a message, and a total."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol

from postern.config.load import load
from postern.config.problems import ConfigError
from postern.config.settings import Config
from postern.runtime.clock import Instant

EX_USAGE = 64
EX_CONFIG = 78

HEAD = "-Queue ID-    --Size-- ----Arrival Time---- -Sender/Recipient-------"
EMPTY = "Mail queue is empty"


class Mark(Enum):
    """What stands behind the queue id, as in Postfix's mailq(1)."""

    WAITING = " "
    ACTIVE = "*"
    HELD = "!"


class Waiting(Protocol):
    """One message that waits, as the queue tells it."""

    @property
    def trace(self) -> str:
        """Its trace code."""
        ...

    @property
    def size_bytes(self) -> int:
        """Its size."""
        ...

    @property
    def queued_at(self) -> Instant:
        """When it came."""
        ...

    @property
    def sender(self) -> str:
        """Envelope sender; empty for the null sender."""
        ...

    @property
    def is_held(self) -> bool:
        """Whether somebody holds it."""
        ...

    @property
    def reason(self) -> str:
        """Why it still waits; empty when it was not tried yet."""
        ...

    @property
    def recipients(self) -> Sequence[str]:
        """Who has not got it yet."""
        ...


def main(arguments: list[str]) -> int:
    """Run ``mailq``; returns an exit code of sysexits.h."""
    if [word for word in arguments if word not in {"-v", "-Ac", "-bp"}]:
        sys.stderr.write("mailq: takes no arguments; 'postern queue' tells more\n")
        return EX_USAGE
    try:
        config = load()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG
    return print_queue(config)


def print_queue(config: Config) -> int:
    """Print what waits; returns the exit code."""
    from postern.queue.view import queued_messages  # noqa: PLC0415 - loads the spool

    for line in listing(queued_messages(config.data_dir / "spool")):
        print(line)
    return 0


def listing(messages: Iterable[Waiting]) -> Iterable[str]:
    """The lines of ``mailq`` for these messages."""
    count = size_bytes = 0
    for message in messages:
        if not count:
            yield HEAD
        count += 1
        size_bytes += message.size_bytes
        mark = Mark.HELD if message.is_held else Mark.WAITING
        # People read it in the machine's own time, as they do in every other mailq.
        arrived = datetime.fromtimestamp(message.queued_at).astimezone()
        yield (
            f"{message.trace}{mark.value} {message.size_bytes:8d} {arrived:%a %b %d %H:%M:%S}"
            f"  {message.sender or 'MAILER-DAEMON'}"
        )
        if message.reason:
            yield f"{'':>8}({_one_line(message.reason)})"
        for recipient in message.recipients:
            yield f"{'':>44}{recipient}"
        yield ""
    if not count:
        yield EMPTY
    else:
        yield f"-- {size_bytes // 1024} Kbytes in {count} Request{'' if count == 1 else 's'}."


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
