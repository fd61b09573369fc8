"""What the directory holds, and how a change of it can be refused: values only."""

from dataclasses import dataclass, field
from enum import Enum

from postern.mail.address import Address
from postern.runtime.clock import Instant

DEFAULT_SEPARATOR = "+"


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain we take mail for.

    With ``gateway_host`` it is a customer's own server that we stand in front of; then it has no
    mailboxes. ``catch_all`` receives what no mailbox or alias of the domain does. ``separator``
    None means that the domain has no plus-addressing. ``quota_bytes`` is the most that all its
    mailboxes together may hold; None: no limit.
    """

    id: str
    name: str
    created_at: Instant
    gateway_host: str | None = None
    gateway_port: int | None = None
    catch_all: Address | None = None
    separator: str | None = DEFAULT_SEPARATOR
    quota_bytes: int | None = None

    @property
    def is_gateway(self) -> bool:
        """True when its mail goes on to a customer's own server."""
        return self.gateway_host is not None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox of ours. ``password_hash`` None: it receives mail but nobody can log in."""

    id: str
    address: Address
    created_at: Instant
    enabled: bool = True
    quota_bytes: int | None = None
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Alias:
    """Mail for ``address`` goes to each of ``targets``, ours or anyone's.

    An alias may bear the name of a mailbox and have itself among its targets: then the mailbox
    keeps a copy. The alias of the bare ``postmaster`` is the whole site's, and has no id.
    """

    id: str
    address: Address
    targets: tuple[Address, ...]
    created_at: Instant


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the change log, which servers elsewhere follow by ``seq``.

    ``values`` is JSON of what was set; a password is only told as changed, its hash is read from
    the row.
    """

    seq: int
    at: Instant
    author: str
    noun: str
    row_id: str
    action: str
    values: str


class Problem(Enum):
    """Why a change or a look-up was refused."""

    ALREADY_THERE = "already-there"
    NOT_THERE = "not-there"
    NOT_ALLOWED = "not-allowed"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Refused:
    """The change was not made. ``text``: one sentence, what happened and what to do."""

    problem: Problem
    text: str


class Keep(Enum):
    """Stands in a patch for "leave it as it is", where None is a value of its own."""

    KEEP = "keep"


KEEP = Keep.KEEP


@dataclass(frozen=True, slots=True)
class HostPort:
    """A customer's own server: a host name or an IP address without brackets, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DomainPatch:
    """What to change of a domain; all of it holds, or none."""

    gateway: HostPort | Keep | None = KEEP
    catch_all: Address | Keep | None = KEEP
    separator: str | Keep | None = KEEP
    quota_bytes: int | Keep | None = KEEP


@dataclass(frozen=True, slots=True)
class MailboxPatch:
    """What to change of a mailbox; all of it holds, or none."""

    password_hash: str | Keep | None = field(default=KEEP, repr=False)
    quota_bytes: int | Keep | None = KEEP
    enabled: bool | Keep = KEEP


@dataclass(frozen=True, slots=True)
class DomainSummary:
    """A domain and how many mailboxes and aliases it has."""

    domain: Domain
    mailboxes: int
    aliases: int
