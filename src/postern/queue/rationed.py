"""Our users' mail on its way into the queue: what is over their allowance waits.

A spike freezes the account: what waits of it is held, what it sends is refused for now, and its
owner and the postmaster are told. A person looks, and thaws it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from postern.directory.freezes import Freeze
from postern.directory.model import Mailbox
from postern.mail.address import Address, parse_address
from postern.mail.finding import Whose
from postern.mail.outcome import Cause
from postern.policy.allowance import Allowance
from postern.spool.message import Delivery, DeliveryState, Message, Origin

log = structlog.get_logger("postern.queue")


class Outgoing(Protocol):
    """Where accepted mail goes on; the queue is one."""

    def prepare(self, message: Message) -> None:
        """Called before a message is made durable."""
        ...

    def submit(self, message: Message) -> None:
        """Called once it is durable."""
        ...


class Outside(Protocol):
    """Knows who lives here."""

    def mailbox_of(self, address: Address) -> Mailbox | None:
        """The mailbox that a delivery to it is put in."""
        ...

    def is_ours(self, address: Address) -> bool:
        """Whether its domain is one of ours."""
        ...


_OPEN = (DeliveryState.FRESH, DeliveryState.WAITING)

Knows = Callable[[str, Address], bool]
"""Whether a mailbox, by its id, has written to an address."""


class Rationed:
    """Stands in front of the queue.

    Args:
        queue: where mail goes on.
        allowance: how much is allowed.
        outside: who lives here.
        knows: whom mailboxes have written to.
        freeze: told of an account to be frozen, and why; must not block.
        frozen: the freeze that holds for an account now, or None.

    Attributes:
        unlimited: keys of accounts that relay for other servers of ours.
    """

    def __init__(
        self,
        queue: Outgoing,
        allowance: Allowance,
        outside: Outside,
        knows: Knows,
        freeze: Callable[[Address, str], None],
        frozen: Callable[[Address], Freeze | None],
    ) -> None:
        self._queue = queue
        self.allowance = allowance
        self._outside = outside
        self._knows = knows
        self._freeze = freeze
        self._frozen = frozen
        self.unlimited: frozenset[str] = frozenset()

    def submit(self, message: Message) -> None:
        """A message has become durable."""
        self._queue.submit(message)

    def prepare(self, message: Message) -> None:
        """Before it is made durable: what is over the allowance is to wait."""
        self._queue.prepare(message)
        if message.origin is not Origin.OURS or not message.conversation.account:
            return  # a program on this machine, or a client that somebody let relay
        account = parse_address(message.conversation.account)
        if account is None:
            return
        try:
            self._ration(message, account)
        except Exception:  # it was not counted, and goes on: a bug must not keep mail
            log.exception("queue.allowance_bug", trace=message.trace)

    def _ration(self, message: Message, account: Address) -> None:
        open_ = [one for one in message.deliveries if one.state in _OPEN]
        freeze = self._frozen(account)
        if freeze is not None:  # it was, while the message came in
            _hold(open_, f"{account} is frozen: {freeze.temporary.reason}")
            return
        if self.allowance.is_off or account.key in self.unlimited:
            return
        leaving = [one for one in open_ if not self._outside.is_ours(one.recipient.address)]
        if not leaving:
            return
        firsts = self._firsts(account, leaving)
        excesses = self.allowance.take(account, firsts)
        if self.allowance.is_spike(account, sum(firsts)):
            text = "it wrote to too many for the first time at once"
            self._freeze(account, text)
            _hold(leaving, f"{account} is frozen: {text}")
            return
        for delivery, excess in zip(leaving, excesses, strict=True):
            if excess is not None:
                _note(delivery, excess.text)
                delivery.state = DeliveryState.WAITING
                delivery.due = min(message.accepted_at + excess.wait_s, message.expires_at)

    def _firsts(self, account: Address, leaving: Sequence[Delivery]) -> list[bool]:
        """For each, whether the account never wrote there."""
        if not self.allowance.tells_first:
            return [False] * len(leaving)
        mailbox = self._outside.mailbox_of(account)
        if mailbox is None:
            return [True] * len(leaving)
        return [not self._knows(mailbox.id, one.recipient.address) for one in leaving]


def _hold(deliveries: Sequence[Delivery], text: str) -> None:
    for delivery in deliveries:
        _note(delivery, text)
        delivery.state = DeliveryState.HELD


def _note(delivery: Delivery, text: str) -> None:
    delivery.cause, delivery.whose = Cause.LIMIT.value, Whose.SENDER.value
    delivery.last_reply = f"450 4.7.1 {text}"
