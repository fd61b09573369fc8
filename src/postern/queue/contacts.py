"""Learns whom our users write to from the mail that they send.

Known becomes who was written to by a mailbox's owner, from an address that is theirs: somebody who
logged in, or whom this server serves without a login. Automatic answers make nobody known, for any
stranger can call one forth.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import structlog

from postern.directory.correspondents import Notebook
from postern.directory.model import Domain, Mailbox
from postern.directory.resolution import Resolution, Resolved, Via
from postern.mail.address import Address, parse_address
from postern.spool.message import Delivery, Message, Origin

log = structlog.get_logger("postern.queue")

_OWN = frozenset({Via.MAILBOX, Via.ALIAS, Via.PLUS})
"""What makes an address somebody's own; what a catch-all catches is nobody's in particular."""
MAX_OWNERS = 10
"""Mailboxes behind one alias that get to know whom it writes to."""
HEADER_BYTES = 16 * 1024
_AUTOMATIC = re.compile(rb"^auto-submitted:(?![ \t]*no\b)", re.IGNORECASE | re.MULTILINE)
"""RFC 3834 §5: anything but "no" was not written by a person."""


class Directory(Protocol):
    """Who lives here."""

    def domain(self, name: str) -> Domain | None:
        """Our domain of that name."""
        ...

    def resolve(self, address: Address) -> Resolution:
        """What becomes of mail for the address."""
        ...

    def mailbox_of(self, address: Address) -> Mailbox | None:
        """The mailbox that a delivery to it is put in."""
        ...


class Contacts(Protocol):
    """Is told what our users send, and what of it arrives. Never raises."""

    def wrote(self, message: Message) -> None:
        """A message was accepted and is durable."""
        ...

    def reached(self, message: Message, deliveries: Iterable[Delivery], now: float) -> None:
        """Some of its deliveries have arrived."""
        ...


class Nobody:
    """Learns nothing."""

    def wrote(self, message: Message) -> None:
        """Learn nothing."""

    def reached(self, message: Message, deliveries: Iterable[Delivery], now: float) -> None:
        """Learn nothing."""


class SentMail:
    """Writes down whom our users write to."""

    def __init__(self, directory: Directory, notebook: Notebook) -> None:
        self._directory = directory
        self._notebook = notebook

    def wrote(self, message: Message) -> None:
        """Note everybody outside whom the message goes to."""
        if message.origin is not Origin.OURS or message.sender.address is None:
            return
        try:
            if not _is_automatic(message):
                for owner in self.owners(message):
                    for address in self._outside(message.deliveries):
                        self._notebook.wrote(owner.id, address, message.accepted_at)
        except Exception:  # the mail goes on: somebody is not known yet
            log.exception("queue.contacts_bug", trace=message.trace)

    def reached(self, message: Message, deliveries: Iterable[Delivery], now: float) -> None:
        """Note who was reached."""
        if message.origin is not Origin.OURS or message.sender.address is None:
            return
        try:
            for owner in self.owners(message):
                for address in self._outside(deliveries):
                    self._notebook.reached(owner.id, address, now)
        except Exception:
            log.exception("queue.contacts_bug", trace=message.trace)

    def owners(self, message: Message) -> Sequence[Mailbox]:
        """Whose message it is: who logged in, else whoever gets the mail for its sender."""
        account = parse_address(message.conversation.account)
        if account is not None:
            mailbox = self._directory.mailbox_of(account)
            return () if mailbox is None else (mailbox,)
        sender = message.sender.address
        resolution = None if sender is None else self._directory.resolve(sender)
        if not isinstance(resolution, Resolved) or resolution.via not in _OWN:
            return ()
        found = (self._directory.mailbox_of(s.address) for s in resolution.stores[:MAX_OWNERS])
        return tuple(mailbox for mailbox in found if mailbox is not None)

    def _outside(self, deliveries: Iterable[Delivery]) -> Iterator[Address]:
        """Addresses elsewhere that the sender named; where an alias of ours leads he did not."""
        for delivery in deliveries:
            address = delivery.recipient.address
            domain = self._directory.domain(address.domain)
            is_outside = domain is None or domain.is_gateway
            if is_outside and delivery.original == str(address):
                yield address


def _is_automatic(message: Message) -> bool:
    """True for what a program answered; one too large to be in memory is no such thing."""
    data = message.content.in_memory
    if data is None:
        return False
    end = data.find(b"\r\n\r\n", 0, HEADER_BYTES)
    head = data[: end if end >= 0 else HEADER_BYTES]
    return _AUTOMATIC.search(head) is not None
