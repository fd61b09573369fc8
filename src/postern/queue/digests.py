"""Once a day, the owners of what is newly held are told of it; one worker does it for all.

It reads the spools of all workers, as ``postern quarantine list`` does, and sends its letters
through its own. A letter is on record before it is spooled, see ``queue.store.tellings``: whatever
happens in between, its owner gets one letter that day, and what it named counts as told only once
it is in the mailbox or with the server that keeps it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

import structlog

from postern.journal.record import Conversation, RecipientRecord, Step
from postern.mail.address import Address, parse_address
from postern.mail.content import BytesContent
from postern.mail.envelope import Recipient
from postern.mail.finding import Result
from postern.notices.digest import MAX_ENTRIES, Entry, Language, compose_digest
from postern.notices.settings import NoticeSettings
from postern.queue.quarantine import HeldMail, held_mail
from postern.queue.store.tellings import Telling, TellingStore
from postern.queue.tidings import Numbers
from postern.runtime.clock import Clock, Instant
from postern.spool.message import Delivery, DeliveryState, Message, Origin
from postern.spool.spool import Spool

log = structlog.get_logger("postern.notices")

BATCH = 100
"""Letters written down in one transaction; each time all workers read their rules anew."""
PLACE = "notices"
KEPT_S = 30 * 86_400.0
"""How long it is remembered what was told, beyond the time that mail is held."""

_ARRIVED = frozenset({"delivered", "junked"})


class Owners(Protocol):
    """Knows where a letter to a mailbox's owner goes."""

    def places_of(self, owner: Address, named: str) -> tuple[Address, ...]:
        """The mailbox, or who is to be told in its place; ``named`` is what RCPT said."""
        ...


class Conversations(Protocol):
    """Knows what became of messages that have left the spool."""

    def get(self, number: int) -> Conversation | None:
        """One conversation by its number."""
        ...


class Outgoing(Protocol):
    """Where letters go on from here; the queue is one."""

    def prepare(self, message: Message) -> None:
        """Called before a message is made durable."""
        ...

    def submit(self, message: Message) -> None:
        """Called once it is durable."""
        ...


@dataclass(frozen=True, slots=True)
class DigestSettings:
    """When letters are written, and in what language; ``is_told``: whether a mailbox gets any.

    ``hour`` is in the notices' time zone; ``expire_s``: how long a letter is tried. Where letters
    are not ``wanted`` no day ends: once they are, that day's are still to come.
    """

    hour: int = 8
    language: Language = Language.BOTH
    is_told: Callable[[str], bool] = field(default=lambda _: True)
    expire_s: float = 5 * 86_400.0
    wanted: bool = True


@dataclass(slots=True)
class _Heap:
    """What is newly held for one owner: what the letter names, and how much is left for later."""

    mails: list[HeldMail] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True, slots=True)
class _Letter:
    telling: Telling
    message: Message


class Digests:
    """Writes the letters of all mailboxes. Methods are for the loop's thread."""

    def __init__(
        self,
        spool: Spool,
        spool_folder: Path,
        outgoing: Outgoing,
        store: TellingStore,
        journal: Conversations,
        owners: Owners,
        numbers: Numbers,
        clock: Clock,
        settings: tuple[DigestSettings, NoticeSettings],
    ) -> None:
        self._spool = spool
        self._spool_folder = spool_folder
        self._outgoing = outgoing
        self._store = store
        self._journal = journal
        self._owners = owners
        self._numbers = numbers
        self._clock = clock
        self._settings, self._notices = settings
        self._done = ""

    def reload(self, settings: DigestSettings, notices: NoticeSettings) -> None:
        """The next letters go by these."""
        self._settings, self._notices = settings, notices

    async def look(self) -> int:
        """Learn what became of earlier letters; write today's once their hour has come.

        How many were sent. Whatever is raised, calling it again goes on where it ended.
        """
        await self._follow_up()
        if not self._settings.wanted:
            return 0
        now = self._clock.now()
        local = datetime.fromtimestamp(now, self._notices.timezone)
        day = local.date().isoformat()
        if local.hour < self._settings.hour or day == self._done:
            return 0
        sent = 0
        if not await asyncio.to_thread(self._store.is_day_done, day):
            sent = await self._write_all(day)
            forget_before = now - self._spool.holdings.settings.keep_s - KEPT_S
            await asyncio.to_thread(self._store.end_day, day, now, forget_before)
        self._done = day
        return sent

    # --- earlier letters -------------------------------------------------------------------------

    async def _follow_up(self) -> None:
        after = -1
        while numbers := await asyncio.to_thread(self._store.open_letters, after, BATCH):
            after = numbers[-1]
            arrived: list[int] = []
            lost: list[int] = []
            standing = await self._spool.standing(numbers)
            for number in numbers:
                deliveries = standing.get(number)
                if deliveries is None:
                    has_arrived = await self._arrived_before(number)
                elif all(delivery.state is DeliveryState.DONE for delivery in deliveries):
                    has_arrived = any(delivery.has_arrived for delivery in deliveries)
                else:
                    continue  # on its way
                (arrived if has_arrived else lost).append(number)
            if arrived or lost:
                now = self._clock.now()
                await asyncio.to_thread(self._store.conclude, arrived, lost, now)
            if lost:
                log.warning("quarantine.letters_lost", letters=len(lost))

    async def _arrived_before(self, number: int) -> bool:
        """Whether a letter that is not in the spool (any more) was delivered.

        The spool forgets a message only once the journal has it.
        """
        told = await asyncio.to_thread(self._journal.get, number)
        return told is not None and any(one.state in _ARRIVED for one in told.recipients)

    # --- today's ---------------------------------------------------------------------------------

    async def _write_all(self, day: str) -> int:
        heaps = await asyncio.to_thread(self._gather)
        waiting = iter(heaps.items())
        sent = 0
        while some := list(islice(waiting, BATCH)):
            letters = [await self._letter(owner, heap, day) for owner, heap in some]
            sent += await self._send(letters)
        if sent:
            log.info("quarantine.letters", sent=sent)
        return sent

    def _gather(self) -> dict[str, _Heap]:
        """What no letter has named yet, by owner; reads all spools, on a thread of its own."""
        heaps: dict[str, _Heap] = {}
        seen: set[tuple[int, int]] = set()  # in two spools while one takes over the other's
        for mails in _pages(held_mail(self._spool_folder)):
            named = self._store.named([mail.key for mail in mails])
            for mail in mails:
                if mail.key in named or mail.key in seen or not self._settings.is_told(mail.owner):
                    continue
                seen.add(mail.key)
                heap = heaps.setdefault(mail.owner, _Heap())
                if len(heap.mails) < MAX_ENTRIES:
                    heap.mails.append(mail)
                else:
                    heap.more += 1
        return heaps

    async def _send(self, letters: Sequence[_Letter]) -> int:
        tellings = [letter.telling for letter in letters]
        may_go = await asyncio.to_thread(self._store.add, tellings)
        going = [letter.message for letter in letters if letter.telling.number in may_go]
        for message in going:
            self._outgoing.prepare(message)
        taken = await asyncio.gather(
            *(self._spool.accept_wait(message) for message in going), return_exceptions=True
        )
        for message, error in zip(going, taken, strict=True):
            if error is None:
                self._outgoing.submit(message)
        errors = [error for error in taken if error is not None]
        if errors:
            raise errors[0]
        return len(going)

    async def _letter(self, owner: str, heap: _Heap, day: str) -> _Letter:
        number, trace = self._numbers.next()
        now = self._clock.now()
        first = heap.mails[0]
        address = parse_address(owner) or first.mailbox
        told_by = now + self._spool.holdings.settings.told_s
        letter = await asyncio.to_thread(  # one that names much takes some milliseconds
            compose_digest,
            address,
            [entry_of(mail, told_by) for mail in heap.mails],
            heap.more,
            language=self._settings.language,
            trace=trace,
            settings=self._notices,
            now=now,
        )
        places = self._owners.places_of(address, first.named)
        conversation = Conversation(
            number,
            now,
            "out",
            "notice",
            from_header=f"MAILER-DAEMON@{self._notices.hostname}",
            subject=letter.subject,
            size=len(letter.content),
            accepted=True,
            recipients=[RecipientRecord(str(place), "waiting") for place in places],
            steps=[Step("notice", Result.PASS.value, 0.0, PLACE, f"held mail of {owner}")],
            related=list(dict.fromkeys(mail.number for mail in heap.mails)),
        )
        deliveries = [
            Delivery(n, Recipient(place), str(place), n) for n, place in enumerate(places)
        ]
        message = Message(
            number,
            trace,
            now,
            now + self._settings.expire_s,
            replace(letter.sender, smtputf8=any(place.needs_smtputf8 for place in places)),
            Origin.OURS,
            BytesContent(letter.content),
            conversation,
            deliveries,
        )
        names = tuple(mail.key for mail in heap.mails)
        return _Letter(Telling(number, owner, day, now, names), message)


def entry_of(mail: HeldMail, not_before: Instant) -> Entry:
    """Held mail as a letter names it; it leaves ``not_before`` its owner had time to answer."""
    return Entry(
        mail.id,
        mail.from_header,
        mail.mail_from,
        mail.subject,
        mail.because.check,
        mail.rule if mail.because.check.startswith("rule.") else "",
        mail.held_at,
        not_before,
        max(mail.until, not_before),
    )


def _pages(mails: Iterable[HeldMail]) -> Iterator[list[HeldMail]]:
    waiting = iter(mails)
    while page := list(islice(waiting, BATCH)):
        yield page
