"""One open day file, for writing: rows, index terms and counts in one transaction."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from postern.journal.days import DayFile
from postern.journal.flood import client_of
from postern.journal.keys import ip_bytes, keys_of
from postern.journal.record import ChangeRecord, Conversation, HeardRecord, Line
from postern.journal.store import decisions, index, schema

MAX_FOLDED_ROWS = 20_000
"""Clients with a row of their own in ``folded``; all others share one row per check."""

MAX_TRANSCRIPT_BYTES = 65_536
MAX_LINE_CHARS = 2_000

_WORTH_MERGING = 2_000

_EVERYONE = b""

_Record = TypeVar("_Record", bound=msgspec.Struct)

_Rows = tuple[
    list[tuple[int, float, bytes | None, bytes]], list[bytes], list[tuple[decisions.Value, ...]]
]

_Tally = dict[tuple[bytes, str], tuple[int, float, float]]


class DayStore:
    """The records of one worker and day."""

    def __init__(self, file: DayFile, log_bytes: int) -> None:
        self.file = file
        self._encoder = msgspec.msgpack.Encoder()
        self._connection = schema.open_records(file.path, log_bytes)
        self._waiting_entries = index.waiting_entries(self._connection)
        self._folded_rows: set[tuple[bytes, str]] | None = None

    def write(
        self,
        whole: Sequence[Conversation],
        folded: Sequence[Conversation],
        heard: Sequence[HeardRecord] = (),
    ) -> None:
        """Commit conversations, counts and decisions; ``sqlite3.Error`` leaves all as it was."""
        rows, entries, decided = self._rows(whole)
        for one in heard:
            decided += decisions.rows_of(one)
        execute = self._connection.executemany
        with _transaction(self._connection):
            execute(
                "INSERT OR REPLACE INTO conversation (id, at, client_ip, blob) VALUES (?,?,?,?)",
                rows,
            )
            if entries:
                index.add(self._connection, entries)
            if decided:
                decisions.add(self._connection, decided)
            if folded:
                execute(
                    'INSERT INTO folded (client_ip, "check", count, first_at, last_at)'
                    " VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET count=count+excluded.count,"
                    " first_at=min(first_at, excluded.first_at),"
                    " last_at=max(last_at, excluded.last_at)",
                    [(*key, *sums) for key, sums in self._tally(folded).items()],
                )
        self._waiting_entries += len(entries)
        if self._waiting_entries >= index.MERGE_AT:
            self._merge()

    def tidy(self) -> bool:
        """Do a step of making the index one run, for a day that is over; whether more is left."""
        if self._waiting_entries:
            self._merge()
            return True
        with _transaction(self._connection):
            return index.tidy(self._connection)

    def write_change(self, change: ChangeRecord) -> None:
        """Commit one change."""
        with _transaction(self._connection):
            cursor = self._connection.execute(
                "INSERT INTO change (at, blob) VALUES (?,?)",
                (change.at, self._encoder.encode(change)),
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO changed (id, number) VALUES (?,?)",
                [(number, cursor.lastrowid) for number in change.related],
            )

    def close(self) -> None:
        """Close the file, with its index merged: a day that is over is only read from now on."""
        with contextlib.suppress(sqlite3.Error):
            if self._waiting_entries >= _WORTH_MERGING:
                self._merge()
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _merge(self) -> None:
        with _transaction(self._connection):
            index.merge(self._connection)
        self._waiting_entries = 0

    def _rows(self, whole: Sequence[Conversation]) -> _Rows:
        rows: list[tuple[int, float, bytes | None, bytes]] = []
        entries: list[bytes] = []
        decided: list[tuple[decisions.Value, ...]] = []
        for conversation in whole:
            number = conversation.id
            record, blob = self._encoded(conversation)
            rows.append((number, record.at, ip_bytes(record.client_ip) or None, blob))
            tail = index.entry_tail(number)
            entries += [key + tail for key in keys_of(record)]
            if record.heard is not None:
                decided += decisions.rows_of(record.heard)
        return rows, entries, decided

    def _encoded(self, conversation: Conversation) -> tuple[Conversation, bytes]:
        """The record as it can be stored, and its blob: without what has a table of its own."""
        try:
            return conversation, self._encoder.encode(_bare(conversation))
        except ValueError:  # a lone surrogate
            record = scrubbed(conversation)
            return record, self._encoder.encode(_bare(record))

    def _tally(self, folded: Iterable[Conversation]) -> _Tally:
        known = self._known_folded_rows()
        tally: _Tally = {}
        for conversation in folded:
            check = conversation.because.check if conversation.because else ""
            key = (client_of(conversation.client_ip).ljust(16, b"\0"), check)
            if key not in known:
                if len(known) >= MAX_FOLDED_ROWS:
                    key = (_EVERYONE, check)
                known.add(key)
            count, first_at, last_at = tally.get(key, (0, conversation.at, conversation.at))
            tally[key] = count + 1, min(first_at, conversation.at), max(last_at, conversation.at)
        return tally

    def _known_folded_rows(self) -> set[tuple[bytes, str]]:
        if self._folded_rows is None:
            self._folded_rows = set(
                self._connection.execute('SELECT client_ip, "check" FROM folded')
            )
        return self._folded_rows


class TranscriptStore:
    """The transcripts of one worker and day."""

    def __init__(self, file: DayFile, log_bytes: int) -> None:
        self.file = file
        self._encoder = msgspec.msgpack.Encoder()
        self._connection = schema.open_transcripts(file.path, log_bytes)

    def write(self, talks: Sequence[Conversation]) -> None:
        """Commit the transcripts of these conversations."""
        rows = [(talk.id, talk.at, self._blob(talk.transcript)) for talk in talks]
        with _transaction(self._connection):
            self._connection.executemany(
                "INSERT OR REPLACE INTO transcript (id, at, blob) VALUES (?,?,?)", rows
            )

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _blob(self, lines: list[Line]) -> bytes:
        try:
            blob = self._encoder.encode(lines)
        except ValueError:
            lines = [scrubbed(line) for line in lines]
            blob = self._encoder.encode(lines)
        return blob if len(blob) <= MAX_TRANSCRIPT_BYTES else self._encoder.encode(_cut(lines))


def _bare(record: Conversation) -> Conversation:
    if record.transcript or record.heard is not None:
        return msgspec.structs.replace(record, transcript=[], heard=None)
    return record


def scrubbed(record: _Record) -> _Record:
    """A copy whose texts can be stored: lone surrogates (undecodable bytes) become ``?``.

    One such text from a stranger would otherwise keep its whole batch out of the journal.
    """
    changes = {name: _scrub(getattr(record, name)) for name in record.__struct_fields__}
    return msgspec.structs.replace(record, **changes)


def _scrub(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    return scrubbed(value) if isinstance(value, msgspec.Struct) else value


def _cut(lines: list[Line]) -> list[Line]:
    """The first and last lines that fit into ``MAX_TRANSCRIPT_BYTES``: how it began and ended."""
    lines = [
        line
        if len(line.text) <= MAX_LINE_CHARS
        else msgspec.structs.replace(line, text=line.text[:MAX_LINE_CHARS] + " …")
        for line in lines
    ]
    room = MAX_TRANSCRIPT_BYTES // 2
    head = _fitting(lines, room)
    tail = _fitting(lines[len(head) :][::-1], room)[::-1]
    gap = len(lines) - len(head) - len(tail)
    middle = [Line(head[-1].seconds if head else 0.0, "", f"{gap} lines not kept")] if gap else []
    return [*head, *middle, *tail]


def _fitting(lines: Sequence[Line], room_bytes: int) -> list[Line]:
    kept: list[Line] = []
    for line in lines:
        room_bytes -= 4 * len(line.text) + 16
        if room_bytes < 0:
            break
        kept.append(line)
    return kept


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
