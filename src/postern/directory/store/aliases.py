"""Aliases: added, changed, removed, each in one durable transaction; circles are refused.

The bare ``postmaster`` is an alias of the whole site, kept as a setting.
"""

from collections.abc import Iterator

import sqlalchemy as sa

from postern.directory import wording
from postern.directory.expand import MAX_DESTINATIONS, SITE_POSTMASTER
from postern.directory.ids import new_id
from postern.directory.model import Alias, Domain, Problem, Refused
from postern.directory.names import key_of, read_address
from postern.directory.store import settings, tables
from postern.directory.store.changes import Writing
from postern.directory.store.circles import circle_from
from postern.directory.store.lookup import Lookup
from postern.directory.store.mailboxes import require_address
from postern.directory.store.rows import read_targets
from postern.mail.address import Address


def find(connection: sa.Connection, domain: Domain, key: str) -> Alias | None:
    """The alias of that very name."""
    row = connection.execute(
        sa.select(tables.alias.c.id, tables.alias.c.created_at).where(
            tables.alias.c.domain_id == domain.id, tables.alias.c.local == key
        )
    ).first()
    if row is None:
        return None
    targets = connection.execute(
        sa.select(tables.alias_target.c.target)
        .where(tables.alias_target.c.alias_id == row.id)
        .order_by(tables.alias_target.c.place)
    )
    return Alias(
        row.id,
        Address(key, domain.name),
        read_targets([target.target for target in targets]),
        row.created_at,
    )


def site_alias(connection: sa.Connection) -> Alias | None:
    """The site's postmaster as an alias, or None when nobody was set."""
    targets = settings.site_postmaster(connection)
    return Alias("", SITE_POSTMASTER, targets, 0.0) if targets else None


def require(connection: sa.Connection, text: str) -> Alias | Refused:
    """The alias a person named, or why not, with the nearest that is there."""
    if read_address(text) == SITE_POSTMASTER:
        return site_alias(connection) or Refused(
            Problem.NOT_THERE,
            "nobody is set as the site's postmaster, the oldest mailbox gets its mail; to set one: "
            "postern alias add postmaster ADDRESS",
        )
    place = require_address(connection, text)
    if isinstance(place, Refused):
        return place
    domain, key = place
    found = find(connection, domain, key)
    if found is not None:
        return found
    address = str(Address(key, domain.name))
    if Lookup(connection).entries(domain, (key,)):
        return Refused(
            Problem.NOT_THERE, f"{address} is a mailbox; see: postern mailbox show {address}"
        )
    rows = connection.execute(
        sa.select(tables.alias.c.local)
        .where(tables.alias.c.domain_id == domain.id)
        .limit(wording.MAX_CANDIDATES)
    )
    near = wording.nearest(key, (row.local for row in rows), domain.name)
    return Refused(
        Problem.NOT_THERE,
        f"there is no alias {address}{near or f'; see: postern alias list {domain.name}'}",
    )


def read_target_texts(texts: list[str]) -> tuple[Address, ...] | Refused:
    """The targets a person named, none twice."""
    targets: list[Address] = []
    for text in texts:
        target = read_address(text)
        if target is None:
            return Refused(Problem.MALFORMED, f"{text!r} is not an address, such as li@tea.example")
        if target not in targets:
            targets.append(target)
    if not targets:
        return Refused(Problem.MALFORMED, "an alias needs at least one target")
    if len(targets) > MAX_DESTINATIONS:
        return Refused(
            Problem.NOT_ALLOWED,
            f"an alias can have {MAX_DESTINATIONS} targets, these are {len(targets)}; "
            "use several aliases, or a mailing list",
        )
    return tuple(targets)


def _one_spelling(connection: sa.Connection, targets: tuple[Address, ...]) -> tuple[Address, ...]:
    """Targets of ours by their key, those outside as typed; none twice."""
    source = Lookup(connection)
    spelled = (
        key_of(target) if not target.domain or source.domain(target.domain) else target
        for target in targets
    )
    return tuple(dict.fromkeys(spelled))


def add(writing: Writing, text: str, targets: tuple[Address, ...]) -> Alias | Refused:
    """Send mail for an address to ``targets``."""
    connection = writing.connection
    targets = _one_spelling(connection, targets)
    if read_address(text) == SITE_POSTMASTER:
        if site_alias(connection) is not None:
            return Refused(
                Problem.ALREADY_THERE,
                "the site's postmaster is set already; to change it: postern alias set postmaster",
            )
        return _write_site(writing, targets, "add")
    place = require_address(connection, text)
    if isinstance(place, Refused):
        return place
    domain, key = place
    address = Address(key, domain.name)
    if find(connection, domain, key) is not None:
        return Refused(
            Problem.ALREADY_THERE,
            f"the alias {address!s} is here already; to change it: postern alias set {address!s}",
        )
    alias = Alias(new_id(writing.clock), address, targets, writing.clock.now())
    connection.execute(
        tables.alias.insert().values(
            id=alias.id, domain_id=domain.id, local=key, created_at=alias.created_at
        )
    )
    return _write_targets(writing, domain, alias, "add")


def change(writing: Writing, text: str, targets: tuple[Address, ...]) -> Alias | Refused:
    """Give an alias other targets."""
    targets = _one_spelling(writing.connection, targets)
    alias = require(writing.connection, text)
    if isinstance(alias, Refused):
        return alias
    if alias.address == SITE_POSTMASTER:
        return _write_site(writing, targets, "set")
    domain = Lookup(writing.connection).domain(alias.address.domain)
    assert domain is not None  # the foreign key says so
    writing.connection.execute(
        tables.alias_target.delete().where(tables.alias_target.c.alias_id == alias.id)
    )
    changed = Alias(alias.id, alias.address, targets, alias.created_at)
    return _write_targets(writing, domain, changed, "set")


def _write_targets(writing: Writing, domain: Domain, alias: Alias, action: str) -> Alias | Refused:
    texts = [str(target) for target in alias.targets]
    name = str(alias.address)
    writing.connection.execute(
        tables.alias_target.insert(),
        [{"alias_id": alias.id, "place": n, "target": text} for n, text in enumerate(texts)],
    )
    entry = Lookup(writing.connection).entries(domain, (alias.address.local,))
    keeps_copy = any(key_of(target) == alias.address for target in alias.targets)
    if entry[alias.address.local].mailbox is not None and not keeps_copy:
        return Refused(
            Problem.ALREADY_THERE,
            f"{name} is a mailbox, which would get nothing any more; name {name} among the targets "
            "to keep a copy there, or remove the mailbox first",
        )
    circle = circle_from(writing.connection, alias.address)
    if circle is not None:
        return Refused(Problem.NOT_ALLOWED, circle)
    writing.log("alias", alias.id, action, address=name, targets=texts)
    return alias


def _write_site(writing: Writing, targets: tuple[Address, ...], action: str) -> Alias | Refused:
    texts = [str(target) for target in targets]
    settings.write_setting(writing.connection, settings.POSTMASTER, "\n".join(texts))
    circle = circle_from(writing.connection, SITE_POSTMASTER)
    if circle is not None:
        return Refused(Problem.NOT_ALLOWED, circle)
    writing.log("setting", settings.POSTMASTER, action, targets=texts)
    return Alias("", SITE_POSTMASTER, targets, 0.0)


def remove(writing: Writing, text: str) -> Alias | Refused:
    """Remove an alias; mailboxes it led to stay."""
    alias = require(writing.connection, text)
    if isinstance(alias, Refused):
        return alias
    if alias.address == SITE_POSTMASTER:
        settings.remove_setting(writing.connection, settings.POSTMASTER)
        writing.log("setting", settings.POSTMASTER, "remove")
        return alias
    writing.connection.execute(tables.alias.delete().where(tables.alias.c.id == alias.id))
    writing.log("alias", alias.id, "remove", address=str(alias.address))
    return alias


def listed(connection: sa.Connection, domain: Domain | None) -> Iterator[Alias]:
    """Aliases by domain and name, of one domain or of all, one at a time."""
    query = (
        sa.select(
            tables.alias.c.id,
            tables.alias.c.local,
            tables.alias.c.created_at,
            tables.domain.c.name,
            tables.alias_target.c.target,
        )
        .join(tables.domain, tables.domain.c.id == tables.alias.c.domain_id)
        .join(tables.alias_target, tables.alias_target.c.alias_id == tables.alias.c.id)
        .order_by(tables.domain.c.name, tables.alias.c.local, tables.alias_target.c.place)
    )
    if domain is not None:
        query = query.where(tables.alias.c.domain_id == domain.id)
    current: Alias | None = None
    for row in connection.execute(query):
        targets = read_targets([row.target])
        if current is not None and current.id == row.id:
            current = Alias(current.id, current.address, current.targets + targets, row.created_at)
            continue
        if current is not None:
            yield current
        current = Alias(row.id, Address(row.local, row.name), targets, row.created_at)
    if current is not None:
        yield current
