"""Whose held mail was told of, in ``site.db``: the letters, and what each of them named.

A letter is on record before it is in the spool: after a crash in between it is found nowhere, is
forgotten, and is written again. So an owner gets one letter a day, and never none. What a letter
named counts as told once the letter was delivered; if it never is, the next one names it again.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import sqlalchemy as sa

from postern.runtime.clock import Instant
from postern.runtime.database.engine import Database

Key = tuple[int, int]
"""One delivery: its message's number, and its ``n``."""

AT_ONCE = 200
"""Keys in one query."""

metadata = sa.MetaData()

digest = sa.Table(
    "digest",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(1024), nullable=False),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("told_at", sa.Double),
    sa.UniqueConstraint("owner", "day"),
    sa.Index("digest_told", "told_at"),
)

digest_line = sa.Table(
    "digest_line",
    metadata,
    sa.Column("message", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column(
        "digest",
        sa.BigInteger,
        sa.ForeignKey("digest.number", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Index("digest_line_digest", "digest"),
)

digest_day = sa.Table(
    "digest_day",
    metadata,
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("ended_at", sa.Double, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Telling:
    """One letter: its message's ``number``, whose it is (a mailbox's key), and what it names."""

    number: int
    owner: str
    day: str
    made_at: Instant
    names: tuple[Key, ...]


class TellingStore:
    """Letters and what they named. Every method may block on the disk.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, tellings: Sequence[Telling]) -> set[int]:
        """Write letters down; the numbers of those that may go: the owner's first of that day."""
        added: set[int] = set()
        with self._database.write() as connection:
            for one in tellings:
                same = (digest.c.owner == one.owner) & (digest.c.day == one.day)
                if connection.execute(sa.select(digest.c.number).where(same)).first() is not None:
                    continue
                connection.execute(
                    digest.insert().values(
                        number=one.number, owner=one.owner, day=one.day, made_at=one.made_at
                    )
                )
                rows = [{"message": m, "n": n, "digest": one.number} for m, n in one.names]
                connection.execute(digest_line.insert(), rows)
                added.add(one.number)
        return added

    def open_letters(self, after: int, limit: int) -> list[int]:
        """Letters of which it is not known that they arrived, with numbers above ``after``."""
        query = (
            sa.select(digest.c.number)
            .where(digest.c.told_at.is_(None), digest.c.number > after)
            .order_by(digest.c.number)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [int(number) for (number,) in connection.execute(query)]

    def conclude(self, arrived: Sequence[int], lost: Sequence[int], now: Instant) -> None:
        """Letters that arrived, and those that never will: what these named is told anew."""
        with self._database.write() as connection:
            for number in arrived:
                connection.execute(
                    digest.update().where(digest.c.number == number).values(told_at=now)
                )
            for number in lost:
                connection.execute(digest.delete().where(digest.c.number == number))

    def named(self, keys: Collection[Key]) -> set[Key]:
        """Those of ``keys`` that some letter names, arrived or not."""
        return {key for key, _ in self._lines(keys)}

    def told(self, keys: Collection[Key]) -> dict[Key, Instant]:
        """Those of ``keys`` that their owner was told of, and when."""
        return {key: at for key, at in self._lines(keys) if at is not None}

    def _lines(self, keys: Collection[Key]) -> Iterator[tuple[Key, Instant | None]]:
        """What letters name of ``keys``, and when each letter arrived."""
        wanted = set(keys)
        numbers = iter(dict.fromkeys(number for number, _ in keys))
        line = digest_line.c
        query = sa.select(line.message, line.n, digest.c.told_at).join(
            digest, digest.c.number == line.digest
        )
        with self._database.read() as connection:
            while some := list(islice(numbers, AT_ONCE)):
                for message, n, told_at in connection.execute(query.where(line.message.in_(some))):
                    if (message, n) in wanted:
                        yield (message, n), told_at

    def is_day_done(self, day: str) -> bool:
        """Whether all letters of a day were made."""
        query = sa.select(digest_day.c.day).where(digest_day.c.day == day)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def end_day(self, day: str, now: Instant, forget_before: Instant) -> None:
        """All letters of a day are made; what was told before a moment is of no more use."""
        with self._database.write() as connection:
            connection.execute(digest.delete().where(digest.c.told_at < forget_before))
            connection.execute(digest_day.delete().where(digest_day.c.ended_at < forget_before))
            connection.execute(digest_day.insert().values(day=day, ended_at=now))
