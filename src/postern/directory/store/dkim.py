"""DKIM keys in ``site.db``: made, set to work, retired, removed, each in one transaction."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from string import ascii_lowercase

import sqlalchemy as sa

from postern.directory import wording
from postern.directory.dkim import DkimKey, KeyState
from postern.directory.ids import new_id
from postern.directory.model import Domain, Problem, Refused
from postern.directory.store import domains, tables
from postern.directory.store.changes import Writing
from postern.mail.dkim.key import KeyFlaw
from postern.mail.dkim.private import read_private_key
from postern.runtime.clock import Clock
from postern.runtime.database.engine import Database

MAX_KEYS = 10
"""Of one domain; each active one is one more signature in every message."""
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
MAX_SELECTOR_CHARS = 100

_T, _D = tables.dkim_key, tables.domain
_COLUMNS = (
    _T.c.id, _D.c.name, _T.c.selector, _T.c.kind, _T.c.bits, _T.c.state, _T.c.created_at,
    _T.c.since, _T.c.pem,
)  # fmt: skip
_KEYS = sa.select(*_COLUMNS).select_from(_T.join(_D, _D.c.id == _T.c.domain_id))
_SIGNING = _KEYS.where(_D.c.name == sa.bindparam("name"), _T.c.state == KeyState.ACTIVE.value)

_ANY = sa.select(_T.c.id).where(_T.c.state == KeyState.ACTIVE.value).limit(1)


class DkimStore:
    """Keys for those who change them.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self._database = database
        self._clock = clock
        self._author = author

    def add(
        self, domain: str, pem: bytes, selector: str = "", state: KeyState = KeyState.WAITING
    ) -> DkimKey | Refused:
        """Keep a key; without a selector it gets the next free one of the year, ``p2026a``."""
        with self._database.write() as connection:
            writing = Writing(connection, self._clock, self._author)
            found = domains.require(connection, domain)
            if isinstance(found, Refused):
                return found
            return _add(writing, found, pem, selector.lower(), state)

    def set_state(self, domain: str, selector: str, state: KeyState) -> DkimKey | Refused:
        """Set a key to work, or retire it."""
        with self._database.write() as connection:
            key = _require(connection, domain, selector)
            if isinstance(key, Refused):
                return key
            writing = Writing(connection, self._clock, self._author)
            now = self._clock.now()
            connection.execute(
                _T.update().where(_T.c.id == key.id).values(state=state.value, since=now)
            )
            writing.log("dkim", key.id, state.value, name=key.record_name)
            return _require(connection, domain, selector)

    def seen(self, key: DkimKey) -> bool:
        """Set to work a key whose record was seen; False when it does not wait for that any more.

        A person may have retired or removed it while DNS was asked.
        """
        with self._database.write() as connection:
            waits = sa.and_(_T.c.id == key.id, _T.c.state == KeyState.WAITING.value)
            active = {"state": KeyState.ACTIVE.value, "since": self._clock.now()}
            if not connection.execute(_T.update().where(waits).values(active)).rowcount:
                return False
            Writing(connection, self._clock, self._author).log(
                "dkim", key.id, KeyState.ACTIVE.value, name=key.record_name
            )
            return True

    def remove(self, domain: str, selector: str) -> DkimKey | Refused:
        """Forget a key; mail that it signed can't be verified once its record is gone."""
        with self._database.write() as connection:
            key = _require(connection, domain, selector)
            if isinstance(key, Refused):
                return key
            connection.execute(_T.delete().where(_T.c.id == key.id))
            Writing(connection, self._clock, self._author).log(
                "dkim", key.id, "remove", name=key.record_name
            )
            return key

    def key(self, domain: str, selector: str) -> DkimKey | Refused:
        """One key."""
        with self._database.read() as connection:
            return _require(connection, domain, selector)

    def keys(self, domain: str | None = None) -> Iterator[DkimKey] | Refused:
        """Keys by domain and selector, of one domain or of all."""
        with self._database.read() as connection:
            query = _KEYS.order_by(_D.c.name, _T.c.selector)
            if domain is not None:
                found = domains.require(connection, domain)
                if isinstance(found, Refused):
                    return found
                query = query.where(_D.c.name == found.name)
            rows = connection.execute(query).all()
        return map(_read, map(tuple, rows))

    def waiting(self) -> list[DkimKey]:
        """Those whose records were not seen yet."""
        with self._database.read() as connection:
            rows = connection.execute(_KEYS.where(_T.c.state == KeyState.WAITING.value)).all()
        return [_read(tuple(row)) for row in rows]


def has_signing_keys(connection: sa.Connection) -> bool:
    """Whether any domain has an active key."""
    return connection.execute(_ANY).first() is not None


def signing_keys(connection: sa.Connection, domain: str) -> list[DkimKey]:
    """The active keys of a domain of ours, RSA first; none for a stranger's."""
    keys = [_read(tuple(row)) for row in connection.execute(_SIGNING, {"name": domain})]
    return sorted(keys, key=lambda key: (key.kind != "rsa", key.selector))


def _add(
    writing: Writing, domain: Domain, pem: bytes, selector: str, state: KeyState
) -> DkimKey | Refused:
    key = read_private_key(pem)
    if isinstance(key, KeyFlaw):
        return Refused(Problem.MALFORMED, f"the key can't be used: {key.text}")
    rows = writing.connection.execute(
        sa.select(_T.c.selector).where(_T.c.domain_id == domain.id)
    ).scalars()
    taken = set(rows)
    if len(taken) >= MAX_KEYS:
        text = f"{domain.name} has {MAX_KEYS} keys already; remove one that is retired"
        return Refused(Problem.NOT_ALLOWED, text)
    now = writing.clock.now()
    chosen = selector or _next_selector(taken, datetime.fromtimestamp(now, UTC).year)
    if not _SELECTOR.fullmatch(chosen) or len(chosen) > MAX_SELECTOR_CHARS:
        text = f"{selector!r} is no selector; letters, digits and hyphens, such as p2026a"
        return Refused(Problem.MALFORMED, text)
    if chosen in taken:
        text = f"{domain.name} has a key {chosen} already; see: postern dkim list {domain.name}"
        return Refused(Problem.ALREADY_THERE, text)
    made = DkimKey(
        new_id(writing.clock), domain.name, chosen, key.kind, key.bits, state, now, now, pem
    )
    writing.connection.execute(
        _T.insert().values(
            id=made.id,
            domain_id=domain.id,
            selector=made.selector,
            kind=made.kind,
            bits=made.bits,
            state=state.value,
            created_at=now,
            since=now,
            pem=pem.decode("ascii"),
        )
    )
    writing.log("dkim", made.id, "add", name=made.record_name, kind=made.kind, state=state.value)
    return made


def _next_selector(taken: set[str], year: int) -> str:
    """The one behind the last of the year: resolvers may still know the key that bore an older one.

    There are more letters than keys, so that one is free however many there were.
    """
    names = [f"p{year}{letter}" for letter in ascii_lowercase]
    used = [place for place, name in enumerate(names) if name in taken]
    after = used[-1] + 1 if used else 0
    return next(name for name in names[after:] + names[:after] if name not in taken)


def _require(connection: sa.Connection, domain: str, selector: str) -> DkimKey | Refused:
    found = domains.require(connection, domain)
    if isinstance(found, Refused):
        return found
    rows = connection.execute(_KEYS.where(_D.c.name == found.name)).all()
    keys = {key.selector: key for key in map(_read, map(tuple, rows))}
    if selector.lower() in keys:
        return keys[selector.lower()]
    hint = wording.nearest(selector.lower(), list(keys))
    text = f"{found.name} has no key {selector}{hint or '; see: postern dkim list'}"
    return Refused(Problem.NOT_THERE, text)


def _read(row: tuple[object, ...]) -> DkimKey:
    key, domain, selector, kind, bits, state, created_at, since, pem = row
    return DkimKey(
        str(key),
        str(domain),
        str(selector),
        str(kind),
        int(str(bits)),
        KeyState(state),
        float(str(created_at)),
        float(str(since)),
        str(pem).encode("ascii"),
    )
