"""Results of TLS sessions in ``tls-results.db``: all workers add, reports are read from it.

A file of its own: it is written every few seconds, and every commit to ``site.db`` makes workers
look at what changed. What a power cut takes is the last seconds of counting.
"""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from postern.mail.tlsrpt import PolicyType, TlsResult
from postern.routing.tls.results.tally import Counted, Policy, day_of
from postern.runtime.clock import Instant
from postern.runtime.database.beside import open_beside

FILE_NAME = "tls-results.db"
KEEP_DAYS = 14
MAX_ROWS = 200_000
"""Of one day; beyond these, sessions are counted without hosts and addresses."""

_TABLE = """
CREATE TABLE IF NOT EXISTS result (
    day TEXT NOT NULL, domain TEXT NOT NULL, type TEXT NOT NULL, strings TEXT NOT NULL,
    patterns TEXT NOT NULL, result TEXT NOT NULL, mx TEXT NOT NULL, ip TEXT NOT NULL,
    sending_ip TEXT NOT NULL, sessions INTEGER NOT NULL,
    PRIMARY KEY (day, domain, type, strings, patterns, result, mx, ip, sending_ip)
) WITHOUT ROWID
"""
_ADD = """
INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET sessions = sessions + excluded.sessions
"""


def add(path: Path, counted: Iterable[Counted], now: Instant) -> None:
    """Add what a worker counted; days that are too old go."""
    with closing(open_beside(path, _TABLE)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_ADD, _rows(connection, counted))
            before = date.fromisoformat(day_of(now)) - timedelta(days=KEEP_DAYS)
            connection.execute("DELETE FROM result WHERE day < ?", (before.isoformat(),))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def read(path: Path, domain: str, day: str) -> list[Counted]:
    """What was counted for a domain on a day, in no order."""
    if not path.exists():
        return []
    with closing(open_beside(path, _TABLE)) as connection:
        rows = connection.execute(
            "SELECT * FROM result WHERE day = ? AND domain = ?", (day, domain)
        ).fetchall()
    return [_read(row) for row in rows]


def domains(path: Path, day: str) -> list[str]:
    """The domains that something was counted for on a day, by name."""
    if not path.exists():
        return []
    with closing(open_beside(path, _TABLE)) as connection:
        rows = connection.execute(
            "SELECT DISTINCT domain FROM result WHERE day = ? ORDER BY domain", (day,)
        ).fetchall()
    return [str(row[0]) for row in rows]


_Row = tuple[str, str, str, str, str, str, str, str, str, int]


def _rows(connection: sqlite3.Connection, counted: Iterable[Counted]) -> list[_Row]:
    rows: list[_Row] = []
    full: dict[str, bool] = {}
    for one in counted:
        if one.day not in full:
            (count,) = connection.execute(
                "SELECT count(*) FROM result WHERE day = ?", (one.day,)
            ).fetchone()
            full[one.day] = count >= MAX_ROWS
        mx, ip, sending = ("", "", "") if full[one.day] else (one.mx, one.ip, one.sending_ip)
        policy = one.policy
        rows.append(
            (
                one.day,
                policy.domain,
                policy.type.value,
                json.dumps(policy.strings),
                json.dumps(policy.mx),
                "" if one.result is None else one.result.value,
                mx,
                ip,
                sending,
                one.sessions,
            )
        )
    return rows


def _read(row: _Row) -> Counted:
    day, domain, kind, strings, patterns, result, mx, ip, sending_ip, sessions = row
    policy = Policy(
        domain, PolicyType(kind), tuple(json.loads(strings)), tuple(json.loads(patterns))
    )
    return Counted(day, policy, TlsResult(result) if result else None, mx, ip, sending_ip, sessions)
