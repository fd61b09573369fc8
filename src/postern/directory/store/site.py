"""The directory for those who change it: commands and console. Workers read through ``Directory``.

Every method is one transaction, durable when it returns; a refusal changes nothing.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from postern.directory.expand import SITE_POSTMASTER, resolve
from postern.directory.model import (
    Alias,
    Change,
    Domain,
    DomainPatch,
    DomainSummary,
    HostPort,
    Mailbox,
    MailboxPatch,
    Refused,
)
from postern.directory.resolution import Resolution
from postern.directory.store import aliases, changes, circles, domains, mailboxes, settings
from postern.directory.store.changes import Leaving, Writing, nobody_told
from postern.directory.store.lookup import Lookup
from postern.mail.address import Address
from postern.runtime.clock import Clock
from postern.runtime.database.engine import Database
from postern.runtime.database.migrate import migrate
from postern.runtime.folders import DATA_MODE, make_folder

FILE_NAME = "site.db"

T = TypeVar("T")


class SiteStore:
    """Domains, mailboxes, aliases and settings of ``site.db``.

    Args:
        database: an open database, already migrated.
        clock: for the change log.
        author: who changes, for the change log, such as ``cli:root``.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self.database = database
        self._clock = clock
        self._author = author

    @classmethod
    def open(cls, data_dir: Path, clock: Clock, author: str) -> "SiteStore":
        """Open ``site.db`` in ``data_dir``, made and brought to this version's shape if need be.

        Raises:
            DatabaseTroubleError: it cannot be opened, or a newer Postern wrote it.
            OSError: ``data_dir`` cannot be made.
        """
        make_folder(data_dir, DATA_MODE)
        database = Database.open(data_dir / FILE_NAME)
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
        return cls(database, clock, author)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    # --- domains ---

    def add_domain(self, name: str, gateway: HostPort | None = None) -> Domain | Refused:
        """Take mail for a domain, into mailboxes here or for the server named by ``gateway``."""
        return self._change(lambda writing: domains.add(writing, name, gateway))

    def set_domain(self, name: str, patch: DomainPatch) -> Domain | Refused:
        """Change a domain."""
        return self._change(lambda writing: domains.change(writing, name, patch))

    def remove_domain(
        self, name: str, leaving: Leaving = nobody_told, *, with_contents: bool = False
    ) -> DomainSummary | Refused:
        """Remove a domain; with mailboxes or aliases in it only if ``with_contents``."""
        return self._change(
            lambda writing: domains.remove(writing, name, leaving, with_contents=with_contents)
        )

    def domain(self, name: str) -> DomainSummary | Refused:
        """One domain with its counts."""
        with self.database.read() as connection:
            found = domains.require(connection, name)
            return found if isinstance(found, Refused) else domains.count(connection, found)

    def domain_names(self, most: int) -> list[str]:
        """The first ``most`` domains by name."""
        with self.database.read() as connection:
            return domains.names(connection, most)

    def domains(self) -> Iterator[DomainSummary]:
        """All domains by name."""
        with self.database.read() as connection:
            yield from domains.summaries(connection)

    # --- mailboxes ---

    def add_mailbox(
        self, address: str, password_hash: str | None = None, quota_bytes: int | None = None
    ) -> Mailbox | Refused:
        """Make a mailbox. ``password_hash`` comes from ``credentials.hash_password``."""
        return self._change(
            lambda writing: mailboxes.add(writing, address, password_hash, quota_bytes)
        )

    def set_mailbox(self, address: str, patch: MailboxPatch) -> Mailbox | Refused:
        """Change a mailbox."""
        return self._change(lambda writing: mailboxes.change(writing, address, patch))

    def remove_mailbox(self, address: str, leaving: Leaving = nobody_told) -> Mailbox | Refused:
        """Remove a mailbox; its mail on disk stays."""
        return self._change(lambda writing: mailboxes.remove(writing, address, leaving))

    def mailbox(self, address: str) -> Mailbox | Refused:
        """One mailbox."""
        with self.database.read() as connection:
            return mailboxes.require(connection, address)

    def mailboxes(self, domain: str | None = None) -> Iterator[Mailbox] | Refused:
        """Mailboxes by domain and name, of one domain or of all."""
        return self._listed(domain, mailboxes.listed)

    def senders_to(self, address: Address) -> list[str]:
        """Names of aliases and catch-alls that lead straight to ``address``; at most ten."""
        with self.database.read() as connection:
            return mailboxes.senders_to(connection, address)

    # --- aliases ---

    def add_alias(self, address: str, targets: list[str]) -> Alias | Refused:
        """Send mail for ``address`` to ``targets``; ``postmaster`` alone is the whole site's."""
        return self._with_targets(aliases.add, address, targets)

    def set_alias(self, address: str, targets: list[str]) -> Alias | Refused:
        """Give an alias other targets."""
        return self._with_targets(aliases.change, address, targets)

    def remove_alias(self, address: str) -> Alias | Refused:
        """Remove an alias."""
        return self._change(lambda writing: aliases.remove(writing, address))

    def alias(self, address: str) -> Alias | Refused:
        """One alias."""
        with self.database.read() as connection:
            return aliases.require(connection, address)

    def aliases(self, domain: str | None = None) -> Iterator[Alias] | Refused:
        """Aliases by domain and name, of one domain or of all; the site's postmaster first."""
        found = self._listed(domain, aliases.listed)
        if isinstance(found, Refused) or domain is not None:
            return found
        return self._with_site_alias(found)

    def missing_targets(self, alias: Alias) -> tuple[Address, ...]:
        """Targets of ours that nothing answers for now: their copies would go nowhere."""
        with self.database.read() as connection:
            return circles.missing_targets(connection, alias.targets, alias.address)

    def resolve(self, address: Address) -> Resolution:
        """What becomes of mail for ``address``, read afresh."""
        with self.database.read() as connection:
            return resolve(Lookup(connection), address)

    # --- the site ---

    def trace_key(self) -> bytes:
        """The key of the trace codes, made on first use."""
        with self.database.write() as connection:
            return settings.ensure_trace_key(connection)

    def srs_key(self) -> bytes:
        """The key of rewritten return addresses, made on first use."""
        with self.database.write() as connection:
            return settings.ensure_srs_key(connection)

    def reserve_counters(self) -> range:
        """A block of trace counters that nobody was given before; durable when it returns."""
        with self.database.write() as connection:
            return settings.reserve_counters(connection)

    def changes(self, after: int = 0, limit: int = 1_000) -> list[Change]:
        """The change log behind ``after``, oldest first."""
        with self.database.read() as connection:
            return changes.read_changes(connection, after, limit)

    # --- how ---

    def _change(self, make: Callable[[Writing], T | Refused]) -> T | Refused:
        with self.database.write() as connection:
            result = make(Writing(connection, self._clock, self._author))
            if isinstance(result, Refused):
                connection.rollback()
        return result

    def _with_targets(
        self,
        make: Callable[[Writing, str, tuple[Address, ...]], Alias | Refused],
        address: str,
        texts: list[str],
    ) -> Alias | Refused:
        targets = aliases.read_target_texts(texts)
        if isinstance(targets, Refused):
            return targets
        return self._change(lambda writing: make(writing, address, targets))

    def _listed(
        self,
        name: str | None,
        rows: Callable[..., Iterator[T]],
    ) -> Iterator[T] | Refused:
        domain: Domain | None = None
        if name is not None:
            with self.database.read() as connection:
                found = domains.require(connection, name)
            if isinstance(found, Refused):
                return found
            domain = found
        return self._rows(domain, rows)

    def _rows(self, domain: Domain | None, rows: Callable[..., Iterator[T]]) -> Iterator[T]:
        with self.database.read() as connection:
            yield from rows(connection, domain)

    def _with_site_alias(self, found: Iterator[Alias]) -> Iterator[Alias]:
        with self.database.read() as connection:
            site = aliases.site_alias(connection)
        if site is not None:
            assert site.address == SITE_POSTMASTER
            yield site
        yield from found
