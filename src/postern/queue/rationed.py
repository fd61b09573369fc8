"""Our users' mail on its way into the queue: what is over their allowance waits.

A spike freezes the account: what waits of it is held, what it sends is refused for now, and its
owner and the postmaster are told. A person looks, and thaws it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from postern.directory.model import Mailbox
from postern.mail.address import Address, parse_address
from postern.mail.finding import Whose
from postern.mail.outcome import Cause
from postern.policy.allowance import Allowance, Excess
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
    ) -> None:
        self._queue = queue
        self.allowance = allowance
        self._outside = outside
        self._knows = knows
        self._freeze = freeze
        self.unlimited: frozenset[str] = frozenset()

    def submit(self, message: Message) -> None:
        """A message has become durable."""
        self._queue.submit(message)

    def prepare(self, message: Message) -> None:
        """Before it is made durable: what is over the allowance is to wait."""
        self._queue.prepare(message)
        if message.origin is not Origin.OURS or self.allowance.is_off:
            return
        account = parse_address(message.conversation.account)
        if account is None or account.key in self.unlimited:
            return  # a program on this machine, or somebody who was let relay
        try:
            self._ration(message, account)
        except Exception:  # it was not counted, and goes on: a bug must not keep mail
            log.exception("queue.allowance_bug", trace=message.trace)

    def _ration(self, message: Message, account: Address) -> None:
        leaving = [
            delivery
            for delivery in message.deliveries
            if delivery.state in {DeliveryState.FRESH, DeliveryState.WAITING}
            and not self._outside.is_ours(delivery.recipient.address)
        ]
        if not leaving:
            return
        first = self._first(account, leaving)
        excess = self.allowance.take(account, len(leaving), first)
        if self.allowance.is_spike(account, first):
            text = "it wrote to too many for the first time at once"
            self._freeze(account, text)
            for delivery in leaving:
                _note(delivery, f"{account} is frozen: {text}")
                delivery.state = DeliveryState.HELD
        elif excess is not None:
            self._let_wait(message, leaving, excess)

    def _first(self, account: Address, leaving: Sequence[Delivery]) -> int:
        mailbox = self._outside.mailbox_of(account)
        if mailbox is None:
            return len(leaving)
        places = {delivery.recipient.address for delivery in leaving}
        return sum(not self._knows(mailbox.id, address) for address in places)

    @staticmethod
    def _let_wait(message: Message, leaving: Sequence[Delivery], excess: Excess) -> None:
        due = min(message.accepted_at + excess.wait_s, message.expires_at)
        for delivery in leaving:
            _note(delivery, excess.text)
            delivery.state = DeliveryState.WAITING
            delivery.due = due


def _note(delivery: Delivery, text: str) -> None:
    delivery.cause, delivery.whose = Cause.LIMIT.value, Whose.SENDER.value
    delivery.last_reply = f"450 4.7.1 {text}"
