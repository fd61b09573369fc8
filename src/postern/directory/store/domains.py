"""Domains: added, changed, removed, each in one durable transaction."""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa

from postern.directory import wording
from postern.directory.ids import new_id
from postern.directory.model import (
    DEFAULT_SEPARATOR,
    KEEP,
    Domain,
    DomainPatch,
    DomainSummary,
    HostPort,
    Problem,
    Refused,
)
from postern.directory.names import key_of, read_domain
from postern.directory.store import tables
from postern.directory.store.changes import Leaving, Writing
from postern.directory.store.circles import circle_from
from postern.directory.store.lookup import find_domain
from postern.directory.store.rows import DOMAIN_COLUMNS, read_domain_row
from postern.mail.address import Address

SEPARATORS = "+-_=#%!&~"
"""What may stand between a name and its tag."""


def require(connection: sa.Connection, text: str) -> Domain | Refused:
    """The domain a person named, or why not, with the nearest that is there."""
    name = read_domain(text)
    if name is None:
        return Refused(Problem.MALFORMED, f"{text!r} is not a domain name, such as harbour.example")
    found = find_domain(connection, name)
    if found is not None:
        return found
    hint = wording.nearest(name, _similar(connection, name))
    return Refused(
        Problem.NOT_THERE,
        f"there is no domain {name} here{hint or '; see: postern domain list'}",
    )


def _similar(connection: sa.Connection, name: str) -> list[str]:
    length = sa.func.length(tables.domain.c.name)
    rows = connection.execute(
        sa.select(tables.domain.c.name)
        .where(length.between(len(name) - 3, len(name) + 3))
        .limit(wording.MAX_CANDIDATES)
    )
    return [row.name for row in rows]


def add(writing: Writing, text: str, gateway: HostPort | None) -> Domain | Refused:
    """Take mail for a domain: into mailboxes here, or to a customer's own server."""
    name = read_domain(text)
    if name is None:
        return Refused(Problem.MALFORMED, f"{text!r} is not a domain name, such as harbour.example")
    if find_domain(writing.connection, name) is not None:
        return Refused(
            Problem.ALREADY_THERE,
            f"the domain {name} is here already; to change it: postern domain set {name}",
        )
    domain = Domain(
        id=new_id(writing.clock),
        name=name,
        created_at=writing.clock.now(),
        gateway_host=gateway.host if gateway else None,
        gateway_port=gateway.port if gateway else None,
        separator=DEFAULT_SEPARATOR,
    )
    writing.connection.execute(
        tables.domain.insert().values(
            id=domain.id, name=name, created_at=domain.created_at, **_columns(domain)
        )
    )
    writing.log("domain", domain.id, "add", name=name, **_columns(domain))
    return domain


def change(writing: Writing, text: str, patch: DomainPatch) -> Domain | Refused:
    """Change a domain; a catch-all that would send in a circle is refused."""
    domain = require(writing.connection, text)
    if isinstance(domain, Refused):
        return domain
    if patch.gateway is not KEEP:
        refused = _refuse_gateway(writing.connection, domain, patch.gateway)
        if refused is not None:
            return refused
        domain = replace(
            domain,
            gateway_host=patch.gateway.host if patch.gateway else None,
            gateway_port=patch.gateway.port if patch.gateway else None,
        )
    if patch.separator is not KEEP:
        if patch.separator is not None and patch.separator not in tuple(SEPARATORS):
            return Refused(
                Problem.MALFORMED,
                f"{patch.separator!r} cannot separate a name from its tag, one of {SEPARATORS} can",
            )
        domain = replace(domain, separator=patch.separator)
    if patch.quota_bytes is not KEEP:
        domain = replace(domain, quota_bytes=patch.quota_bytes)
    if patch.catch_all is not KEEP:
        domain = replace(domain, catch_all=_one_spelling(writing.connection, patch.catch_all))
    if domain.is_gateway and domain.catch_all is not None:
        return Refused(
            Problem.NOT_ALLOWED,
            f"{domain.name} goes to its own server, which decides about every address; "
            "a catch-all would never be asked",
        )
    writing.connection.execute(
        tables.domain.update().where(tables.domain.c.id == domain.id).values(**_columns(domain))
    )
    circle = circle_from(writing.connection, Address("", domain.name), domain.catch_all)
    if circle is not None:
        return Refused(Problem.NOT_ALLOWED, circle)
    writing.log("domain", domain.id, "set", name=domain.name, **_columns(domain))
    return domain


def _one_spelling(connection: sa.Connection, target: Address | None) -> Address | None:
    if target is None or find_domain(connection, target.domain) is None:
        return target
    return key_of(target)


def _refuse_gateway(
    connection: sa.Connection, domain: Domain, gateway: HostPort | None
) -> Refused | None:
    mailboxes = count(connection, domain).mailboxes
    if gateway is None or not mailboxes:
        return None
    return Refused(
        Problem.NOT_ALLOWED,
        f"{domain.name} has {wording.counted(mailboxes, 'mailbox')} here, and mail that goes on to "
        f"{gateway.host} would pass by; remove first what is in the domain",
    )


def remove(
    writing: Writing, text: str, leaving: Leaving, *, with_contents: bool
) -> DomainSummary | Refused:
    """Stop taking mail for a domain; its mailboxes and aliases go with it, mail on disk stays."""
    connection = writing.connection
    domain = require(connection, text)
    if isinstance(domain, Refused):
        return domain
    summary = count(connection, domain)
    if (summary.mailboxes or summary.aliases) and not with_contents:
        return Refused(
            Problem.NOT_ALLOWED,
            f"{domain.name} still has {wording.contents(summary.mailboxes, summary.aliases)}; "
            "--yes removes them with it",
        )
    # alias_target rows go with their alias (ON DELETE CASCADE).
    for noun, table in (("mailbox", tables.mailbox), ("alias", tables.alias)):
        inside = table.c.domain_id == domain.id
        for row in connection.execute(sa.select(table.c.id, table.c.local).where(inside)).all():
            gone = Address(row.local, domain.name)
            writing.log(noun, row.id, "remove", address=str(gone))
            if table is tables.mailbox:
                leaving(writing, gone.key)
        connection.execute(table.delete().where(inside))
    connection.execute(tables.dkim_key.delete().where(tables.dkim_key.c.domain_id == domain.id))
    connection.execute(tables.domain.delete().where(tables.domain.c.id == domain.id))
    writing.log("domain", domain.id, "remove", name=domain.name)
    leaving(writing, domain.name)
    return summary


def count(connection: sa.Connection, domain: Domain) -> DomainSummary:
    """The domain with its numbers of mailboxes and aliases."""
    return DomainSummary(
        domain,
        *(
            int(
                connection.execute(
                    sa.select(sa.func.count()).where(table.c.domain_id == domain.id)
                ).scalar_one()
            )
            for table in (tables.mailbox, tables.alias)
        ),
    )


def names(connection: sa.Connection, most: int) -> list[str]:
    """The first ``most`` domains by name."""
    query = sa.select(tables.domain.c.name).order_by(tables.domain.c.name).limit(most)
    return list(connection.scalars(query))


def summaries(connection: sa.Connection) -> Iterator[DomainSummary]:
    """All domains by name, one row at a time."""
    counts = [
        sa.select(sa.func.count())
        .where(table.c.domain_id == tables.domain.c.id)
        .correlate(tables.domain)
        .scalar_subquery()
        for table in (tables.mailbox, tables.alias)
    ]
    query = sa.select(*DOMAIN_COLUMNS, *counts).order_by(tables.domain.c.name)
    for row in connection.execute(query):
        yield DomainSummary(read_domain_row(row[:8]), row[8], row[9])


def _columns(domain: Domain) -> dict[str, str | int | None]:
    return {
        "gateway_host": domain.gateway_host,
        "gateway_port": domain.gateway_port,
        "catch_all": str(domain.catch_all) if domain.catch_all else None,
        "separator": domain.separator,
        "quota_bytes": domain.quota_bytes,
    }
