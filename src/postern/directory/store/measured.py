"""Exceptions in two rows: what one does in its room's table, why and until when in ``measures``.

Rules, routes, zones, TLS exemptions, suspensions and freezes differ in what they do, not in how
they are made, ended and listed. Both rows are written in one transaction; the line of the change
log, which makes workers drop what they cached, is left to the room: it knows what to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from postern.directory.ids import new_id
from postern.directory.store.changes import Writing
from postern.measures import store as measures
from postern.measures.temporary import Kind, Temporary
from postern.runtime.clock import Instant

Row = tuple[Any, ...]
"""The columns of a room's own table."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The table of one kind of exception.

    Its first columns are ``serial``, which labels are made of, and ``id``, the same as in
    ``measures``.
    """

    table: sa.Table
    kind: Kind

    @property
    def joined(self) -> sa.Join:
        """Rows of the table with their reason, end and use."""
        return self.table.join(measures.temporary, self.table.c.id == measures.temporary.c.id)

    def add(
        self, writing: Writing, reason: str, lasts_s: float | None, **own: object
    ) -> tuple[int, Temporary]:
        """Make one; its serial, and what was written of it in ``measures``.

        Args:
            writing: the transaction.
            reason: one line.
            lasts_s: None: without an end.
            own: the columns of the table but ``serial`` and ``id``.
        """
        now = writing.clock.now()
        until = None if lasts_s is None else now + lasts_s
        made = Temporary(new_id(writing.clock), self.kind, reason, writing.author, now, until)
        measures.insert(writing.connection, made)
        done = writing.connection.execute(self.table.insert().values(id=made.id, **own))
        (serial,) = done.inserted_primary_key or (0,)
        return int(serial), made

    def end(self, writing: Writing, made: Temporary) -> Temporary:
        """End one, which stays on record; as it is from now on."""
        now = writing.clock.now()
        measures.end(writing.connection, made.id, now, writing.author)
        return replace(made, ended_at=now, ended_by=writing.author)

    def holding(
        self, connection: sa.Connection, now: Instant, *conditions: sa.ColumnElement[bool]
    ) -> list[tuple[Row, Temporary]]:
        """Those that were not ended and whose time has not passed, as they were made."""
        return self.select(connection, *measures.holding(now), *conditions)

    def select(
        self, connection: sa.Connection, *conditions: sa.ColumnElement[bool]
    ) -> list[tuple[Row, Temporary]]:
        """Those that fulfil every condition, as they were made."""
        rows = connection.execute(
            sa.select(self.table, *measures.COLUMNS)
            .select_from(self.joined)
            .where(*conditions)
            .order_by(self.table.c.serial)
        )
        count = len(self.table.c)
        return [(tuple(row[:count]), measures.read_row(row[count:])) for row in rows]


class Labelled(Protocol):
    """What people name by its label, such as ``R2``."""

    @property
    def label(self) -> str:
        """A letter for the kind, and the serial."""


L = TypeVar("L", bound=Labelled)


def labelled(known: Sequence[L], label: str) -> L | None:
    """The one that a person named, however he spelled it, or None."""
    wanted = label.strip().upper()
    return next((one for one in known if one.label == wanted), None)
