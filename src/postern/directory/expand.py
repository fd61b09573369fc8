"""From an address to the places its mail goes: the one walk that reading and writing share.

A worker walks to deliver, a command walks to refuse a circle before it is written; both ask the
same questions in the same order, so what is refused is exactly what would have gone round.

An address of ours is answered by the first of: an alias of that very name, a mailbox of that very
name, the domain's gateway, alias or mailbox without the tag, the site's postmaster (for
``postmaster``, which RFC 5321 §4.5.1 makes valid everywhere), the domain's catch-all.
``postmaster`` and ``MAILER-DAEMON`` at this host itself are the site's postmaster too: our notices
come from there, and people answer them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from postern.directory.model import Domain, Mailbox
from postern.directory.names import POSTMASTER, key_of, local_key, without_tag
from postern.directory.resolution import (
    Destination,
    Disabled,
    Gateway,
    NoSuchMailbox,
    NotOurs,
    Resolution,
    Resolved,
    Via,
)
from postern.mail.address import Address

MAX_DEPTH = 10
"""Aliases between an address and a destination."""
MAX_DESTINATIONS = 1_000
MAX_STEPS = 4_000
"""Addresses looked at in one walk, whatever comes of them."""

SITE_POSTMASTER = Address(POSTMASTER, "")
HOST_POSTMEN = frozenset({POSTMASTER, "mailer-daemon"})
"""Who can be written to at the host itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What bears one local part in one domain: a mailbox, an alias (its targets), or both."""

    mailbox: Mailbox | None = None
    targets: tuple[Address, ...] = ()


class Source(Protocol):
    """The facts a walk asks for."""

    def domain(self, name: str) -> Domain | None:
        """Our domain of that name."""
        ...

    def entries(self, domain: Domain, keys: tuple[str, ...]) -> Mapping[str, Entry]:
        """What bears these local parts; names that are not there are left out."""
        ...

    def site_postmaster(self) -> tuple[Address, ...]:
        """Who gets the site's postmaster mail, as set; empty when nothing was set."""
        ...

    def is_this_host(self, domain: str) -> bool:
        """Whether that is the name, or the address literal, of the server itself."""
        ...

    def first_mailbox(self) -> Address | None:
        """The oldest enabled mailbox of the site."""
        ...


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox answers. ``address`` keeps the tag, ``key`` is the mailbox's own address."""

    address: Address
    key: Address
    enabled: bool
    via: Via


@dataclass(frozen=True, slots=True)
class Fork:
    """Mail goes to ``targets``. ``node`` names the alias, catch-all or postmaster that says so.

    ``own``: the mailbox that bears the alias's own name and may be one of its targets.
    """

    node: Address
    targets: tuple[Address, ...]
    via: Via
    own: Mailbox | None = None


Step = Box | Fork | Gateway | NotOurs | NoSuchMailbox


def step(source: Source, address: Address) -> Step:
    """What answers for one address, without following it."""
    if not address.domain:
        if local_key(address.local) != POSTMASTER:
            return NotOurs()
        return _to_site_postmaster(source)
    domain = source.domain(address.domain)
    key = local_key(address.local)
    is_host_postman = key in HOST_POSTMEN and source.is_this_host(address.domain)
    if domain is None:
        return _to_site_postmaster(source) if is_host_postman else NotOurs()
    base = without_tag(key, domain.separator)
    found = source.entries(domain, (key,) if base is None else (key, base))
    if key in found:
        return _answer(found[key], domain, key, "", Via.MAILBOX)
    if domain.gateway_host is not None:
        return Gateway(domain.name, domain.gateway_host, domain.gateway_port or 25)
    if base is not None and base in found:
        # The tag as it was written: filters of the mailbox's owner may tell its case.
        separator = domain.separator or ""
        tag = separator + address.local.partition(separator)[2]
        return _answer(found[base], domain, base, tag, Via.PLUS)
    if POSTMASTER in {key, base} or is_host_postman:
        return _to_site_postmaster(source)
    if domain.catch_all is not None:
        return Fork(Address("", domain.name), (domain.catch_all,), Via.CATCH_ALL)
    return NoSuchMailbox(domain.name)


def _to_site_postmaster(source: Source) -> Fork:
    return Fork(SITE_POSTMASTER, source.site_postmaster(), Via.POSTMASTER)


def _answer(entry: Entry, domain: Domain, key: str, tag: str, via: Via) -> Box | Fork:
    own = Address(key, domain.name)
    if entry.targets:
        return Fork(own, entry.targets, via if tag else Via.ALIAS, entry.mailbox)
    enabled = entry.mailbox is not None and entry.mailbox.enabled
    return Box(Address(key + tag, domain.name), own, enabled, via)


def resolve(source: Source, address: Address) -> Resolution:
    """Everything that becomes of mail for ``address``."""
    first = step(source, address)
    resolution = _follow(source, address, first)
    if isinstance(resolution, Resolved | NotOurs | Gateway):
        return resolution
    if local_key(address.local).startswith(POSTMASTER) and _is_postmaster(source, address):
        # The domain's own postmaster is switched off or leads nowhere: the site's takes over.
        taken = _follow(source, SITE_POSTMASTER, step(source, SITE_POSTMASTER))
        return taken if isinstance(taken, Resolved) else resolution
    return resolution


def _is_postmaster(source: Source, address: Address) -> bool:
    key = local_key(address.local)
    domain = source.domain(address.domain)
    return key == POSTMASTER or (
        domain is not None and without_tag(key, domain.separator) == POSTMASTER
    )


def _follow(source: Source, address: Address, first: Step) -> Resolution:
    match first:
        case NotOurs() | NoSuchMailbox() | Gateway():
            return first
        case Box(enabled=True):
            return Resolved((Destination(first.address, local=True),), first.via)
        case Box():
            return Disabled(first.address)
        case Fork():
            walk = Walk(source)
            walk.fork(first, depth=1)
            if walk.destinations:
                return Resolved(
                    tuple(walk.destinations.values()),
                    first.via,
                    tuple(walk.missing),
                    walk.circle is not None or walk.cut_short,
                )
            return NoSuchMailbox(address.domain)


@dataclass(slots=True)
class Walk:
    """One expansion: what was reached, what is missing, and the first circle met."""

    source: Source
    destinations: dict[Address, Destination] = field(default_factory=dict)
    missing: list[Address] = field(default_factory=list)
    circle: tuple[Address, ...] | None = None
    cut_short: bool = False
    _path: list[Address] = field(default_factory=list)
    _seen: set[Address] = field(default_factory=set)
    _steps: int = 0

    def fork(self, fork: Fork, depth: int) -> None:
        """Follow each target of an alias, a catch-all or the site's postmaster."""
        if fork.node in self._path:
            start = self._path.index(fork.node)
            self.circle = self.circle or (*self._path[start:], fork.node)
            return
        if fork.node in self._seen:
            return
        if depth > MAX_DEPTH:
            self.cut_short = True
            return
        self._seen.add(fork.node)
        self._path.append(fork.node)
        for target in fork.targets:
            self._target(fork, target, depth)
        if fork.node == SITE_POSTMASTER and not self.destinations:
            self._last_resort()
        self._path.pop()

    def _target(self, fork: Fork, target: Address, depth: int) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            self.cut_short = True
            return
        if fork.own is not None and key_of(target) == fork.node:
            self._box(Box(fork.node, fork.node, fork.own.enabled, Via.MAILBOX))
            return
        match step(self.source, target):
            case Fork() as further:
                self.fork(further, depth + 1)
            case Box() as box:
                self._box(box)
            case NoSuchMailbox():
                self.missing.append(target)
            case (Gateway() | NotOurs()) as elsewhere:
                # Outside, only the owner of the domain may fold the case of a local part.
                is_outside = isinstance(elsewhere, NotOurs)
                self._reach(target, Destination(target, local=False, outside=is_outside))

    def _box(self, box: Box) -> None:
        if box.enabled:
            self._reach(box.key, Destination(box.address, local=True))
        else:
            self.missing.append(box.address)

    def _last_resort(self) -> None:
        first = self.source.first_mailbox()
        if first is not None:
            self._reach(first, Destination(first, local=True))

    def _reach(self, key: Address, destination: Destination) -> None:
        if key in self.destinations:
            return
        if len(self.destinations) >= MAX_DESTINATIONS:
            self.cut_short = True
            return
        self.destinations[key] = destination
