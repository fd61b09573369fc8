"""What can be read of a damaged spool's file is copied into a new one, message by message."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice

from postern.spool.store.schema import (
    INSERT_DELIVERY,
    INSERT_MESSAGE,
    READ_DELIVERIES,
    READ_MESSAGE,
)

NEXT_ID = "SELECT id FROM message WHERE id > ? ORDER BY id LIMIT 1"
DELIVERED_IDS = "SELECT DISTINCT message FROM delivery ORDER BY message"
MAX_UNREADABLE = 100_000
AT_ONCE = 500


class Salvage:
    """Walks through a damaged file, message by message, over what can't be read."""

    def __init__(self, damaged: sqlite3.Connection, new: sqlite3.Connection) -> None:
        self._damaged = damaged
        self._new = new
        self.saved = 0
        self.lost = 0

    def run(self, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        """Copy all that can be read, some messages in each ``transaction`` of the new file."""
        self._damaged.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        ids = self.ids()
        while some := list(islice(ids, AT_ONCE)):
            with transaction():
                self.copy(some)

    def ids(self) -> Iterator[int]:
        """Every message's id: as deliveries tell, or, where these can't be read, by trying."""
        try:
            yield from [number for (number,) in self._damaged.execute(DELIVERED_IDS).fetchall()]
        except sqlite3.DatabaseError:
            yield from self._ids_tried()

    def _ids_tried(self) -> Iterator[int]:
        number = -1
        while self.lost < MAX_UNREADABLE:
            try:
                found = self._damaged.execute(NEXT_ID, (number,)).fetchone()
            except sqlite3.DatabaseError:
                self.lost += 1
                number += 1
                continue
            if found is None:
                return
            number = found[0]
            yield number

    def copy(self, ids: Iterable[int]) -> None:
        """Copy messages, for one transaction of the new file."""
        for number in ids:
            try:
                row = self._damaged.execute(READ_MESSAGE, (number,)).fetchone()
                deliveries = self._damaged.execute(READ_DELIVERIES, (number,)).fetchall()
            except sqlite3.DatabaseError:
                row, deliveries = None, []
            if row is None or not deliveries:
                self.lost += 1
                continue
            self._new.execute(INSERT_MESSAGE, row)
            self._new.executemany(INSERT_DELIVERY, [(number, *d) for d in deliveries])
            self.saved += 1
