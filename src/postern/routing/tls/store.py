"""``tls.db``: policies of MTA-STS that were fetched, and which domains had DANE.

A file of its own, which all workers read and write: nobody decided what is in it, each commit in
``site.db`` would make all workers read rules and directory anew, and it may be deleted at any time.
Then policies are fetched again; until that is done the domain is met as for the first time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from postern.runtime.clock import Instant
from postern.runtime.database.beside import open_beside

FILE_NAME = "tls.db"
MAX_POLICIES = 50_000
MAX_DANE = 200_000
"""Rows; those used longest ago go first."""
DAY_S = 86_400
REFRESH_MOST_S = DAY_S
REFRESH_LEAST_S = 300
"""A policy is fetched anew when a quarter of its age has passed since it was tried last, within
these bounds: once a day (RFC 8461 §3.3), and never sooner than it may be."""
USED_MOST_S = 90 * DAY_S
USED_AGES = 90
"""Policies that no mail went by for so long, or for a day and so many of their own ages, are left
to end: one that holds for an hour would be fetched thousands of times for one message."""

_DUE_AT = f"tried + max({REFRESH_LEAST_S}, min({REFRESH_MOST_S}, (expires - fetched) / 4))"
_USED_S = f"min({USED_MOST_S}, {DAY_S} + {USED_AGES} * (expires - fetched))"
_TABLES = f"""
CREATE TABLE IF NOT EXISTS sts (
    domain TEXT PRIMARY KEY, id TEXT NOT NULL, body BLOB NOT NULL, fetched REAL NOT NULL,
    expires REAL NOT NULL, used REAL NOT NULL, tried REAL NOT NULL
) WITHOUT ROWID;
DROP INDEX IF EXISTS sts_tried;
CREATE INDEX IF NOT EXISTS sts_due ON sts ({_DUE_AT});
CREATE TABLE IF NOT EXISTS dane (domain TEXT PRIMARY KEY, seen REAL NOT NULL) WITHOUT ROWID;
"""
_PUT = """
INSERT INTO sts (domain, id, body, fetched, expires, used, tried)
VALUES (:domain, :id, :body, :fetched, :expires, :fetched, :fetched)
ON CONFLICT (domain) DO UPDATE SET id = :id, body = :body, fetched = :fetched,
    expires = :expires, tried = :fetched
"""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy as it was fetched, and the id of the record that told of it."""

    domain: str
    id: str
    body: bytes
    fetched: Instant
    expires: Instant
    used: Instant = 0.0


class TlsStore:
    """The two tables; one connection, used by one thread at a time.

    Raises:
        FileTrouble: it cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self._connection = open_beside(path, _TABLES)

    def policy(self, domain: str, now: Instant) -> StoredPolicy | None:
        """The policy of ``domain`` that is still good."""
        row = self._connection.execute(
            "SELECT domain, id, body, fetched, expires, used FROM sts"
            " WHERE domain = ? AND expires > ?",
            (domain, now),
        ).fetchone()
        return None if row is None else StoredPolicy(*row)

    def put(self, policy: StoredPolicy) -> None:
        """Keep what was fetched."""
        self._connection.execute(
            _PUT,
            {
                "domain": policy.domain,
                "id": policy.id,
                "body": policy.body,
                "fetched": policy.fetched,
                "expires": policy.expires,
            },
        )

    def tried(self, domain: str, now: Instant) -> None:
        """It could not be fetched again now."""
        self._connection.execute("UPDATE sts SET tried = ? WHERE domain = ?", (now, domain))

    def used(self, domain: str, now: Instant) -> None:
        """Mail went by it."""
        self._connection.execute("UPDATE sts SET used = ? WHERE domain = ?", (now, domain))

    def due(self, now: Instant, most: int) -> Sequence[str]:
        """Domains whose policy is to be fetched anew, those that end soonest first."""
        rows = self._connection.execute(
            f"SELECT domain FROM sts WHERE {_DUE_AT} < ? AND used > ? - {_USED_S}"  # noqa: S608 - constants
            " ORDER BY expires LIMIT ?",
            (now, now, most),
        )
        return [str(row[0]) for row in rows]

    def dane_seen(self, domain: str) -> Instant | None:
        """When TLSA records of its mail hosts were last found; None: never."""
        row = self._connection.execute(
            "SELECT seen FROM dane WHERE domain = ?", (domain,)
        ).fetchone()
        return None if row is None else float(row[0])

    def saw_dane(self, domain: str, now: Instant) -> None:
        """TLSA records of its mail hosts were found."""
        self._connection.execute(
            "INSERT INTO dane (domain, seen) VALUES (?, ?)"
            " ON CONFLICT (domain) DO UPDATE SET seen = excluded.seen",
            (domain, now),
        )

    def prune(self, now: Instant, dane_before: Instant) -> None:
        """Drop what is over, and what is more than there is room for."""
        execute = self._connection.execute
        execute("DELETE FROM sts WHERE expires <= ?", (now,))
        execute("DELETE FROM dane WHERE seen < ?", (dane_before,))
        execute(
            "DELETE FROM sts WHERE domain IN"
            " (SELECT domain FROM sts ORDER BY used DESC LIMIT -1 OFFSET ?)",
            (MAX_POLICIES,),
        )
        execute(
            "DELETE FROM dane WHERE domain IN"
            " (SELECT domain FROM dane ORDER BY seen DESC LIMIT -1 OFFSET ?)",
            (MAX_DANE,),
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
