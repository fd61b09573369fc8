"""Temporaries in ``site.db``: rooms call these in the transaction that writes their own rows."""

from collections.abc import Mapping

import sqlalchemy as sa

from postern.measures.temporary import Kind, Temporary
from postern.runtime.clock import Instant

metadata = sa.MetaData()

temporary = sa.Table(
    "temporary",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("until", sa.Double),
    sa.Column("hits", sa.BigInteger, nullable=False),
    sa.Column("last_used_at", sa.Double),
    sa.Column("ended_at", sa.Double),
    sa.Column("ended_by", sa.String(255), nullable=False),
    sa.Index("temporary_kind", "kind", "ended_at"),
)

COLUMNS = tuple(temporary.c)
"""In the order of ``read_row``."""

Row = tuple[str, str, str, str, float, float | None, int, float | None, float | None, str]


def insert(connection: sa.Connection, made: Temporary) -> None:
    """Write a new one."""
    connection.execute(
        temporary.insert().values(
            id=made.id,
            kind=made.kind.value,
            reason=made.reason,
            author=made.author,
            created_at=made.created_at,
            until=made.until,
            hits=made.hits,
            last_used_at=made.last_used_at,
            ended_at=made.ended_at,
            ended_by=made.ended_by,
        )
    )


def end(connection: sa.Connection, key: str, now: Instant, who: str) -> bool:
    """End one; False when it had ended before or is not there."""
    done = connection.execute(
        temporary.update()
        .where(temporary.c.id == key, temporary.c.ended_at.is_(None))
        .values(ended_at=now, ended_by=who)
    )
    return done.rowcount == 1


def holding(now: Instant) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions of what was not ended and whose time has not passed."""
    until = temporary.c.until
    return temporary.c.ended_at.is_(None), sa.or_(until.is_(None), until > now)


def count_uses(connection: sa.Connection, uses: Mapping[str, tuple[int, Instant]]) -> None:
    """Add how often each was of use since the last call, and when last."""
    for key, (hits, last) in uses.items():
        connection.execute(
            temporary.update()
            .where(temporary.c.id == key)
            .values(hits=temporary.c.hits + hits, last_used_at=_later(last))
        )


def _later(moment: Instant) -> sa.ColumnElement[float]:
    """The later of what stands there and ``moment``: workers report in no order."""
    known = sa.func.coalesce(temporary.c.last_used_at, moment)
    return sa.case((known > moment, known), else_=moment)


def read_row(row: Row) -> Temporary:
    """A row of ``COLUMNS``."""
    key, kind, reason, author, created_at, until, hits, last, ended_at, ended_by = row
    return Temporary(
        key, Kind(kind), reason, author, created_at, until, hits, last, ended_at, ended_by
    )
