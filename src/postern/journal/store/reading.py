"""One day file, opened to read; every trouble with it is a value, never an exception."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from postern.journal.days import DayFile
from postern.journal.decided import DecisionQuery
from postern.journal.keys import ip_bytes, ip_text
from postern.journal.match import matches
from postern.journal.query import Kind, Network, Query
from postern.journal.record import ChangeRecord, Conversation, FoldedRecord, Line
from postern.journal.store import decisions, index
from postern.journal.store.ranges import is_narrow, ranges_of
from postern.journal.store.schema import decisions_came_late, is_at_rest, open_for_reading

MAX_CANDIDATES = 20_000
"""Conversations of one file that the index offers and that are looked at before giving up."""

_conversations = msgspec.msgpack.Decoder(Conversation)
_changes = msgspec.msgpack.Decoder(ChangeRecord)
_transcripts = msgspec.msgpack.Decoder(list[Line])

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A day file that could not be read, or not all of it."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Span:
    """The first and last moment a file tells of."""

    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True)
class DecisionsKept:
    """How many decisions of a file fit, and when its first was kept (None: it has none).

    ``is_whole`` False: on that day decisions were not kept, or not from its beginning.
    """

    count: int
    first_at: float | None
    is_whole: bool


class DayReading:
    """The records of one day file. ``damage`` is set once something could not be read."""

    def __init__(self, file: DayFile) -> None:
        self.file = file
        self.damage: DamagedFile | None = None
        self._connection: sqlite3.Connection | None = None
        self._at_rest = False

    def __enter__(self) -> "DayReading":
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _open(self) -> None:
        self._at_rest = is_at_rest(self.file.path)
        try:
            self._connection = open_for_reading(self.file.path, at_rest=self._at_rest)
            if _is_being_made(self._connection):
                self._close()
        except sqlite3.Error as error:
            # A file that retention unlinked a moment ago is no damage.
            if self.file.path.exists():
                self._note(error)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def find(self, query: Query) -> list[Conversation]:
        """Up to ``query.limit`` conversations that fit, the newest of this file first."""
        found: list[Conversation] = []
        self._read(None, lambda connection: self._collect(connection, query, found))
        return found

    def get(self, number: int) -> Conversation | None:
        """One conversation by its number."""
        return self._read(None, lambda connection: self._fetch(connection, number))

    def transcript(self, number: int) -> list[Line] | None:
        """The transcript of a conversation, from a transcript file."""

        def read(connection: sqlite3.Connection) -> list[Line] | None:
            row = connection.execute("SELECT blob FROM transcript WHERE id=?", (number,)).fetchone()
            return _transcripts.decode(row[0]) if row else None

        return self._read(None, read)

    def changes_of(self, number: int) -> list[ChangeRecord]:
        """Changes that touched a conversation, in order."""

        def read(connection: sqlite3.Connection) -> list[ChangeRecord]:
            rows = connection.execute(
                "SELECT blob FROM change JOIN changed USING (number) WHERE id=? ORDER BY number",
                (number,),
            )
            return [_changes.decode(blob) for (blob,) in rows]

        return self._read([], read)

    def folded(self, network: Network) -> list[FoldedRecord]:
        """Counted conversations of clients within a network, most first."""
        if network.version == 6 and network.prefixlen > 64:
            network = network.supernet(new_prefix=64)  # a /64 is counted as one client

        def read(connection: sqlite3.Connection) -> list[FoldedRecord]:
            rows = connection.execute(
                'SELECT client_ip, "check", count, first_at, last_at FROM folded'
                " WHERE client_ip>=? AND client_ip<=? ORDER BY count DESC LIMIT 100",
                (ip_bytes(str(network[0])), ip_bytes(str(network[-1]))),
            )
            return [FoldedRecord(ip_text(packed), *rest) for packed, *rest in rows]

        return self._read([], read)

    def folded_count(self) -> int:
        """How many conversations of this file were counted instead of written."""
        return self._read(
            0,
            lambda connection: int(
                connection.execute("SELECT coalesce(sum(count), 0) FROM folded").fetchone()[0]
            ),
        )

    def decisions_kept(self, query: DecisionQuery) -> DecisionsKept:
        """What there is of the query's place and time."""

        def read(connection: sqlite3.Connection) -> DecisionsKept:
            is_whole = not decisions_came_late(connection)
            if not decisions.is_kept(connection):
                return DecisionsKept(0, None, is_whole)
            first = decisions.first_at(connection)
            return DecisionsKept(decisions.count(connection, query), first, is_whole)

        return self._read(DecisionsKept(0, None, is_whole=True), read)

    def decisions(self, query: DecisionQuery, before: int | None) -> decisions.Turn:
        """The next transactions with a decision that fits; ``before`` None: the newest."""
        nothing = decisions.Turn([], None)

        def read(connection: sqlite3.Connection) -> decisions.Turn:
            if not decisions.is_kept(connection):
                return nothing
            return decisions.candidates(connection, query, before)

        return self._read(nothing, read)

    def span(self) -> Span | None:
        """From when to when this file tells, by its first and last number; None when empty."""

        def read(connection: sqlite3.Connection) -> Span | None:
            ends = [
                connection.execute(
                    f"SELECT at FROM conversation ORDER BY id {order} LIMIT 1"  # noqa: S608 - ours
                ).fetchone()
                for order in ("ASC", "DESC")
            ]
            if ends[0] is None or ends[1] is None:
                return None
            return Span(min(ends[0][0], ends[1][0]), max(ends[0][0], ends[1][0]))

        return self._read(None, read)

    def _read(self, otherwise: _T, read: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._connection is None:
            return otherwise
        try:
            return read(self._connection)
        except (sqlite3.Error, msgspec.MsgspecError, ValueError) as error:
            if self._at_rest and not is_at_rest(self.file.path):
                # A writer came back to an old day while we read it as immutable: read it again.
                self._close()
                self._open()
                return self._read(otherwise, read)
            if not self._is_being_made():
                self._note(error)
            return otherwise

    def _is_being_made(self) -> bool:
        """True in the moment between a new file and its tables: there is nothing in it yet."""
        if self._connection is None:
            return False
        try:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error:
            return False
        return bool(version == 0)

    def _collect(
        self, connection: sqlite3.Connection, query: Query, found: list[Conversation]
    ) -> None:
        seen: set[int] = set()
        for number in _candidates(connection, query):
            if len(found) >= query.limit or len(seen) >= MAX_CANDIDATES:
                break
            if number in seen:
                continue
            seen.add(number)
            conversation = self._fetch_or_note(connection, number)
            if conversation is not None and matches(query, conversation):
                found.append(conversation)

    def _fetch_or_note(self, connection: sqlite3.Connection, number: int) -> Conversation | None:
        """As ``_fetch``, but one row that cannot be understood does not hide the others."""
        try:
            return self._fetch(connection, number)
        except (msgspec.MsgspecError, ValueError) as error:
            self._note(error)
            return None

    def _fetch(self, connection: sqlite3.Connection, number: int) -> Conversation | None:
        row = connection.execute("SELECT blob FROM conversation WHERE id=?", (number,)).fetchone()
        return _conversations.decode(row[0]) if row else None

    def _note(self, error: Exception) -> None:
        self.damage = DamagedFile(self.file.path, str(error))


def _is_being_made(connection: sqlite3.Connection) -> bool:
    """True between a day's first conversation and the commit that makes its tables."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables


def _candidates(connection: sqlite3.Connection, query: Query) -> Iterator[int]:
    """Numbers that may fit, roughly newest first."""
    named = [clue.number for clue in query.clues if clue.kind is Kind.TRACE]
    if named:
        yield from named
        return
    clues = sorted(query.clues, key=lambda clue: not is_narrow(clue))
    wanted = [ranges for clue in clues if (ranges := ranges_of(clue))]
    if not wanted:
        return
    with contextlib.closing(index.numbers(connection, wanted)) as numbers:
        yield from numbers
