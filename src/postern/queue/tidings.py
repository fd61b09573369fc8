"""What the sender is owed of an attempt's end, as messages ready for the spool.

``notices`` decides who may be told, and writes. Here its values are filled from the spool's, and
what it answers is put back: a notice becomes a message, "hold instead" holds the delivery.
"""

from dataclasses import replace
from typing import Protocol

import structlog

from postern.directory.signers import Signers
from postern.journal.record import Conversation, RecipientRecord, Step
from postern.mail.address import Address, parse_address
from postern.mail.content import BytesContent, Content
from postern.mail.envelope import Notify, Recipient, TlsWish
from postern.mail.finding import Result
from postern.mail.message.header import MAX_HEADER_BYTES, HeadCollector, HeaderScan
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome
from postern.mail.reply import reply
from postern.notices import notice as notices
from postern.notices.delay import delay_notice, delay_notice_due
from postern.notices.failure import failure_notice
from postern.notices.guard import RateGuard
from postern.notices.held import held_notice
from postern.notices.settings import NoticeSettings
from postern.notices.success import success_notice
from postern.notices.words import is_no_mailbox
from postern.queue.settle import Settled
from postern.runtime.clock import Clock
from postern.spool.holdings import Holdings
from postern.spool.message import Delivery, DeliveryState, Message, Origin

log = structlog.get_logger("postern.notices")

PLACE = "notices"
_CLOSE = frozenset({TlsWish.ENCRYPT, TlsWish.REQUIRETLS})
MAX_SUGGESTIONS = 20
"""Recipients of one message for whom somebody near is looked for: as many as a notice explains."""


class Numbers(Protocol):
    """Gives each notice a number and trace code of its own."""

    def next(self) -> tuple[int, str]:
        """A new number and its trace code."""
        ...


class Homes(Protocol):
    """Knows which recipients are mailboxes stored here."""

    def home_of(self, address: Address) -> str | None:
        """The mailbox's folder, or None."""
        ...

    def owner_of(self, address: Address) -> Address:
        """The mailbox in its one spelling, its tag left out."""
        ...


class Suggests(Protocol):
    """Knows whom the sender of undeliverable mail may have meant."""

    async def instead_of(self, message: Message, address: Address) -> notices.Meant | None:
        """Somebody near; never raises."""
        ...


class Tidings(Protocol):
    """Writes what the sender is owed of an attempt's end."""

    async def compose(
        self, message: Message, settled: Settled, *, is_blocked: bool = False
    ) -> list[Message]:
        """Notices, ready for the spool; may hold a delivery instead of telling a stranger."""
        ...

    async def expand(self, message: Message) -> list[Message]:
        """Notices that end the reports of aliases with several targets."""
        ...

    def moment_of_delay(self, message: Message, *, is_blocked: bool = False) -> float:
        """When the sender would be told of a delay: worth a try of its own."""
        ...


class NoticeTidings:
    """Composes notices; one per worker."""

    def __init__(
        self,
        settings: NoticeSettings,
        expire_s: float,
        numbers: Numbers,
        clock: Clock,
        homes: Homes,
        holdings: Holdings,
        suggestions: Suggests | None = None,
        signers: Signers | None = None,
    ) -> None:
        self._settings = settings
        self._expire_s = expire_s
        self._numbers = numbers
        self._clock = clock
        self._homes = homes
        self._suggestions = suggestions
        self._signers = signers
        self._holdings = holdings
        self._rate = RateGuard(settings)

    def moment_of_delay(self, message: Message, *, is_blocked: bool = False) -> float:
        """When a delay notice would be due: a try is made then, so that it tells fresh facts."""
        settings = self._settings
        after_s = settings.delay_blocked_after_s if is_blocked else settings.delay_after_s
        return message.accepted_at + after_s

    async def compose(
        self, message: Message, settled: Settled, *, is_blocked: bool = False
    ) -> list[Message]:
        """Notices for what an attempt brought; deliveries are held where no one may be told.

        ``is_blocked``: nothing reaches the MX group of what is waiting.
        """
        late = [d for d in settled.waiting if self._is_late(message, d[0], is_blocked=is_blocked)]
        arrived = [(d, outcome) for d, outcome in settled.delivered if _wants_success(d)]
        if not (settled.failed or arrived or late):
            return []
        now = self._clock.now()
        original = await _original(message)
        answers: list[notices.Answer] = []
        ends = _Ends(message, self._homes, now)
        if settled.failed:
            meant = await self._meant(message, settled)
            told = [
                ends.of(d, outcome, settled.last.get(d.n), meant.get(d.n))
                for d, outcome in settled.failed
            ]
            others = notices.Others(
                sum(d.has_arrived for d in message.deliveries),
                sum(d.state is not DeliveryState.DONE for d in message.deliveries),
            )
            answers += failure_notice(
                original, told, others=others, settings=self._settings, rate=self._rate, now=now
            )
        if late:
            told = [ends.of(d, outcome) for d, outcome in late]
            answers += delay_notice(original, told, settings=self._settings, now=now)
            for delivery, _ in late:
                delivery.delay_told = True
        if arrived:
            told = [ends.of(d, outcome) for d, outcome in arrived]
            answers += success_notice(
                original, told, settings=self._settings, rate=self._rate, now=now
            )
        return [m for answer in answers for m in self._act(message, original, ends, answer)]

    async def _meant(self, message: Message, settled: Settled) -> dict[int, notices.Meant]:
        """Whom the sender may have meant, by the delivery's ``n``, where an address is unknown."""
        found: dict[int, notices.Meant] = {}
        if self._suggestions is None:
            return found
        unknown = [d for d, outcome in settled.failed if is_no_mailbox(outcome)]
        for delivery in unknown[:MAX_SUGGESTIONS]:
            address = delivery.recipient.address
            meant = await self._suggestions.instead_of(message, address)
            if meant is not None and delivery.original == str(address):
                found[delivery.n] = meant
        return found

    async def expand(self, message: Message) -> list[Message]:
        """For aliases with several targets: the "expanded" notice that ends their reports.

        The targets are then delivered without NOTIFY=SUCCESS (RFC 3461 §5.2.7.2). A crash before
        this is durable leaves both undone: it happens at the next start.
        """
        targets = expansions(message)
        now = self._clock.now()
        ends = _Ends(message, self._homes, now)
        told = [ends.of_alias(some[0]) for some in targets.values()]
        before = [(d, d.recipient) for some in targets.values() for d in some]
        for delivery, recipient in before:  # at once, so that nobody expands it a second time
            asked = (recipient.notify or Notify.NEVER) & ~Notify.SUCCESS
            delivery.recipient = replace(recipient, notify=asked)
        try:
            original = await _original(message)
        except BaseException:
            for delivery, recipient in before:
                delivery.recipient = recipient
            raise
        answers = success_notice(
            original, told, settings=self._settings, rate=self._rate, now=now, expanded=True
        )
        return [m for answer in answers for m in self._act(message, original, ends, answer)]

    def _is_late(self, message: Message, delivery: Delivery, *, is_blocked: bool) -> bool:
        return message.origin is Origin.OURS and delay_notice_due(
            message.accepted_at,
            self._clock.now(),
            group_blocked=is_blocked,
            already_sent=delivery.delay_told,
            settings=self._settings,
        )

    def _act(
        self,
        message: Message,
        original: notices.Original,
        ends: "_Ends",
        answer: notices.Answer,
    ) -> list[Message]:
        match answer:
            case notices.Notice():
                return [self._spooled(message, answer)]
            case notices.NoNotice(reason=reason):
                log.debug("notices.none", trace=message.trace, reason=reason)
                return []
            case notices.HoldInstead(reason=reason, about=about):
                log.info("notices.held", trace=message.trace, reason=reason)
                letters = []
                for end in about:
                    self._hold(message, ends.delivery_of(end), is_ours=end.is_ours)
                    owner, now = end.recipient.address, self._clock.now()
                    if end.is_ours and self._rate.admit_letter(owner, now):
                        letter = held_notice(original, end, owner, settings=self._settings, now=now)
                        letters.append(self._spooled(message, letter))
                return letters

    def _hold(self, message: Message, delivery: Delivery, *, is_ours: bool) -> None:
        """Hold what could not be delivered: for the mailbox's owner, or until a person looks.

        What was held for an owner before, and let go, is held for him again, also where his mailbox
        is gone: it keeps its name, its bound and its end.
        """
        delivery.end = ""
        if is_ours or delivery.owner or delivery.cause == Cause.NO_MAILBOX.value:
            before = parse_address(delivery.owner)
            owner = before or self._homes.owner_of(delivery.recipient.address)
            check, size_bytes = f"delivery.{delivery.cause}", message.content.size_bytes
            self._holdings.hold(delivery, owner, check, size_bytes, self._clock.now())
        else:
            delivery.state = DeliveryState.HELD

    def _spooled(self, about: Message, notice: notices.Notice) -> Message:
        """A notice as a message of our own, with a conversation that names what it is about."""
        number, trace = self._numbers.next()
        now = self._clock.now()
        address = str(notice.recipient)
        signature = b"" if self._signers is None else self._signers.sign(notice.content, now)
        content = signature + notice.content
        conversation = Conversation(
            number,
            now,
            "out",
            "notice",
            mail_from="",
            from_header=f"MAILER-DAEMON@{self._settings.hostname}",
            subject=notice.subject,
            size=len(content),
            accepted=True,
            recipients=[RecipientRecord(address, "waiting")],
            steps=[Step("notice", Result.PASS.value, 0.0, PLACE, f"about {about.trace}")],
            related=[about.id],
            worker=about.conversation.worker,
        )
        delivery = Delivery(0, Recipient(notice.recipient), address, 0)
        return Message(
            number,
            trace,
            now,
            now + self._expire_s,
            notice.sender,
            Origin.OURS,
            BytesContent(content),
            conversation,
            [delivery],
            aligned=signature != b"",
            # A notice shows the header of what it is about (RFC 8689 §5).
            tls_wish=about.tls_wish if about.tls_wish in _CLOSE else TlsWish.NONE,
        )


def expansions(message: Message) -> dict[int, list[Delivery]]:
    """Targets of aliases that lead to several, by recipient, where SUCCESS was asked for."""
    if not any(_wants_success(d) for d in message.deliveries):
        return {}
    targets: dict[int, list[Delivery]] = {}
    for delivery in message.deliveries:
        targets.setdefault(delivery.index, []).append(delivery)
    return {
        index: some
        for index, some in targets.items()
        if len(some) > 1 and any(_wants_success(d) for d in some)
    }


def _wants_success(delivery: Delivery) -> bool:
    notify = delivery.recipient.notify
    return notify is not None and Notify.SUCCESS in notify


class _Ends:
    """Deliveries as ``notices`` sees them, and the way back."""

    def __init__(self, message: Message, homes: Homes, now: float) -> None:
        self._message = message
        self._homes = homes
        self._now = now
        self._deliveries: dict[int, Delivery] = {}

    def of_alias(self, target: Delivery) -> notices.RecipientEnd:
        """The end of reports for the alias that one of its targets names."""
        recipient = target.recipient
        address = parse_address(target.original) or recipient.address
        outcome = Delivered(reply(250, "2.1.5", "Passed on to the addresses behind it"))
        return notices.RecipientEnd(
            replace(recipient, address=address), outcome, 0, self._now, self._now
        )

    def of(
        self,
        delivery: Delivery,
        outcome: Outcome,
        last: Deferred | None = None,
        meant: notices.Meant | None = None,
    ) -> notices.RecipientEnd:
        """The end of one delivery; ``last``: its last try, where it was given up."""
        attempts = delivery.attempts
        original = parse_address(delivery.original)
        address = delivery.recipient.address
        end = notices.RecipientEnd(
            delivery.recipient,
            outcome,
            delivery.tries,
            attempts[0].at if attempts else self._now,
            attempts[-1].at if attempts else self._now,
            original if original is not None and original.key != address.key else None,
            delivery.due if isinstance(outcome, Deferred) else None,
            self._message.expires_at if isinstance(outcome, Deferred) else None,
            last=last,
            is_ours=self._homes.home_of(address) is not None,
            is_suspect=delivery.is_suspect,
            meant=meant,
        )
        self._deliveries[id(end)] = delivery
        return end

    def delivery_of(self, end: notices.RecipientEnd) -> Delivery:
        """The delivery an end was made of."""
        return self._deliveries[id(end)]


async def _original(message: Message) -> notices.Original:
    content = message.content
    head, body = await _head_and_body(content)
    return notices.Original(
        message.trace,
        message.sender,
        message.accepted_at,
        head,
        body,
        content.size_bytes,
        message.conversation.subject,
        notices.Origin(message.origin.value),
        message.conversation.account,
    )


async def _head_and_body(content: Content) -> tuple[bytes, bytes | None]:
    """The header block, and the body when it is in memory."""
    data = content.in_memory
    if data is None:
        collector = HeadCollector(MAX_HEADER_BYTES)
        async for piece in content.chunks():
            if collector.feed(piece):
                break
        data = collector.head
    start = HeaderScan(data).body_start
    body = data[start:] if content.in_memory is not None else None
    return data[:start], body
