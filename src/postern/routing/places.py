"""What is ours: the question routing asks of the directory, and its answers."""

from dataclasses import dataclass
from typing import Protocol

from postern.directory.model import Domain
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
            return _NOT_OURS
        home = self._directory.home_of(address)
        if home is not None:
            return LocalMailbox(home)
        if domain.gateway_host is not None:
            return GatewayDomain(domain.gateway_host, domain.gateway_port or SMTP_PORT)
        return _UNKNOWN


_NOT_OURS = NotOurs()
_UNKNOWN = LocalDomainUnknown()
