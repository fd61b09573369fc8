"""Single facts of ``site.db``, read without the SQL library that the directory uses.

That library takes 0.35 s to load, more than all else that ``postern why`` does, and one key is all
it would be loaded for. Whoever gets None here asks the directory, or couldn't tell.
"""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from postern.mail.dkim.parents import upwards

_BUSY_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Domains of our own mailboxes, and those that no key signs for, by name.

    ``waiting``: records (domain, selector) that were not seen in DNS.
    """

    domains: int
    without_key: tuple[str, ...]
    waiting: tuple[tuple[str, str], ...]


def read_unsigned(site_db: Path, before: float) -> Unsigned | None:
    """What was made before ``before`` and still leaves unsigned; None: it cannot be read."""
    try:
        with _reading(site_db) as connection:
            rows = connection.execute(
                "SELECT name, EXISTS (SELECT 1 FROM dkim_key WHERE domain_id = domain.id"
                " AND state = 'active') FROM domain"
                " WHERE gateway_host IS NULL AND created_at < ? ORDER BY name",
                (before,),
            ).fetchall()
            waiting = connection.execute(
                "SELECT name, selector FROM dkim_key JOIN domain ON domain.id = domain_id"
                " WHERE state = 'waiting' AND since < ? ORDER BY name, selector",
                (before,),
            ).fetchall()
    except sqlite3.Error:
        return None
    signing = {name for name, signs in rows if signs}
    unsigned = (name for name, _ in rows if signing.isdisjoint(upwards(name)))
    return Unsigned(len(rows), tuple(unsigned), tuple(waiting))


@dataclass(frozen=True, slots=True)
class Unencrypted:
    """An address that mail goes to in clear: the exemption's label, and when it ends."""

    label: str
    ip: str
    until: float


def read_unencrypted(site_db: Path, now: float) -> tuple[Unencrypted, ...]:
    """Those that hold at ``now``, as they were made; none where it cannot be read."""
    try:
        with _reading(site_db) as connection:
            rows = connection.execute(
                "SELECT serial, ip, until FROM tls_exemption JOIN temporary USING (id)"
                " WHERE ended_at IS NULL AND until > ? ORDER BY serial",
                (now,),
            ).fetchall()
    except sqlite3.Error:
        return ()
    return tuple(Unencrypted(f"X{serial}", ip, until) for serial, ip, until in rows)


def read_trace_key(site_db: Path) -> bytes | None:
    """The key, or None when it is not there (yet) or cannot be read this way."""
    try:
        with _reading(site_db) as connection:
            row = connection.execute("SELECT value FROM setting WHERE key = 'trace.key'").fetchone()
        return bytes.fromhex(row[0]) if row else None
    except (sqlite3.Error, ValueError, TypeError):
        return None


def _reading(site_db: Path) -> contextlib.closing[sqlite3.Connection]:
    address = f"file:{quote(str(site_db))}?mode=ro"
    return contextlib.closing(sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S))
