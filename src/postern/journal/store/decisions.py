"""The table of decisions in a day file: written beside the conversations, scanned for candidates.

One row is one decision, with everything about its message beside it, so that one pass over the
table answers any question: a second table for what the recipients of a message have in common
would be smaller where there are many, and costs a look-up for every row where there is one. No
index: rules are about anything, and each index would be paid for with every mail.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from postern.journal.decided import DecisionQuery, DecisionRow
from postern.journal.findings import bits_of
from postern.journal.keys import ip_bytes
from postern.journal.record import KNOWN, KNOWN_EARLY, HeardRecord

TABLE = """
CREATE TABLE IF NOT EXISTS decision (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, places INTEGER NOT NULL,
    failed INTEGER NOT NULL, unknown INTEGER NOT NULL,
    flags INTEGER NOT NULL, gravity INTEGER NOT NULL, rule TEXT NOT NULL,
    owner TEXT NOT NULL, domain TEXT NOT NULL, named TEXT NOT NULL,
    ip BLOB, helo TEXT NOT NULL, ptr TEXT NOT NULL, mail_from TEXT, authors TEXT,
    list_id TEXT NOT NULL, proven_early TEXT NOT NULL, proven TEXT NOT NULL,
    early TEXT NOT NULL, found TEXT, subject TEXT NOT NULL);
"""

MAX_PLACES = 1 << 13
"""Decisions of one transaction: its number and the decision's make up the row's ``id``."""

ROWS_A_TURN = 5_000

_SHIFT = 13
_COLUMNS = (
    f"id >> {_SHIFT}, at, places, flags, owner, domain, named, ip, helo, ptr, mail_from, authors,"
    " list_id, proven_early, proven, early, found, subject"
)
_INSERT = f"INSERT OR REPLACE INTO decision VALUES ({','.join('?' * 22)})"  # noqa: S608 - ours

Value = int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Turn:
    """Some transactions whole, the newest first; ``before``: where to go on, None at the end."""

    transactions: list[list[DecisionRow]]
    before: int | None


def rows_of(heard: HeardRecord) -> Iterator[tuple[Value, ...]]:
    """The rows of one transaction."""
    decisions = heard.decisions[:MAX_PLACES]
    number, at, places = heard.id << _SHIFT, heard.at, len(decisions)
    message = (
        ip_bytes(heard.client_ip) or None, heard.helo, heard.ptr, heard.mail_from, heard.authors,
        heard.list_id, heard.proven_early, heard.proven,
    )  # fmt: skip
    for place, one in enumerate(decisions):
        early, found = one.early, one.found
        failed, unknown = bits_of(early)
        if found and found != early:
            late_failed, late_unknown = bits_of(found)
            failed, unknown = failed | late_failed, unknown | late_unknown
        yield (
            number + place, at, places, failed, unknown, one.flags, one.gravity, one.rule,
            one.owner, one.domain, one.named, *message, early, found, heard.subject,
        )  # fmt: skip


def add(connection: sqlite3.Connection, rows: Sequence[tuple[Value, ...]]) -> None:
    """Write rows, within the caller's transaction."""
    connection.executemany(_INSERT, rows)


def is_kept(connection: sqlite3.Connection) -> bool:
    """False for a file of a day when decisions were not kept yet."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name='decision'").fetchone()
    return found is not None


def count(connection: sqlite3.Connection, query: DecisionQuery) -> int:
    """How many decisions there are of the query's place and time."""
    wheres, values = _of_place(query)
    row = connection.execute(
        f"SELECT count(*) FROM decision WHERE {' AND '.join(wheres)}",  # noqa: S608 - ours
        values,
    ).fetchone()
    return int(row[0])


def first_at(connection: sqlite3.Connection) -> float | None:
    """When the first decision of the file was kept."""
    row = connection.execute("SELECT at FROM decision ORDER BY id LIMIT 1").fetchone()
    return None if row is None else float(row[0])


def candidates(connection: sqlite3.Connection, query: DecisionQuery, before: int | None) -> Turn:
    """Transactions of which a decision fits; ``before``: as the last turn said."""
    wheres, values = _conditions(query)
    if before is not None:
        wheres, values = [*wheres, "id < ?"], [*values, before]
    cursor = connection.execute(
        f"SELECT {_COLUMNS} FROM decision WHERE {' AND '.join(wheres)}"  # noqa: S608 - ours
        f" ORDER BY id DESC LIMIT {ROWS_A_TURN}",
        values,
    )
    rows = list(map(DecisionRow._make, cursor))
    transactions: list[list[DecisionRow]] = []
    for number, group in groupby(rows, key=lambda row: row.number):
        found = list(group)[::-1]  # recipients in the order of RCPT: the first refusal is told
        if len(found) < found[0].places:
            found = _transaction(connection, number)
        transactions.append(found)
    more = len(rows) == ROWS_A_TURN
    return Turn(transactions, rows[-1].number << _SHIFT if more else None)


def _transaction(connection: sqlite3.Connection, number: int) -> list[DecisionRow]:
    first = number << _SHIFT
    cursor = connection.execute(
        f"SELECT {_COLUMNS} FROM decision WHERE id BETWEEN ? AND ? ORDER BY id",  # noqa: S608 - ours
        (first, first + MAX_PLACES - 1),
    )
    return list(map(DecisionRow._make, cursor))


# --- what fits ------------------------------------------------------------------------------------


def _of_place(query: DecisionQuery) -> tuple[list[str], list[Value]]:
    wheres: list[str] = ["at >= ?"]
    values: list[Value] = [query.since]
    for column, value in (("owner", query.owner), ("domain", query.domain)):
        if value:
            wheres.append(f"{column} = ?")
            values.append(value)
    return wheres, values


_SENDER_HOLDS = "(instr(mail_from, ?) OR instr(authors, ? || char(10)))"


def _conditions(query: DecisionQuery) -> tuple[list[str], list[Value]]:
    """Never fewer than what fits: whoever judges has the last word."""
    wheres, values = _of_place(query)
    for text, wanted in (
        ("(mail_from = ? OR instr(authors, ? || char(10)))", query.address),
        (_SENDER_HOLDS, query.sender_domain and f"@{query.sender_domain}"),
        (_SENDER_HOLDS, query.below),
        ("helo = ?", query.helo),
        ("ptr = ?", query.ptr),
        ("list_id = ?", query.list_id),
    ):
        if wanted:
            wheres.append(text)
            values += [wanted] * text.count("?")
    if query.network is not None:
        wheres.append("ip BETWEEN ? AND ?")
        values += [ip_bytes(str(query.network[0])), ip_bytes(str(query.network[-1]))]
    if query.is_known:
        wheres.append(f"flags & {KNOWN | KNOWN_EARLY}")
    if query.failed:
        wheres.append("(failed | unknown) & ?")
        values.append(query.failed)
    return wheres, values
