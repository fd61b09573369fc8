"""Freezes an account: it sends nothing more, what waits of it is held, and people are told."""

import asyncio
from typing import Protocol

import structlog

from postern.directory.expand import SITE_POSTMASTER
from postern.directory.model import Refused
from postern.directory.resolution import Resolution, Resolved
from postern.directory.store.freezes import FreezeStore
from postern.journal.record import Conversation, RecipientRecord, Step
from postern.mail.address import Address
from postern.mail.content import BytesContent
from postern.mail.envelope import Recipient, Sender
from postern.mail.finding import Result
from postern.notices.frozen import frozen_letter
from postern.notices.settings import NoticeSettings
from postern.queue.request import Action, MailFilter, Request
from postern.queue.store.requests import RequestStore
from postern.queue.tidings import Numbers
from postern.queue.worker import QueueWorker
from postern.runtime.clock import Clock
from postern.spool.message import Delivery, Message, Origin
from postern.spool.spool import Spool

log = structlog.get_logger("postern.queue")

AUTHOR = "postern"
PLACE = "notices"
THAW_S = 10.0
"""Seconds between looks for freezes whose time is over."""


class Directory(Protocol):
    """Who lives here."""

    def resolve(self, address: Address) -> Resolution:
        """What becomes of mail for the address."""
        ...


async def keep_thawing(store: FreezeStore, requests: RequestStore, clock: Clock) -> None:
    """What is held of accounts whose freeze is over goes on; one worker does it."""
    while True:
        try:
            await asyncio.to_thread(thaw_lapsed, store, requests, clock)
        except Exception:
            log.exception("queue.not_thawed")
        await asyncio.sleep(THAW_S)


def thaw_lapsed(store: FreezeStore, requests: RequestStore, clock: Clock) -> None:
    """End each freeze whose time is over, as ``postern mailbox thaw`` would."""
    lapsed = store.lapsed()
    still = {freeze.account for freeze in store.all()} if lapsed else set()
    for freeze in lapsed:
        if freeze.account not in still:  # nobody has frozen it once more
            whose = MailFilter(account=str(freeze.account))
            requests.add(Request(0, clock.now(), AUTHOR, Action.RELEASE, whose))
        # Last: should we be cut off before, it is released twice, and not kept for ever.
        store.end(freeze)


class Freezer:
    """Of one worker. ``freeze`` returns at once; what it begins is done within a second."""

    def __init__(
        self,
        store: FreezeStore,
        requests: RequestStore,
        queue: QueueWorker,
        spool: Spool,
        directory: Directory,
        numbers: Numbers,
        clock: Clock,
        settings: NoticeSettings,
        expire_s: float,
    ) -> None:
        self._store = store
        self._requests = requests
        self._queue = queue
        self._spool = spool
        self._directory = directory
        self._numbers = numbers
        self._clock = clock
        self.settings = settings
        self._expire_s = expire_s
        self._under_way: set[Address] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def freeze(self, account: Address, reason: str) -> None:
        """Freeze an account; the next message of the same flood asks for it again, in vain."""
        if account in self._under_way:
            return
        self._under_way.add(account)
        task = asyncio.get_running_loop().create_task(self._freeze(account, reason))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _freeze(self, account: Address, reason: str) -> None:
        try:
            made = await asyncio.to_thread(self._store.freeze, str(account), reason=reason)
            if isinstance(made, Refused):
                log.error("queue.not_frozen", account=str(account), text=made.text)
                return
            whose = MailFilter(account=str(account))
            hold = Request(0, self._clock.now(), AUTHOR, Action.HOLD, whose)
            await asyncio.to_thread(self._requests.add, hold)
            if not made.is_new:
                return  # what was on its way when it was frozen; people were told
            log.warning("queue.frozen", account=str(account), text=reason, id=made.label)
            for to in (account, SITE_POSTMASTER):
                await self._tell(account, to, reason)
        except Exception:
            log.exception("queue.freeze_failed", account=str(account))
        finally:
            self._under_way.discard(account)

    async def _tell(self, account: Address, to: Address, reason: str) -> None:
        resolution = self._directory.resolve(to)
        if not isinstance(resolution, Resolved):
            return
        number, trace = self._numbers.next()
        now = self._clock.now()
        named = to if to.domain else Address(to.local, self.settings.hostname)
        content = frozen_letter(account, named, reason, trace, self.settings, now)
        places = [destination.address for destination in resolution.destinations]
        conversation = Conversation(
            number,
            now,
            "out",
            "notice",
            from_header=f"MAILER-DAEMON@{self.settings.hostname}",
            subject=f"{account} sends nothing for now",
            size=len(content),
            accepted=True,
            recipients=[RecipientRecord(str(place), "waiting") for place in places],
            steps=[Step("notice", Result.PASS.value, 0.0, PLACE, f"{account} is frozen")],
        )
        deliveries = [
            Delivery(n, Recipient(place), str(place), n) for n, place in enumerate(places)
        ]
        letter = Message(
            number,
            trace,
            now,
            now + self._expire_s,
            Sender(None),
            Origin.OURS,
            BytesContent(content),
            conversation,
            deliveries,
        )
        self._queue.prepare(letter)
        await self._spool.accept_wait(letter)
        self._queue.submit(letter)
