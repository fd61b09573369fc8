"""Reads mail back from a spool's file: what can't be read now keeps nobody else's mail."""

import sqlite3
from collections.abc import Callable, Collection, Iterable

import structlog

from postern.spool.message import Claim, Message
from postern.spool.store.file import SpoolFile

log = structlog.get_logger("postern.spool")

MAX_UNREAD = 200
"""So many unreadable messages are passed over for what is due behind them."""
AGAIN_S = 60.0

Load = Callable[[SpoolFile, int], Message | None]
"""Reads one message; None where there is none."""


def claim(
    spool: SpoolFile,
    load: Load,
    group: str,
    limit: int,
    known: Collection[int],
    after: tuple[float, int, int] | None,
    now: float,
) -> Claim:
    """Deliveries of ``group`` that are due, or that come after a place, see ``Spool.claim``.

    Raises:
        OSError, sqlite3.Error: the disk gives nothing of what is due.
    """
    loaded: dict[int, Message] = {}
    unread: dict[int, Exception] = {}
    while True:
        tried = len(unread)
        place = None
        if after is None:
            due = spool.due(group, now, limit + tried)
        else:
            due, place = spool.waiting_after(group, after, limit + tried)
        wanted = dict.fromkeys(number for number, _ in due if number not in known)
        new = [number for number in wanted if number not in loaded and number not in unread]
        _read(spool, load, new, loaded, unread)
        if len(unread) == tried or tried >= MAX_UNREAD:
            break
    due = [pair for pair in due if pair[0] not in unread]
    if unread and not due:
        raise next(iter(unread.values()))
    next_due = spool.next_due(group, now)
    if unread:
        next_due = now + AGAIN_S if next_due is None else min(next_due, now + AGAIN_S)
    return Claim(due, list(loaded.values()), next_due, place)


def load_all(spool: SpoolFile, load: Load, numbers: Iterable[int]) -> list[Message]:
    """The messages that can be read now."""
    loaded: dict[int, Message] = {}
    _read(spool, load, numbers, loaded, {})
    return list(loaded.values())


def _read(
    spool: SpoolFile,
    load: Load,
    numbers: Iterable[int],
    loaded: dict[int, Message],
    unread: dict[int, Exception],
) -> None:
    """Put each message where it belongs; one that was damaged, and set aside, belongs nowhere."""
    for number in numbers:
        try:
            message = load(spool, number)
        except (OSError, sqlite3.Error) as error:
            log.warning("spool.unread", message=f"{number:x}", error=str(error))
            unread[number] = error
        else:
            if message is not None:
                loaded[number] = message
