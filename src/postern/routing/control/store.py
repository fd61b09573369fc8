"""How groups stand, in ``paths.db``: read by all workers, changed by whoever saw the last version.

The board of paths has its tables in the same file. Nothing in it is precious: a file that cannot be
read is opened anew at the next call, and costs what was learned, never mail.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from postern.routing.paths.groups import Standing
from postern.runtime.database.engine import Database
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.runtime.database.watch import ChangeWatch

MAX_STANDINGS = 10_000
"""Beyond these none is put on record for nothing but being dead; those with a relay are few."""

T = TypeVar("T")

metadata = sa.MetaData()

standing_table = sa.Table(
    "group_standing",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Standing).decode


class StandingStore:
    """Reads and changes standings. Its methods block: on a thread, one at a time.

    Raises:
        DatabaseTroubleError: the file can't be read or written; nothing of the call holds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: Database | None = None
        self._watch: ChangeWatch | None = None
        self._number = 0
        self._seen = (-1, -1)

    def changed(self) -> bool:
        """Whether any standing was written since this was last asked, or the file is another.

        The file holds much that is written more often: only where anything was, standings are
        looked at, and not read.
        """
        self._opened()
        assert self._watch is not None
        if not self._watch.changed():
            return False
        table = standing_table
        query = sa.select(sa.func.count(), sa.func.sum(table.c.version)).select_from(table)

        def read(database: Database) -> tuple[int, int]:
            with database.read() as connection:
                count, versions = connection.execute(query).one()
            return count, versions or 0

        seen, self._seen = self._seen, self._with(read)
        return seen != self._seen

    def all(self) -> list[Standing]:
        """Every group that is not simply direct, or was not lately, as far as it can be read."""
        table = standing_table
        query = sa.select(table.c.version, table.c.value).limit(2 * MAX_STANDINGS)

        def read(database: Database) -> list[Standing]:
            with database.read() as connection:
                rows = connection.execute(query).all()
            found = (_read(version, value) for version, value in rows)
            return [standing for standing in found if standing is not None]

        return self._with(read)

    def swap(self, before: Standing, after: Standing) -> Standing | None:
        """Put ``after`` in the place of ``before``; None when another was there first.

        Returns:
            ``after`` with its version.
        """
        fresh = replace(after, version=before.version + 1)
        table, value = standing_table, _encode(fresh)

        def write(database: Database) -> bool:
            with database.write() as connection:
                if before.version:
                    done = connection.execute(
                        table.update()
                        .where(table.c.name == fresh.group, table.c.version == before.version)
                        .values(version=fresh.version, value=value)
                    )
                    return done.rowcount == 1
                there = connection.execute(
                    sa.select(table.c.version, table.c.value).where(table.c.name == fresh.group)
                ).one_or_none()
                if there is not None and _read(*there) is not None:
                    return False
                # What another version of Postern wrote and nobody here can read is in no one's way.
                made = {"version": fresh.version, "value": value}
                insert = sqlite.insert(table).values(name=fresh.group, **made)
                connection.execute(insert.on_conflict_do_update(("name",), set_=made))
                return True

        return fresh if self._with(write) else None

    def forget(self, standing: Standing) -> bool:
        """Nothing of it matters any more; False when it has changed meanwhile."""
        table = standing_table

        def write(database: Database) -> bool:
            with database.write() as connection:
                done = connection.execute(
                    table.delete().where(
                        table.c.name == standing.group, table.c.version == standing.version
                    )
                )
                return done.rowcount == 1

        return self._with(write)

    def close(self) -> None:
        """Close the file."""
        if self._watch is not None:
            self._watch.close()
        if self._database is not None:
            self._database.close()
        self._watch = self._database = None
        self._seen = (-1, -1)

    def _with(self, work: Callable[[Database], T]) -> T:
        try:
            return work(self._opened())
        except DatabaseTroubleError:
            self.close()
            raise

    def _opened(self) -> Database:
        """The file as it is in its place now: who finds it damaged may have set it aside."""
        if self._database is not None and self._is_in_place():
            return self._database
        self.close()
        database = Database.open(self._path)
        with database.write() as connection:
            metadata.create_all(connection)
        self._number = self._path.stat().st_ino
        self._database = database
        self._watch = ChangeWatch(self._path)
        return database

    def _is_in_place(self) -> bool:
        try:
            return self._path.stat().st_ino == self._number
        except OSError:
            return False


def _read(version: int, value: bytes) -> Standing | None:
    try:
        standing = _decode(value)
    except (msgspec.MsgspecError, ValueError):
        return None  # of another version of Postern: as if nothing were known
    return standing if standing.version == version else None
