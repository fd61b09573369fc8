"""Frozen accounts in ``site.db``: who, here; why and until when, in ``measures``."""

from dataclasses import replace

import sqlalchemy as sa

from postern.directory.freezes import Freeze
from postern.directory.model import Problem, Refused
from postern.directory.names import read_address
from postern.directory.store import mailboxes
from postern.directory.store.changes import Writing
from postern.directory.store.measured import Measured, Row
from postern.measures import store as measures
from postern.measures.temporary import Kind, Temporary, reason_flaw
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.engine import Database

LETTER = "F"

metadata = sa.MetaData()

freeze_table = sa.Table(
    "freeze",
    metadata,
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(26), nullable=False, unique=True),
    sa.Column("account", sa.String(1024), nullable=False),
    sqlite_autoincrement=True,
)

_measured = Measured(freeze_table, Kind.FREEZE)


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
        flaw = reason_flaw(reason)
        if flaw:
            return Refused(Problem.NOT_ALLOWED, flaw)
        with self._database.write() as connection:
            mailbox = mailboxes.require(connection, account)
            if isinstance(mailbox, Refused):
                return mailbox
            for known in _active(connection, self._clock.now()):
                if known.account == mailbox.address:
                    return known
            writing = Writing(connection, self._clock, self._author)
            address = str(mailbox.address)
            serial, made = _measured.add(writing, reason, lasts_s, account=address)
            writing.log(
                "freeze", made.id, "added", account=address, until=made.until, reason=reason
            )
            return Freeze(f"{LETTER}{serial}", mailbox.address, made, is_new=True)

    def thaw(self, account: str) -> Freeze | Refused:
        """Let an account send again."""
        with self._database.write() as connection:
            mailbox = mailboxes.require(connection, account)
            if isinstance(mailbox, Refused):
                return mailbox
            for known in _active(connection, self._clock.now()):
                if known.account == mailbox.address:
                    return _end(Writing(connection, self._clock, self._author), known)
            return Refused(Problem.NOT_THERE, f"{mailbox.address} is not frozen")

    def lapsed(self) -> list[Freeze]:
        """Those whose time is over, and that nobody has ended yet."""
        made = measures.temporary.c
        with self._database.read() as connection:
            return _readable(
                _measured.select(
                    connection, made.ended_at.is_(None), made.until <= self._clock.now()
                )
            )

    def end(self, lapsed: Freeze) -> None:
        """One whose time is over is done with."""
        with self._database.write() as connection:
            _end(Writing(connection, self._clock, self._author), lapsed)

    def all(self) -> list[Freeze]:
        """Those that hold now, as they were made."""
        with self._database.read() as connection:
            return _active(connection, self._clock.now())


def _end(writing: Writing, freeze: Freeze) -> Freeze:
    ended = _measured.end(writing, freeze.temporary)
    writing.log("freeze", ended.id, "ended", account=str(freeze.account))
    return replace(freeze, temporary=ended)


def _active(connection: sa.Connection, now: Instant) -> list[Freeze]:
    return _readable(_measured.holding(connection, now))


def _readable(rows: list[tuple[Row, Temporary]]) -> list[Freeze]:
    found = (_read(*row) for row in rows)
    return [freeze for freeze in found if freeze is not None]


def _read(row: Row, temporary: Temporary) -> Freeze | None:
    serial, _, account = row
    address = read_address(account)
    return None if address is None else Freeze(f"{LETTER}{serial}", address, temporary)
