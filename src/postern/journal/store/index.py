"""The index of a day file: sorted runs that are only ever appended.

An *entry* is a key (see ``postern.journal.keys``), a zero byte and the six bytes of the
conversation's number; whoever searches asks for a range of entries. Each batch adds its entries,
sorted, as one row of ``fresh``; once these hold ``MERGE_AT`` entries they become one *run*, cut
into pages of a hundred with an index on their first entry. Runs are never touched again, and lie
in the order of time, so a search reads them newest first and stops when it has enough.

Why not a plain ``(key, id)`` table: each message has about ten keys, all but a few of them far
apart, so in a B-tree nearly every one dirtied a page of its own: 50 µs of CPU a conversation in an
empty file and 140 µs in one of 160,000, most of it writing WAL, against 6 µs here at any size.
All keys of one conversation are in the same run, so "and" is answered run by run.

Once its day is over, a file's runs become one, run 0, step by step: a search then reads one place
a file instead of thirty, which on a disk that has to be asked (nothing cached) is what it waits
for. Each step leaves every entry in exactly one place; while run 0 exists all runs are read as one.
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

TABLES = """
CREATE TABLE IF NOT EXISTS fresh (
    number INTEGER PRIMARY KEY, count INTEGER NOT NULL, entries BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS run (number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS page (
    number INTEGER PRIMARY KEY, run INTEGER NOT NULL, first BLOB NOT NULL, entries BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS page_first ON page (run, first);
"""

MERGE_AT = 60_000
"""Entries: some 6,000 conversations; merging them holds the writer's thread up for about 40 ms."""

PAGE_ENTRIES = 100

STEP_PAGES = 600
"""Pages that one step of ``tidy`` takes: as much work as a merge."""

THE_ONE_RUN = 0
_NUMBER_BYTES = 6

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[bytes])


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Entries from ``low`` up to but without ``high``."""

    low: bytes
    high: bytes


def exactly(key: bytes) -> KeyRange:
    """The range of one key."""
    return KeyRange(key + b"\0", key + b"\1")


def starting_with(prefix: bytes) -> KeyRange:
    """The range of all keys that begin with ``prefix``, which must not end with 0xFF."""
    return KeyRange(prefix, prefix[:-1] + bytes([prefix[-1] + 1]))


def entry_tail(number: int) -> bytes:
    """What follows the key in an entry of conversation ``number`` (below 2^48)."""
    return b"\0" + number.to_bytes(_NUMBER_BYTES)


def add(connection: sqlite3.Connection, entries: list[bytes]) -> None:
    """Add one batch's entries, within the caller's transaction. Sorts ``entries`` in place."""
    entries.sort()
    connection.execute(
        "INSERT INTO fresh (count, entries) VALUES (?,?)", (len(entries), _encoder.encode(entries))
    )


def waiting_entries(connection: sqlite3.Connection) -> int:
    """How many entries lie in ``fresh``."""
    (count,) = connection.execute("SELECT coalesce(sum(count), 0) FROM fresh").fetchone()
    return int(count)


def merge(connection: sqlite3.Connection) -> None:
    """Make all fresh entries one run, within the caller's transaction."""
    entries: list[bytes] = []
    for (blob,) in connection.execute("SELECT entries FROM fresh ORDER BY number"):
        entries += _decoder.decode(blob)
    entries.sort()  # already sorted stretches: Python's sort merges them
    # Never 0, also when the last run was tidied away.
    connection.execute("INSERT INTO run SELECT coalesce(max(number), 0) + 1 FROM run")
    (run,) = connection.execute("SELECT max(number) FROM run").fetchone()
    _add_pages(connection, run, entries)
    connection.execute("DELETE FROM fresh")


def tidy(connection: sqlite3.Connection) -> bool:
    """Move the next entries of all runs into the day's one run, within the caller's transaction.

    Returns whether there is more to do.
    """
    runs = [
        number
        for (number,) in connection.execute("SELECT number FROM run WHERE number>0 ORDER BY number")
    ]
    one = connection.execute("SELECT 1 FROM run WHERE number=?", (THE_ONE_RUN,)).fetchone()
    if not runs or (len(runs) == 1 and one is None):
        return False
    share = max(1, STEP_PAGES // len(runs))
    heads = {run: _first_pages(connection, run, share) for run in runs}
    # Beyond the first place where a run may go on with pages not read yet, order is not known.
    ends = [pages[-1][1][-1] for pages in heads.values() if len(pages) == share]
    boundary = min(ends, default=None)
    taken: list[bytes] = []
    for run, pages in heads.items():
        taken += _take(connection, run, pages, boundary)
        if len(pages) < share and boundary is None:
            connection.execute("DELETE FROM run WHERE number=?", (run,))
    taken.sort()
    connection.execute("INSERT OR IGNORE INTO run (number) VALUES (?)", (THE_ONE_RUN,))
    _add_pages(connection, THE_ONE_RUN, taken)
    return True


_Page = tuple[int, list[bytes]]


def _first_pages(connection: sqlite3.Connection, run: int, limit: int) -> list[_Page]:
    pages = connection.execute(
        "SELECT number, entries FROM page WHERE run=? ORDER BY first LIMIT ?", (run, limit)
    )
    return [(number, _decoder.decode(blob)) for number, blob in pages]


def _take(
    connection: sqlite3.Connection, run: int, pages: list[_Page], boundary: bytes | None
) -> list[bytes]:
    """Take entries up to ``boundary`` (None: all) out of a run's first pages."""
    taken: list[bytes] = []
    for number, entries in pages:
        cut = len(entries) if boundary is None else bisect_right(entries, boundary)
        if not cut:
            break
        connection.execute("DELETE FROM page WHERE number=?", (number,))
        taken += entries[:cut]
        if cut < len(entries):
            _add_pages(connection, run, entries[cut:])
    return taken


def _add_pages(connection: sqlite3.Connection, run: int, entries: list[bytes]) -> None:
    pages = (entries[i : i + PAGE_ENTRIES] for i in range(0, len(entries), PAGE_ENTRIES))
    connection.executemany(
        "INSERT INTO page (run, first, entries) VALUES (?,?,?)",
        ((run, page[0], _encoder.encode(page)) for page in pages),
    )


def numbers(
    connection: sqlite3.Connection, clues: Sequence[Sequence[KeyRange]]
) -> Generator[int, None, None]:
    """Numbers of conversations that fit every clue, the newest stretch of the index first.

    Within a stretch the highest numbers come first. A clue is fitted by any of its ranges. A
    conversation may come twice when it was handed over twice.
    """
    # One snapshot: a merge meanwhile would otherwise move entries between the two readings.
    connection.execute("BEGIN")
    try:
        for stretch in _stretches(connection):
            # Numbers are made one by one: of a day's hundred thousand, twenty may be wanted.
            yield from map(int.from_bytes, _fitting(stretch, clues))
    finally:
        connection.execute("ROLLBACK")


class _Stretch(Protocol):
    """A part of the index that holds all entries of its conversations."""

    def between(self, wanted: KeyRange) -> list[bytes]:
        """The entries within a range."""
        ...


class _Fresh:
    def __init__(self, entries: list[bytes]) -> None:
        self._entries = entries

    def between(self, wanted: KeyRange) -> list[bytes]:
        return _cut(self._entries, wanted)


class _Runs:
    def __init__(self, connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        self._connection = connection
        self._numbers = numbers

    def between(self, wanted: KeyRange) -> list[bytes]:
        return [entry for number in self._numbers for entry in self._in_run(number, wanted)]

    def _in_run(self, number: int, wanted: KeyRange) -> list[bytes]:
        # The page before the first that begins within the range may end within it.
        pages = self._connection.execute(
            "SELECT entries FROM page WHERE run=?1 AND first<?3 AND first>=coalesce("
            "(SELECT max(first) FROM page WHERE run=?1 AND first<=?2), x'') ORDER BY first",
            (number, wanted.low, wanted.high),
        )
        return [entry for (blob,) in pages for entry in _cut(_decoder.decode(blob), wanted)]


def _stretches(connection: sqlite3.Connection) -> Iterator[_Stretch]:
    for (blob,) in connection.execute("SELECT entries FROM fresh ORDER BY number DESC"):
        yield _Fresh(_decoder.decode(blob))
    runs = [number for (number,) in connection.execute("SELECT number FROM run ORDER BY 1 DESC")]
    if THE_ONE_RUN in runs:
        yield _Runs(connection, runs)
        return
    for number in runs:
        yield _Runs(connection, [number])


def _fitting(stretch: _Stretch, clues: Sequence[Sequence[KeyRange]]) -> list[bytes]:
    tails: set[bytes] | None = None
    for ranges in clues:
        found = _tails(stretch, ranges)
        tails = found if tails is None else tails & found
        if not tails:
            return []
    return sorted(tails or (), reverse=True)


def _tails(stretch: _Stretch, ranges: Sequence[KeyRange]) -> set[bytes]:
    """The numbers, still as bytes, of all entries within any of the ranges."""
    found: set[bytes] = set()
    by_letter: dict[int, list[KeyRange]] = {}
    for wanted in ranges:
        by_letter.setdefault(wanted.low[0], []).append(wanted)
    for near in by_letter.values():
        # Ranges of one letter are neighbours (a domain, and what lies below it): one reading.
        hull = KeyRange(min(r.low for r in near), max(r.high for r in near))
        entries = stretch.between(hull)
        for wanted in near if entries else ():
            found.update([entry[-_NUMBER_BYTES:] for entry in _cut(entries, wanted)])
    return found


def _cut(entries: list[bytes], wanted: KeyRange) -> list[bytes]:
    start = bisect_left(entries, wanted.low)
    return entries[start : bisect_left(entries, wanted.high, start)]
