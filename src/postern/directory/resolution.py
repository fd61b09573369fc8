"""What became of an address when the directory was asked: values, matched exhaustively."""

from dataclasses import dataclass, field
from enum import Enum

from postern.mail.address import Address


class Via(Enum):
    """What in the directory answered for the address."""

    MAILBOX = "mailbox"
    ALIAS = "alias"
    PLUS = "plus"
    CATCH_ALL = "catch-all"
    POSTMASTER = "postmaster"


@dataclass(frozen=True, slots=True)
class Destination:
    """One place the mail goes. ``local``: a mailbox here, else routing looks for its way.

    ``outside``: in a domain that is none of ours, so that whoever is sent on there is forwarded.

    A local address keeps its tag (``wang+shop@…``), for Delivered-To; ``Directory.home_of`` finds
    the folder.
    """

    address: Address
    local: bool
    outside: bool = False


@dataclass(frozen=True, slots=True)
class NotOurs:
    """The domain is none of ours."""


@dataclass(frozen=True, slots=True)
class NoSuchMailbox:
    """The domain is ours and has no such mailbox, alias or catch-all; nor has any target."""

    domain: str


@dataclass(frozen=True, slots=True)
class Disabled:
    """The mailbox is there and switched off."""

    address: Address


@dataclass(frozen=True, slots=True)
class Gateway:
    """The domain's own server decides about the address and gets the mail."""

    domain: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Store:
    """A mailbox that mail is put in: its own address, its home, and how much it may hold.

    ``domain_quota_bytes`` is for all mailboxes of its domain together; None: no limit.
    """

    address: Address
    home: str
    quota_bytes: int | None = None
    domain_quota_bytes: int | None = None

    @property
    def has_quota(self) -> bool:
        """True when it can be too full for a message."""
        return self.quota_bytes is not None or self.domain_quota_bytes is not None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Mail is taken, for one destination or more, none of them twice.

    ``missing``: targets of ours that are not there (or off); the others get the mail.
    ``cut_short``: expansion met a bound (depth or count) or a circle, and left something out.
    ``stores``: the mailboxes here among the destinations; ``has_quota``: one of them has a limit.
    """

    destinations: tuple[Destination, ...]
    via: Via
    missing: tuple[Address, ...] = ()
    cut_short: bool = False
    stores: tuple[Store, ...] = field(default=(), compare=False)
    has_quota: bool = field(default=False, compare=False)


Resolution = NotOurs | NoSuchMailbox | Disabled | Gateway | Resolved
