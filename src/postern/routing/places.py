"""What is ours: the question routing asks of the directory, and its answers."""

from dataclasses import dataclass
from typing import Protocol

from postern.directory.model import Domain
from postern.directory.resolution import Resolution, Resolved
from postern.mail.address import Address

SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class LocalMailbox:
    """A mailbox here. ``home`` is ``<domain>/<localpart>``, safe as a relative path."""

    home: str


@dataclass(frozen=True, slots=True)
class GatewayDomain:
    """A customer's own server gets the mail."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class LocalDomainUnknown:
    """The domain is ours, and this address of it is not there (any more)."""


@dataclass(frozen=True, slots=True)
class NotOurs:
    """Somebody else's domain."""


Place = LocalMailbox | GatewayDomain | LocalDomainUnknown | NotOurs


class Places(Protocol):
    """Knows what is ours. Asked for each recipient, so it must answer from memory or nearly so."""

    def destination_of(self, address: Address) -> Place:
        """Where the recipient is. Aliases were expanded when the mail came in.

        An exception means "couldn't tell": the recipient is tried again later.
        """
        ...


class Names(Protocol):
    """What is needed of the directory; ``postern.directory.reader.Directory`` is one."""

    def refresh(self) -> bool:
        """Take notice of changes; microseconds."""
        ...

    def domain(self, name: str) -> Domain | None:
        """Our domain of that name."""
        ...

    def resolve(self, address: Address) -> Resolution:
        """What becomes of mail for ``address``; microseconds for strangers."""
        ...

    def home_of(self, address: Address) -> str | None:
        """The home of the mailbox for ``address``."""
        ...


class DirectoryPlaces:
    """``Places`` by the directory."""

    def __init__(self, directory: Names) -> None:
        self._directory = directory

    def destination_of(self, address: Address) -> Place:
        """Where the recipient is, by domain first."""
        self._directory.refresh()
        domain = self._directory.domain(address.domain)
        if domain is None:
            return self._at_host(address)
        home = self._directory.home_of(address)
        if home is not None:
            return LocalMailbox(home)
        if domain.gateway_host is not None:
            return GatewayDomain(domain.gateway_host, domain.gateway_port or SMTP_PORT)
        return _UNKNOWN

    def _at_host(self, address: Address) -> Place:
        """Mail for the host's own postmaster that began here: a notice, a letter to oneself.

        It stays one delivery, so it goes to the first mailbox that gets the postmaster's mail.
        """
        resolution = self._directory.resolve(address)
        if isinstance(resolution, Resolved):
            for destination in resolution.destinations:
                home = self._directory.home_of(destination.address) if destination.local else None
                if home is not None:
                    return LocalMailbox(home)
        return _NOT_OURS


_NOT_OURS = NotOurs()
_UNKNOWN = LocalDomainUnknown()
