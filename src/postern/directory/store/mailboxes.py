"""Mailboxes: added, changed, removed, each in one durable transaction."""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa

from postern.directory import wording
from postern.directory.ids import new_id
from postern.directory.model import (
    KEEP,
    Domain,
    Mailbox,
    MailboxPatch,
    Problem,
    Refused,
)
from postern.directory.names import local_key, read_address
from postern.directory.store import domains, tables
from postern.directory.store.changes import Leaving, Value, Writing
from postern.directory.store.lookup import Lookup, find_mailbox
from postern.directory.store.rows import MAILBOX_COLUMNS, read_mailbox_row
from postern.mail.address import Address


def require_address(connection: sa.Connection, text: str) -> tuple[Domain, str] | Refused:
    """The domain of ours and the local key of an address a person named, or why not."""
    address = read_address(text)
    if address is None or not address.domain:
        return Refused(
            Problem.MALFORMED, f"{text!r} is not an address, such as wang@harbour.example"
        )
    domain = domains.require(connection, address.domain)
    return domain if isinstance(domain, Refused) else (domain, local_key(address.local))


def require(connection: sa.Connection, text: str) -> Mailbox | Refused:
    """The mailbox a person named, or why not, with the nearest that is there."""
    place = require_address(connection, text)
    if isinstance(place, Refused):
        return place
    domain, key = place
    found = find_mailbox(connection, domain, key)
    if found is not None:
        return found
    address = str(Address(key, domain.name))
    if Lookup(connection).entries(domain, (key,)):
        return Refused(
            Problem.NOT_THERE, f"{address} is an alias; see: postern alias show {address}"
        )
    rows = connection.execute(
        sa.select(tables.mailbox.c.local)
        .where(tables.mailbox.c.domain_id == domain.id)
        .limit(wording.MAX_CANDIDATES)
    )
    near = wording.nearest(key, (row.local for row in rows), domain.name)
    return Refused(
        Problem.NOT_THERE,
        f"there is no mailbox {address}{near or f'; see: postern mailbox list {domain.name}'}",
    )


def add(
    writing: Writing, text: str, password_hash: str | None, quota_bytes: int | None
) -> Mailbox | Refused:
    """Make a mailbox in a domain of ours."""
    place = require_address(writing.connection, text)
    if isinstance(place, Refused):
        return place
    domain, key = place
    address = Address(key, domain.name)
    refused = _refuse_new(writing.connection, domain, address)
    if refused is not None:
        return refused
    mailbox = Mailbox(
        id=new_id(writing.clock),
        address=address,
        created_at=writing.clock.now(),
        enabled=True,
        quota_bytes=quota_bytes,
        password_hash=password_hash,
    )
    writing.connection.execute(
        tables.mailbox.insert().values(
            id=mailbox.id,
            domain_id=domain.id,
            local=key,
            created_at=mailbox.created_at,
            enabled=True,
            quota_bytes=quota_bytes,
            password_hash=password_hash,
        )
    )
    _log(writing, mailbox, "add", password_changed=password_hash is not None)
    return mailbox


def _refuse_new(connection: sa.Connection, domain: Domain, address: Address) -> Refused | None:
    text = str(address)
    if domain.is_gateway:
        return Refused(
            Problem.NOT_ALLOWED,
            f"mail for {domain.name} goes on to {domain.gateway_host}, so a mailbox here would "
            f"stay empty; to keep its mail here: postern domain set {domain.name} --here",
        )
    entry = Lookup(connection).entries(domain, (address.local,)).get(address.local)
    if entry is None:
        return None
    if entry.mailbox is not None:
        return Refused(
            Problem.ALREADY_THERE,
            f"the mailbox {text} is here already; to change it: postern mailbox set {text}",
        )
    return Refused(
        Problem.ALREADY_THERE,
        f"{text} is an alias; remove it first: postern alias remove {text}",
    )


def change(writing: Writing, text: str, patch: MailboxPatch) -> Mailbox | Refused:
    """Change a mailbox: password, quota, on or off."""
    mailbox = require(writing.connection, text)
    if isinstance(mailbox, Refused):
        return mailbox
    changed_password = patch.password_hash is not KEEP
    if patch.password_hash is not KEEP:
        mailbox = replace(mailbox, password_hash=patch.password_hash)
    if patch.quota_bytes is not KEEP:
        mailbox = replace(mailbox, quota_bytes=patch.quota_bytes)
    if patch.enabled is not KEEP:
        mailbox = replace(mailbox, enabled=patch.enabled)
    writing.connection.execute(
        tables.mailbox.update()
        .where(tables.mailbox.c.id == mailbox.id)
        .values(
            password_hash=mailbox.password_hash,
            quota_bytes=mailbox.quota_bytes,
            enabled=mailbox.enabled,
        )
    )
    _log(writing, mailbox, "set", password_changed=changed_password)
    return mailbox


def remove(writing: Writing, text: str, leaving: Leaving) -> Mailbox | Refused:
    """Remove a mailbox; its mail on disk stays."""
    connection = writing.connection
    mailbox = require(connection, text)
    if isinstance(mailbox, Refused):
        return mailbox
    name = str(mailbox.address)
    domain = Lookup(connection).domain(mailbox.address.domain)
    if domain is not None:
        entry = Lookup(connection).entries(domain, (mailbox.address.local,))
        if entry[mailbox.address.local].targets:
            return Refused(
                Problem.NOT_ALLOWED,
                f"the alias {name} keeps a copy in this mailbox; remove the alias first: "
                f"postern alias remove {name}",
            )
    connection.execute(tables.mailbox.delete().where(tables.mailbox.c.id == mailbox.id))
    writing.log("mailbox", mailbox.id, "remove", address=name)
    leaving(writing, mailbox.address.key)
    return mailbox


def senders_to(connection: sa.Connection, address: Address, limit: int = 10) -> list[str]:
    """Aliases and catch-alls that name ``address`` as a target, at most ``limit``, by name."""
    target = str(address)
    aliases = connection.execute(
        sa.select(tables.alias.c.local, tables.domain.c.name)
        .join(tables.alias_target, tables.alias_target.c.alias_id == tables.alias.c.id)
        .join(tables.domain, tables.domain.c.id == tables.alias.c.domain_id)
        .where(tables.alias_target.c.target == target)
        .order_by(tables.domain.c.name, tables.alias.c.local)
        .limit(limit)
    )
    found = [str(Address(row.local, row.name)) for row in aliases]
    catch_alls = connection.execute(
        sa.select(tables.domain.c.name).where(tables.domain.c.catch_all == target).limit(limit)
    )
    return (found + [f"the catch-all of {row.name}" for row in catch_alls])[:limit]


def listed(connection: sa.Connection, domain: Domain | None) -> Iterator[Mailbox]:
    """Mailboxes by domain and name, of one domain or of all, one row at a time."""
    query = (
        sa.select(*MAILBOX_COLUMNS, tables.domain.c.name)
        .join(tables.domain, tables.domain.c.id == tables.mailbox.c.domain_id)
        .order_by(tables.domain.c.name, tables.mailbox.c.local)
    )
    if domain is not None:
        query = query.where(tables.mailbox.c.domain_id == domain.id)
    for row in connection.execute(query):
        yield read_mailbox_row(row[6], row[:6])


def _log(writing: Writing, mailbox: Mailbox, action: str, *, password_changed: bool) -> None:
    values: dict[str, Value] = {
        "address": str(mailbox.address),
        "enabled": mailbox.enabled,
        "quota_bytes": mailbox.quota_bytes,
    }
    if password_changed:
        values["password_changed"] = True
    writing.log("mailbox", mailbox.id, action, **values)
