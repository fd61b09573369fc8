"""``correspondents.db``: written in batches by every worker, read for one question at a time."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import sqlalchemy as sa

from postern.directory.correspondents import Correspondent, Key, Note, key_of
from postern.mail.address import Address
from postern.runtime.clock import Instant
from postern.runtime.database.engine import Database

FILE_NAME = "correspondents.db"
MAX_OF_A_MAILBOX = 5_000
"""Past that the ones not written to for the longest time are forgotten."""
KEEP_S = 2 * 365 * 86_400.0
"""So long after the last message somebody is forgotten."""
SWEPT_AT_ONCE = 5_000
"""Rows that one transaction forgets: whoever writes beside it does not wait for long."""

metadata = sa.MetaData()

correspondent = sa.Table(
    "correspondent",
    metadata,
    sa.Column("mailbox_id", sa.String(26), primary_key=True),
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("local", sa.String(320), primary_key=True),
    sa.Column("first_at", sa.Double, nullable=False),
    sa.Column("last_at", sa.Double, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("delivered_at", sa.Double),
    sa.Index("correspondent_last", "last_at"),
    sqlite_with_rowid=False,
)
_C = correspondent.c
_COLUMNS = (_C.local, _C.domain, _C.first_at, _C.last_at, _C.times, _C.delivered_at)
_IS = sa.and_(
    _C.mailbox_id == sa.bindparam("m"),
    _C.domain == sa.bindparam("d"),
    _C.local == sa.bindparam("l"),
)
_ASK = sa.select(*_COLUMNS).where(_IS)


class CorrespondentStore:
    """Whom mailboxes have written to. Every method is one transaction.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, data_dir: Path) -> "CorrespondentStore":
        """Open the file in ``data_dir``; ``prepare`` it before anything is asked."""
        return cls(Database.open(data_dir / FILE_NAME))

    def prepare(self) -> None:
        """Make the table where it is not there yet."""
        with self._database.read() as connection:
            is_made = sa.inspect(connection).has_table(correspondent.name)
        if not is_made:
            with self._database.write() as connection:
                metadata.create_all(connection)

    @staticmethod
    def is_there(data_dir: Path) -> bool:
        """True when anything was ever noted; for whoever only looks and must not make the file."""
        return (data_dir / FILE_NAME).exists()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def knows(self, mailbox_id: str, address: Address) -> bool:
        """Whether the mailbox has written to that address."""
        return self.find(mailbox_id, address) is not None

    def find(self, mailbox_id: str, address: Address) -> Correspondent | None:
        """What is known of one correspondent."""
        key = key_of(mailbox_id, address)
        with self._database.read() as connection:
            row = connection.execute(_ASK, _bound(key)).first()
        return None if row is None else _read(tuple(row))

    def of_mailbox(self, mailbox_id: str, limit: int) -> list[Correspondent]:
        """Correspondents of one mailbox, the latest first."""
        return self._select(_C.mailbox_id == mailbox_id, limit)

    def reached_at(self, mailbox_id: str, domain: str, limit: int) -> list[Correspondent]:
        """Those at one domain to whom something was delivered, the latest first."""
        here = sa.and_(_C.mailbox_id == mailbox_id, _C.domain == domain)
        return self._select(sa.and_(here, _C.delivered_at.is_not(None)), limit)

    def write(self, notes: Mapping[Key, Note]) -> None:
        """Add what was noted; a mailbox that knows too many forgets the oldest."""
        with self._database.write() as connection:
            grown = {key.mailbox_id for key, note in notes.items() if _note(connection, key, note)}
            _trim(connection, grown)

    def forget(self, mailbox_id: str, address: Address) -> bool:
        """Forget one correspondent; False when there was none such."""
        with self._database.write() as connection:
            gone = connection.execute(
                correspondent.delete().where(_IS), _bound(key_of(mailbox_id, address))
            )
        return gone.rowcount > 0

    def sweep(self, now: Instant) -> None:
        """Forget whom nobody has written to for ``KEEP_S``."""
        old = (
            sa.select(_C.mailbox_id, _C.domain, _C.local)
            .where(_C.last_at < now - KEEP_S)
            .limit(SWEPT_AT_ONCE)
        )
        key = sa.tuple_(_C.mailbox_id, _C.domain, _C.local)
        while True:
            with self._database.write() as connection:
                gone = connection.execute(correspondent.delete().where(key.in_(old)))
            if gone.rowcount < SWEPT_AT_ONCE:
                return

    def _select(self, condition: sa.ColumnElement[bool], limit: int) -> list[Correspondent]:
        query = sa.select(*_COLUMNS).where(condition).order_by(_C.last_at.desc()).limit(limit)
        with self._database.read() as connection:
            return [_read(tuple(row)) for row in connection.execute(query)]


def _note(connection: sa.Connection, key: Key, note: Note) -> bool:
    """Add one note; True when that made a new correspondent."""
    changes: dict[str, object] = {}
    if note.times:
        changes |= {"last_at": note.last_at, "times": _C.times + note.times}
    if note.delivered_at is not None:
        changes["delivered_at"] = note.delivered_at
    done = connection.execute(correspondent.update().where(_IS).values(changes), _bound(key))
    if done.rowcount or not note.times:
        return (
            False  # what was delivered to nobody we noted, an automatic answer, makes nobody known
        )
    connection.execute(
        correspondent.insert().values(
            mailbox_id=key.mailbox_id,
            domain=key.domain,
            local=key.local,
            first_at=note.first_at,
            last_at=note.last_at,
            times=note.times,
            delivered_at=note.delivered_at,
        )
    )
    return True


def _trim(connection: sa.Connection, mailboxes: Iterable[str]) -> None:
    for mailbox_id in mailboxes:
        mine = _C.mailbox_id == mailbox_id
        counted = sa.select(sa.func.count()).select_from(correspondent).where(mine)
        too_many = int(connection.execute(counted).scalar_one()) - MAX_OF_A_MAILBOX
        if too_many <= 0:
            continue
        oldest = sa.select(_C.domain, _C.local).where(mine).order_by(_C.last_at).limit(too_many)
        here = sa.tuple_(_C.domain, _C.local)
        connection.execute(correspondent.delete().where(mine, here.in_(oldest)))


def _bound(key: Key) -> dict[str, str]:
    return {"m": key.mailbox_id, "d": key.domain, "l": key.local}


def _read(row: tuple[object, ...]) -> Correspondent:
    local, domain, first_at, last_at, times, delivered_at = row
    return Correspondent(
        Address(str(local), str(domain)),
        float(str(first_at)),
        float(str(last_at)),
        int(str(times)),
        None if delivered_at is None else float(str(delivered_at)),
    )
