"""The facts a walk asks for, straight from the tables, in a fixed number of queries."""

from collections.abc import Mapping

import sqlalchemy as sa

from postern.directory.expand import Entry
from postern.directory.model import Domain, Mailbox
from postern.directory.store import settings, tables
from postern.directory.store.rows import (
    DOMAIN_COLUMNS,
    MAILBOX_COLUMNS,
    read_domain_row,
    read_mailbox_row,
    read_targets,
)
from postern.mail.address import Address

_DOMAIN = sa.select(*DOMAIN_COLUMNS).where(tables.domain.c.name == sa.bindparam("name"))

_MAILBOXES = sa.select(*MAILBOX_COLUMNS).where(
    tables.mailbox.c.domain_id == sa.bindparam("domain_id"),
    tables.mailbox.c.local.in_(sa.bindparam("keys", expanding=True)),
)

_TARGETS = (
    sa.select(tables.alias.c.local, tables.alias_target.c.target)
    .join(tables.alias_target, tables.alias_target.c.alias_id == tables.alias.c.id)
    .where(
        tables.alias.c.domain_id == sa.bindparam("domain_id"),
        tables.alias.c.local.in_(sa.bindparam("keys", expanding=True)),
    )
    .order_by(tables.alias_target.c.place)
)

_FIRST_MAILBOX = (
    sa.select(tables.mailbox.c.local, tables.domain.c.name)
    .join(tables.domain, tables.domain.c.id == tables.mailbox.c.domain_id)
    .where(tables.mailbox.c.enabled)
    .order_by(tables.mailbox.c.id)  # ids sort by the time they were made
    .limit(1)
)


def find_domain(connection: sa.Connection, name: str) -> Domain | None:
    """Our domain of that name; one query."""
    row = connection.execute(_DOMAIN, {"name": name}).first()
    return None if row is None else read_domain_row(row)


def find_mailbox(connection: sa.Connection, domain: Domain, key: str) -> Mailbox | None:
    """The mailbox of that very name; one query."""
    row = connection.execute(_MAILBOXES, {"domain_id": domain.id, "keys": [key]}).first()
    return None if row is None else read_mailbox_row(domain.name, row)


class Lookup:
    """A ``Source`` for one transaction; remembers the domains it met."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._domains: dict[str, Domain | None] = {}

    def domain(self, name: str) -> Domain | None:
        """Our domain of that name; one query the first time."""
        if name not in self._domains:
            self._domains[name] = find_domain(self._connection, name)
        return self._domains[name]

    def entries(self, domain: Domain, keys: tuple[str, ...]) -> Mapping[str, Entry]:
        """What bears these local parts; two queries."""
        asked = {"domain_id": domain.id, "keys": list(keys)}
        boxes = {
            row.local: read_mailbox_row(domain.name, row)
            for row in self._connection.execute(_MAILBOXES, asked)
        }
        targets: dict[str, list[str]] = {}
        for local, target in self._connection.execute(_TARGETS, asked):
            targets.setdefault(local, []).append(target)
        return {
            key: Entry(boxes.get(key), read_targets(targets.get(key, [])))
            for key in boxes.keys() | targets.keys()
        }

    def site_postmaster(self) -> tuple[Address, ...]:
        """Who was set to get the site's postmaster mail; one query."""
        return settings.site_postmaster(self._connection)

    def is_this_host(self, domain: str) -> bool:
        """False: commands see what is written in the tables, where no host has a name."""
        return False

    def first_mailbox(self) -> Address | None:
        """The oldest enabled mailbox; one query along the primary key."""
        row = self._connection.execute(_FIRST_MAILBOX).first()
        return None if row is None else Address(row[0], row[1])
