"""Frozen accounts in ``site.db``: who, here; why and until when, in ``measures``."""

from dataclasses import replace

import sqlalchemy as sa

from postern.directory.freezes import Freeze
from postern.directory.ids import new_id
from postern.directory.model import Problem, Refused
from postern.directory.names import read_address
from postern.directory.store import mailboxes
from postern.directory.store.changes import Writing
from postern.measures import store as measures
from postern.measures.temporary import Kind, Temporary
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.engine import Database

LETTER = "F"
MAX_REASON_CHARS = 500

metadata = sa.MetaData()

freeze_table = sa.Table(
    "freeze",
    metadata,
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(26), nullable=False, unique=True),
    sa.Column("account", sa.String(1024), nullable=False),
    sqlite_autoincrement=True,
)

_JOINED = freeze_table.join(measures.temporary, freeze_table.c.id == measures.temporary.c.id)


class FreezeStore:
    """Freezes for those who make and end them. Every method is one transaction.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self._database = database
        self._clock = clock
        self._author = author

    def freeze(
        self, account: str, *, lasts_s: float | None = None, reason: str
    ) -> Freeze | Refused:
        """Let an account send nothing; one that is frozen already stays as it is."""
        if len(reason) > MAX_REASON_CHARS or not reason.isprintable():
            text = f"the reason must be one line of at most {MAX_REASON_CHARS} characters"
            return Refused(Problem.NOT_ALLOWED, text)
        with self._database.write() as connection:
            mailbox = mailboxes.require(connection, account)
            if isinstance(mailbox, Refused):
                return mailbox
            now = self._clock.now()
            for known in _active(connection, now):
                if known.account == mailbox.address:
                    return known
            key = new_id(self._clock)
            until = None if lasts_s is None else now + lasts_s
            made = Temporary(key, Kind.FREEZE, reason, self._author, now, until)
            measures.insert(connection, made)
            address = str(mailbox.address)
            done = connection.execute(freeze_table.insert().values(id=key, account=address))
            (serial,) = done.inserted_primary_key or (0,)
            Writing(connection, self._clock, self._author).log(
                "freeze", key, "added", account=address, until=until, reason=reason
            )
            return Freeze(f"{LETTER}{serial}", mailbox.address, made, is_new=True)

    def thaw(self, account: str) -> Freeze | Refused:
        """Let an account send again."""
        with self._database.write() as connection:
            mailbox = mailboxes.require(connection, account)
            if isinstance(mailbox, Refused):
                return mailbox
            now = self._clock.now()
            for known in _active(connection, now):
                if known.account == mailbox.address:
                    measures.end(connection, known.temporary.id, now, self._author)
                    Writing(connection, self._clock, self._author).log(
                        "freeze", known.temporary.id, "ended", account=str(known.account)
                    )
                    ended = replace(known.temporary, ended_at=now, ended_by=self._author)
                    return replace(known, temporary=ended)
            return Refused(Problem.NOT_THERE, f"{mailbox.address} is not frozen")

    def lapsed(self) -> list[Freeze]:
        """Those whose time is over, and that nobody has ended yet."""
        until = measures.temporary.c.until
        with self._database.read() as connection:
            return _select(connection, until <= self._clock.now())

    def end(self, lapsed: Freeze) -> None:
        """One whose time is over is done with."""
        with self._database.write() as connection:
            measures.end(connection, lapsed.temporary.id, self._clock.now(), self._author)
            Writing(connection, self._clock, self._author).log(
                "freeze", lapsed.temporary.id, "ended", account=str(lapsed.account)
            )

    def all(self) -> list[Freeze]:
        """Those that hold now, as they were made."""
        with self._database.read() as connection:
            return _active(connection, self._clock.now())


def _active(connection: sa.Connection, now: Instant) -> list[Freeze]:
    until = measures.temporary.c.until
    return _select(connection, sa.or_(until.is_(None), until > now))


def _select(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Freeze]:
    rows = connection.execute(
        sa.select(freeze_table, *measures.COLUMNS)
        .select_from(_JOINED)
        .where(measures.temporary.c.ended_at.is_(None), which)
        .order_by(freeze_table.c.serial)
    )
    found = (_read(tuple(row)) for row in rows)
    return [freeze for freeze in found if freeze is not None]


def _read(row: tuple[object, ...]) -> Freeze | None:
    serial, _, account, *rest = row
    address = read_address(str(account))
    if address is None:
        return None
    temporary = measures.read_row(tuple(rest))  # type: ignore[arg-type]  # the columns of its table
    return Freeze(f"{LETTER}{serial}", address, temporary)
