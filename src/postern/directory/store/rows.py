"""Rows to values: the one place where text columns become addresses again."""

from postern.directory.model import Domain, Mailbox
from postern.directory.names import read_address
from postern.directory.store import tables
from postern.mail.address import Address

DomainRow = tuple[str, str, float, str | None, int | None, str | None, str | None, int | None]
MailboxRow = tuple[str, str, float, bool, int | None, str | None]

DOMAIN_COLUMNS = (
    tables.domain.c.id,
    tables.domain.c.name,
    tables.domain.c.created_at,
    tables.domain.c.gateway_host,
    tables.domain.c.gateway_port,
    tables.domain.c.catch_all,
    tables.domain.c.separator,
    tables.domain.c.quota_bytes,
)

MAILBOX_COLUMNS = (
    tables.mailbox.c.id,
    tables.mailbox.c.local,
    tables.mailbox.c.created_at,
    tables.mailbox.c.enabled,
    tables.mailbox.c.quota_bytes,
    tables.mailbox.c.password_hash,
)


def read_domain_row(row: DomainRow) -> Domain:
    """A row of ``DOMAIN_COLUMNS``."""
    key, name, created_at, host, port, catch_all, separator, quota_bytes = row
    return Domain(
        id=key,
        name=name,
        created_at=created_at,
        gateway_host=host,
        gateway_port=port,
        catch_all=read_address(catch_all) if catch_all else None,
        separator=separator or None,
        quota_bytes=quota_bytes,
    )


def read_mailbox_row(domain_name: str, row: MailboxRow) -> Mailbox:
    """A row of ``MAILBOX_COLUMNS``."""
    key, local, created_at, enabled, quota_bytes, password_hash = row
    return Mailbox(
        id=key,
        address=Address(local, domain_name),
        created_at=created_at,
        enabled=bool(enabled),
        quota_bytes=quota_bytes,
        password_hash=password_hash,
    )


def read_targets(texts: list[str]) -> tuple[Address, ...]:
    """Stored targets; one that cannot be read (damage) is left out rather than guessed."""
    read = (read_address(text) for text in texts)
    return tuple(target for target in read if target is not None)
