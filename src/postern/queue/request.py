"""What a person asks of the running workers, and what each answers: values that travel as JSON."""

from enum import Enum

import msgspec

from postern.mail.address import Address, parse_address
from postern.spool.message import Delivery, Message

MAX_EXAMPLES = 20


class Action(Enum):
    """What is to be done with the mail that fits."""

    HOLD = "hold"  # keep it until a person says otherwise
    RELEASE = "release"  # held mail goes on, now
    RETRY = "retry"  # try again now
    CANCEL = "cancel"  # give it back to its sender, or drop it
    REROUTE = "reroute"  # send it through another egress, now
    SUSPEND = "suspend"  # a group's mail is not tried; what was written says until when
    RESUME = "resume"  # it goes again


class MailFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which mail is meant; all that is given must fit, and no field given means all mail.

    ``sender`` and ``recipient`` are ``li@tea.example``, ``@tea.example`` or, for the null sender,
    ``<>``; ``recipient`` fits the address that was named or the one it goes to now. ``group`` is
    an MX group, ``account`` whoever signed in to send it, ``numbers`` are those behind trace codes.
    ``quarantined``: what a rule or check holds, which nothing else in the queue is meant to touch;
    ``nth``: one recipient's copy alone, by its place.
    """

    sender: str = ""
    recipient: str = ""
    group: str = ""
    account: str = ""
    numbers: tuple[int, ...] = ()
    quarantined: bool = False
    nth: int | None = None

    @property
    def is_empty(self) -> bool:
        """True when it fits all mail."""
        return self == MailFilter()

    def __str__(self) -> str:
        parts = [
            f"{name} {value}"
            for name, value in (
                ("from", self.sender),
                ("to", self.recipient),
                ("group", self.group),
                ("account", self.account),
            )
            if value
        ]
        if self.numbers:
            parts.append(f"{len(self.numbers)} trace codes" if self.numbers[1:] else "one message")
        return ", ".join(parts) or "all mail"

    def fits_message(self, message: Message) -> bool:
        """Whether the message's own side fits: sender, account, number."""
        return (
            (not self.numbers or message.id in self.numbers)
            and (not self.sender or _fits(self.sender, message.sender.address))
            and (
                not self.account
                or self.account.casefold() == message.conversation.account.casefold()
            )
        )

    def fits_delivery(self, delivery: Delivery) -> bool:
        """Whether one recipient of a fitting message fits: group and address."""
        if bool(delivery.held_for) is not self.quarantined or self.nth not in {None, delivery.n}:
            return False
        return (not self.group or self.group.casefold() == delivery.group.casefold()) and (
            not self.recipient
            or _fits(self.recipient, delivery.recipient.address)
            or _fits(self.recipient, parse_address(delivery.original))
        )


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """How it is to be done.

    ``via`` names the egress of a reroute, ``silent`` cancels unsaid, ``accepts_virus`` releases
    even what a virus was found in, ``accepts_unscanned`` what could not be scanned: somebody has
    said so by name.
    """

    via: str = ""
    silent: bool = False
    accepts_virus: bool = False
    accepts_unscanned: bool = False


class Request(msgspec.Struct, frozen=True):
    """One command to all workers; ``id`` is 0 until the store gave it one."""

    id: int
    created_at: float
    author: str
    action: Action
    filter: MailFilter
    options: Options = Options()
    dry_run: bool = False


class Example(msgspec.Struct, frozen=True):
    """One delivery that fitted, as people are shown it before they decide."""

    trace: str
    mail_from: str
    to: str
    mx_group: str
    state: str


class Tally(msgspec.Struct):
    """What one worker did so far.

    ``count`` deliveries were changed (or would be); ``busy`` fitted but were being tried at that
    moment and were left alone; ``kept`` were to be cancelled but nobody may be told, so they are
    held instead; ``error`` is a sentence when the worker could not go on.
    """

    count: int = 0
    busy: int = 0
    kept: int = 0
    examples: list[Example] = msgspec.field(default_factory=list)
    error: str = ""
    is_done: bool = False


class Answer(msgspec.Struct, frozen=True):
    """A worker's answer, or how far it has come while ``tally.is_done`` is False."""

    request_id: int
    worker: int
    at: float
    tally: Tally


def _fits(pattern: str, address: Address | None) -> bool:
    if address is None:
        return pattern == "<>"
    if pattern.startswith("@"):
        return address.domain.casefold() == pattern[1:].casefold()
    wanted = parse_address(pattern)
    return wanted is not None and wanted.key == address.key
