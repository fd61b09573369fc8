"""The change log: every change of the directory, in the transaction that makes it."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from postern.directory.model import Change
from postern.directory.store import tables
from postern.runtime.clock import Clock

Value = str | int | float | bool | None | list[str]

MAX_AUTHOR_CHARS = 255


@dataclass(frozen=True, slots=True)
class Writing:
    """A transaction under way, with who makes it and when."""

    connection: sa.Connection
    clock: Clock
    author: str

    def log(self, noun: str, row_id: str, action: str, **values: Value) -> None:
        """Add a line to the change log; it holds when the transaction does."""
        self.connection.execute(
            tables.change.insert().values(
                at=self.clock.now(),
                author=self.author[:MAX_AUTHOR_CHARS],
                noun=noun,
                row_id=row_id,
                action=action,
                new_values=msgspec.json.encode(values),
            )
        )


Leaving = Callable[[Writing, str], None]
"""Told, within the transaction, of each mailbox (by its key) and each domain that goes away."""


def nobody_told(writing: Writing, place: str) -> None:
    """For who keeps nothing beside the directory."""


_LAST = sa.select(sa.func.max(tables.change.c.seq))


def last_change(connection: sa.Connection) -> int | None:
    """The ``seq`` of the latest change; None before the first."""
    found: int | None = connection.execute(_LAST).scalar_one()
    return found


def read_changes(connection: sa.Connection, after: int, limit: int) -> list[Change]:
    """Changes with ``seq`` above ``after``, oldest first, at most ``limit``."""
    rows = connection.execute(
        sa.select(tables.change)
        .where(tables.change.c.seq > after)
        .order_by(tables.change.c.seq)
        .limit(limit)
    )
    return [
        Change(
            seq=row.seq,
            at=row.at,
            author=row.author,
            noun=row.noun,
            row_id=row.row_id,
            action=row.action,
            values=bytes(row.new_values).decode(),
        )
        for row in rows
    ]
