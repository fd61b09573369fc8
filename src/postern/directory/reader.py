"""The directory as workers ask it: cached answers, dropped as soon as anybody changed anything.

Caches hold what was asked for, least recently asked out first, never a whole table: a site with a
million mailboxes costs a worker no more memory than its caches' bounds. What is remembered is
also that something is not there, so a guesser cannot make every guess a query twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from postern.directory.expand import HOST_POSTMEN, SITE_POSTMASTER, Entry, resolve
from postern.directory.model import Domain, Mailbox
from postern.directory.names import home_path, key_of, local_key, without_tag
from postern.directory.resolution import Destination, NotOurs, Resolution, Resolved, Store
from postern.directory.store.changes import last_change
from postern.directory.store.lookup import Lookup, find_domain
from postern.mail.address import Address
from postern.runtime.database.engine import Database
from postern.runtime.database.trouble import DatabaseTroubleError

CACHED_DOMAINS = 8_192
CACHED_ADDRESSES = 16_384


class Watch(Protocol):
    """Tells whether anybody changed the database; ``ChangeWatch`` is one."""

    def changed(self) -> bool:
        """True once after each change, and when it couldn't tell."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who logged in: a mailbox of ours that is switched on."""

    address: Address
    mailbox_id: str


class Directory:
    """Looks up domains and addresses; used from one thread.

    Call ``refresh`` at the start of every transaction: a change made by a command that has
    returned then holds. Look-ups raise ``DatabaseTroubleError`` when the database cannot answer:
    couldn't tell, never "not there".
    """

    def __init__(self, database: Database, watch: Watch) -> None:
        self._database = database
        self._watch = watch
        self._is_this_host: Callable[[str], bool] = _is_nowhere
        self._forgets: list[Callable[[], None]] = []
        self._position: int | None = None
        self._domain = lru_cache(CACHED_DOMAINS)(self._read_domain)
        self._resolved = lru_cache(CACHED_ADDRESSES)(self._read_resolution)
        self._mailbox = lru_cache(CACHED_ADDRESSES)(self._read_mailbox)
        self._clear()

    def answer_for_host(self, is_this_host: Callable[[str], bool]) -> None:
        """Take the mail for the postmaster of the host itself (RFC 5321 §4.5.1).

        Args:
            is_this_host: whether a domain, or an address literal in brackets, is the server's own.
        """
        self._is_this_host = is_this_host
        self._clear()

    def is_this_host(self, domain: str) -> bool:
        """Whether that is the name, or the address literal, of the server itself."""
        return self._is_this_host(domain)

    def refresh(self) -> bool:
        """Drop the caches if the directory changed since the last call; a few microseconds.

        The database also holds what is written while mail flows (how often rules were of use,
        requests of commands, who was seen before): only what stands in the change log counts.
        """
        if not self._watch.changed():
            return False
        position = self._log_position()
        if position is not None and position == self._position:
            return False
        self._position = position
        self._clear()
        for forget in self._forgets:
            forget()
        return True

    def on_change(self, forget: Callable[[], None]) -> None:
        """Have ``forget`` called as well whenever the change log has grown: it caches of it too."""
        self._forgets.append(forget)

    def _log_position(self) -> int | None:
        """How far the change log goes; None where it is empty, or the database could not tell."""
        try:
            with self._database.read() as connection:
                return last_change(connection)
        except DatabaseTroubleError:
            return None  # whoever asks for the facts meets the trouble

    def domain(self, name: str) -> Domain | None:
        """Our domain of that name (lower-case A-labels), or None."""
        return self._domain(name)

    def resolve(self, address: Address) -> Resolution:
        """What becomes of mail for ``address``.

        The bare ``postmaster`` is known too, and the postmaster of the host itself.
        """
        if address.domain and self._domain(address.domain) is None:
            # Without this, mail going out would fill the cache of addresses with strangers.
            if local_key(address.local) in HOST_POSTMEN and self._is_this_host(address.domain):
                return self._resolved(SITE_POSTMASTER)
            return _NOT_OURS
        return self._resolved(address)

    def mailbox(self, address: Address) -> Mailbox | None:
        """The mailbox of that very name, switched on or not; tags and aliases are not followed."""
        if self._domain(address.domain) is None:
            return None
        return self._mailbox(key_of(address))

    def mailbox_of(self, address: Address) -> Mailbox | None:
        """The mailbox a delivery to ``address`` is put in: of that name, or without the tag.

        Aliases are not followed: they were expanded when the mail came in.
        """
        domain = self._domain(address.domain)
        if domain is None:
            return None
        key = local_key(address.local)
        found = self._mailbox(Address(key, domain.name))
        if found is None:
            base = without_tag(key, domain.separator)
            found = None if base is None else self._mailbox(Address(base, domain.name))
        return found

    def owner_of(self, address: Address) -> Address:
        """Whose mail a delivery to ``address`` is: that mailbox, else the address, in one spelling.

        The latter is somebody's behind a customer's own server, or elsewhere.
        """
        found = self.mailbox_of(address)
        return key_of(address) if found is None else found.address

    def home_of(self, address: Address) -> str | None:
        """``<domain>/<localpart>`` of the mailbox for ``address``, safe as a relative path.

        None when there is no such mailbox (any more); a switched-off one keeps its home.
        """
        found = self.mailbox_of(address)
        return None if found is None else home_path(found.address.domain, found.address.local)

    def may_send_as(self, account: Account, address: Address) -> bool:
        """Whether ``account`` may put ``address`` in MAIL FROM or From.

        Its own address and those with a tag; else addresses whose mail it gets: aliases that lead
        to it, whatever its catch-all catches. Another's mailbox is never its to send as, not
        even where an alias of the same name copies that mailbox's mail to it.
        """
        owner = self.mailbox_of(address)
        if owner is not None:
            return owner.address == account.address
        resolution = self.resolve(address)
        return isinstance(resolution, Resolved) and any(
            destination.local and self._is_at(account, destination.address)
            for destination in resolution.destinations
        )

    def _is_at(self, account: Account, address: Address) -> bool:
        owner = self.mailbox_of(address)
        return owner is not None and owner.address == account.address

    def _clear(self) -> None:
        self._domain.cache_clear()
        self._resolved.cache_clear()
        self._mailbox.cache_clear()

    def _read_domain(self, name: str) -> Domain | None:
        with self._database.read() as connection:
            return find_domain(connection, name)

    def _read_resolution(self, address: Address) -> Resolution:
        with self._database.read() as connection:
            source = _Remembering(self, Lookup(connection))
            found = resolve(source, address)
        return self._with_stores(found, source) if isinstance(found, Resolved) else found

    def _with_stores(self, resolved: Resolved, source: "_Remembering") -> Resolved:
        """Told once, with what is cached: no recipient pays for limits that nobody set."""
        found = (self._store_of(one, source) for one in resolved.destinations if one.local)
        stores = tuple(store for store in found if store is not None)
        return replace(resolved, stores=stores, has_quota=any(one.has_quota for one in stores))

    def _store_of(self, destination: Destination, source: "_Remembering") -> Store | None:
        domain = self._domain(destination.address.domain)
        found = None if domain is None else source.mailbox_of(destination.address, domain)
        if domain is None or found is None:
            return None
        limit = domain.quota_bytes
        home = home_path(found.address.domain, found.address.local)
        return Store(found.address, home, found.quota_bytes, limit)

    def _read_mailbox(self, key: Address) -> Mailbox | None:
        domain = self._domain(key.domain)
        if domain is None:
            return None
        with self._database.read() as connection:
            entry = Lookup(connection).entries(domain, (key.local,)).get(key.local)
        return None if entry is None else entry.mailbox


_NOT_OURS = NotOurs()


def _is_nowhere(_domain: str) -> bool:
    return False


class _Remembering:
    """A ``Source`` that takes domains from the directory's cache and the rest from the tables.

    It keeps the mailboxes it came across: what they may hold is asked once the walk is over.
    """

    def __init__(self, directory: Directory, lookup: Lookup) -> None:
        self._directory = directory
        self._lookup = lookup
        self._mailboxes: dict[Address, Mailbox] = {}

    def domain(self, name: str) -> Domain | None:
        return self._directory.domain(name)

    def entries(self, domain: Domain, keys: tuple[str, ...]) -> Mapping[str, Entry]:
        found = self._lookup.entries(domain, keys)
        for entry in found.values():
            if entry.mailbox is not None:
                self._mailboxes[entry.mailbox.address] = entry.mailbox
        return found

    def mailbox_of(self, address: Address, domain: Domain) -> Mailbox | None:
        """The mailbox behind a destination of the walk, which has read it."""
        key = local_key(address.local)
        found = self._mailboxes.get(Address(key, domain.name))
        base = without_tag(key, domain.separator)
        if found is None and base is not None:
            found = self._mailboxes.get(Address(base, domain.name))
        return found

    def site_postmaster(self) -> tuple[Address, ...]:
        return self._lookup.site_postmaster()

    def is_this_host(self, domain: str) -> bool:
        return self._directory.is_this_host(domain)

    def first_mailbox(self) -> Address | None:
        return self._lookup.first_mailbox()
