"""Settings of the whole site: trace-code key and counter, site postmaster."""

import secrets

import sqlalchemy as sa

from postern.directory.store import tables
from postern.directory.store.rows import read_targets
from postern.mail.address import Address
from postern.mail.tracecode import COUNTER_BITS

TRACE_KEY = "trace.key"
SRS_KEY = "srs.key"
TRACE_COUNTER = "trace.counter"
POSTMASTER = "postmaster"

KEY_BYTES = 32
COUNTERS_PER_BLOCK = 65_536


def read_setting(connection: sa.Connection, key: str) -> str | None:
    """The value of a setting, or None."""
    found = connection.execute(
        sa.select(tables.setting.c.value).where(tables.setting.c.key == key)
    ).scalar()
    return None if found is None else str(found)


def write_setting(connection: sa.Connection, key: str, value: str) -> None:
    """Set a setting, new or not."""
    table = tables.setting
    if read_setting(connection, key) is None:
        connection.execute(table.insert().values(key=key, value=value))
    else:
        connection.execute(table.update().where(table.c.key == key).values(value=value))


def remove_setting(connection: sa.Connection, key: str) -> None:
    """Forget a setting."""
    connection.execute(tables.setting.delete().where(tables.setting.c.key == key))


def ensure_trace_key(connection: sa.Connection) -> bytes:
    """The key of the trace codes, made on first use and never changed: old codes must decode."""
    return _ensure_key(connection, TRACE_KEY)


def ensure_srs_key(connection: sa.Connection) -> bytes:
    """The key of rewritten return addresses; bounces come back to them for weeks."""
    return _ensure_key(connection, SRS_KEY)


def _ensure_key(connection: sa.Connection, name: str) -> bytes:
    found = read_setting(connection, name)
    if found is None:
        found = secrets.token_hex(KEY_BYTES)
        write_setting(connection, name, found)
    return bytes.fromhex(found)


def reserve_counters(connection: sa.Connection) -> range:
    """The next block of trace counters; after 2^36 of them they begin again."""
    start = int(read_setting(connection, TRACE_COUNTER) or "0") % (1 << COUNTER_BITS)
    write_setting(connection, TRACE_COUNTER, str(start + COUNTERS_PER_BLOCK))
    return range(start, start + COUNTERS_PER_BLOCK)


def site_postmaster(connection: sa.Connection) -> tuple[Address, ...]:
    """Who was set to get the site's postmaster mail; empty when nobody was."""
    found = read_setting(connection, POSTMASTER)
    return read_targets(found.splitlines()) if found else ()
