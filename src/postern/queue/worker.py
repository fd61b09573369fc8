"""The queue of one worker: it routes, lets groups go within their slots, and concludes.

Fresh mail goes straight from memory to its first attempt. What has to wait is on disk; its group
wakes at the earliest due time and claims only as much as it has lanes for.

Every waiting delivery leaves by its expiry: the last try is made then, and one whose turn did not
come for an hour after that is given up without it. Held mail is the exception. What is held for the
owner of a mailbox has an end of its own, see ``queue.keeper``. What a person holds, or what failed
elsewhere and may be told to nobody, stays until a person releases or cancels it, for it must never
vanish unseen. Once released after its expiry it has one more try.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Iterable, Mapping, Sequence

import structlog

from postern.delivery.job import JobResult
from postern.mail.paths import GroupMood
from postern.queue.calendar import Alarm
from postern.queue.claims import Claims
from postern.queue.contacts import Contacts, Nobody
from postern.queue.courier import Attempts
from postern.queue.desk import Desk
from postern.queue.expiry import Expiry
from postern.queue.gates import Gates
from postern.queue.group import UNSORTED, Group, Work
from postern.queue.groups import groups_of
from postern.queue.lanes import Session
from postern.queue.owed import owed
from postern.queue.settings import QueueSettings
from postern.queue.settle import Settled, bug_outcome, give_up, settle
from postern.queue.shelf import Shelf
from postern.queue.tidings import Tidings, expansions
from postern.queue.ways import Router, Ways
from postern.runtime.clock import Clock
from postern.spool.message import Delivery, DeliveryState, GroupLine, Message
from postern.spool.spool import Spool

log = structlog.get_logger("postern.queue")


class QueueWorker:
    """Conducts the deliveries of one worker. All methods are for the loop's thread."""

    def __init__(
        self,
        spool: Spool,
        router: Router,
        courier: Attempts,
        tidings: Tidings,
        settings: QueueSettings,
        clock: Clock,
        contacts: Contacts = Nobody(),  # noqa: B008 - it has no state
    ) -> None:
        self._contacts = contacts
        self._spool = spool
        self._ways = Ways(router, settings.recipients_per_transaction, settings.egresses)
        self._courier = courier
        self._tidings = tidings
        self._settings = settings
        self._clock = clock
        self.groups = groups_of(settings)
        self.gates = Gates(self.groups, self, clock, settings)
        self._desk = Desk(settings.worker_fresh_bytes, self._feed)
        self._claims = Claims(
            spool, self.groups, self._desk, clock, self._claimed, self._spawn, self._set_timer
        )
        self._shelf = Shelf(self._claims, self._desk, clock, self.record)
        self._expiry = Expiry(spool, self._desk, self.groups, clock, self._spawn, self._give_up)
        self._tasks: set[asyncio.Future[None]] = set()
        self._alarm = Alarm(self.run_due, clock)
        self._stopping = False
        self.attempts: dict[str, int] = {"delivered": 0, "deferred": 0, "refused": 0}

    # --- mail comes in -------------------------------------------------------------------------

    def reload(
        self, router: Router, courier: Attempts, tidings: Tidings, settings: QueueSettings
    ) -> None:
        """What begins from now on goes by these; what is under way ends as it began."""
        self._ways = Ways(router, settings.recipients_per_transaction, settings.egresses)
        self._courier, self._tidings, self._settings = courier, tidings, settings
        self.gates.reload(settings)

    def start(self, waiting: Iterable[GroupLine]) -> None:
        """Begin with what the spool said is waiting."""
        for line in waiting:
            self.groups.note_due(line.group, line.next_due)
        self._set_timer()

    def prepare(self, message: Message) -> None:
        """Before a message is made durable: too much in memory already, and it waits on disk."""
        if self._desk.is_full:
            now = self._clock.now()
            for delivery in message.deliveries:
                if delivery.state is DeliveryState.FRESH:
                    delivery.state = DeliveryState.WAITING
                    delivery.due = now
        elif self._shelf.is_in_use and len(message.deliveries) == 1:
            (delivery,) = message.deliveries
            name = self._ways.group_if_known(message, delivery)
            if name is not None and delivery.state is DeliveryState.FRESH:
                self._shelf.keep_out(name, message, delivery, self._settings.first_retry_s)

    def submit(self, message: Message) -> None:
        """A message has become durable: make its first attempt, or let it wait its turn."""
        self._contacts.wrote(message)
        fresh = [d for d in message.deliveries if d.state is DeliveryState.FRESH]
        self._note_waiting(d for d in message.deliveries if d.state is DeliveryState.WAITING)
        if fresh and not self._stopping:
            self._desk.take(message)
            self._dispatch(message, fresh)

    @property
    def fresh(self) -> int:
        """Messages at their first attempt, in memory."""
        return self._desk.fresh

    # --- the way ---------------------------------------------------------------------------------

    def _dispatch(self, message: Message, deliveries: Sequence[Delivery]) -> None:
        """Send deliveries to their groups, at once where every route is known."""
        for delivery in deliveries:
            delivery.busy = True
        if len(message.deliveries) > 1 and expansions(message):
            self._spawn(self._expand(message, deliveries))
            return
        works = self._ways.known(message, deliveries)
        if works is None:
            self._spawn(self._ways.find(message, deliveries, self._make_ready))
            return
        for work in works:
            self._make_ready(work)

    async def _expand(self, message: Message, deliveries: Sequence[Delivery]) -> None:
        """Tell the sender that his reports end at an alias, then go on."""
        try:
            notices = await self._tidings.expand(message)
        except Exception:
            # Each target then reports for itself: more than was owed, and nothing less.
            log.exception("queue.notice_bug", trace=message.trace)
        else:
            self._write(message, message.deliveries, notices)
        await self._ways.find(message, deliveries, self._make_ready)

    def _make_ready(self, work: Work) -> None:
        group = self.groups[work.route.group]
        for delivery in work.deliveries:
            delivery.group = group.name
        may_go = not group.is_restrained or self.gates.lets(group)
        group.busy += len(work.deliveries)
        if self._shelf.is_for(group, work):
            self._shelf.put(group, (work,), self._settings.first_retry_s)
            return
        group.ready.append(work)
        if may_go:
            self.pump(group)
        else:
            self.put_back(group)

    def pump(self, group: Group) -> None:
        """Let what is ready for a group go, as far as it finds slots."""
        while group.ready and not self._stopping:
            session = self.groups.take_lane(group, self._clock.now())
            if session is None:
                break
            self._spawn(self._lane(session))
        self.gates.keep_sweeping()

    async def _lane(self, session: Session) -> None:
        """One session's worth of work for a group, until nothing is ready or others wait."""
        group, lanes = session.group, self.groups.lanes
        try:
            while group.ready and not self._stopping:
                work = group.ready.popleft()
                lanes.begin(session, work, self._clock.monotonic())
                try:
                    await self._attempt(session, work)
                except Exception:
                    log.exception("queue.bug", trace=work.message.trace)
                    self._unstick(group, work)
                if session.is_long or group.is_restrained or lanes.is_wanted(session):
                    break
                if group.wants_lane:
                    self.pump(group)  # it may have more sessions than when this one began
        finally:
            lanes.give(session)
        following = lanes.next_in_line()
        if following is not None:
            self.pump(following)
        self.pump(group)
        self._claims.want_more(group)
        self.groups.drop_idle(group)

    async def _attempt(self, session: Session, work: Work) -> None:
        group = session.group
        message, deliveries = work.message, work.deliveries
        bug = JobResult((bug_outcome(),) * len(deliveries), ())
        try:
            result = await self._courier.attempt(work)
        except Exception:
            log.exception("queue.attempt_bug", trace=message.trace)
            result = bug
        if len(result.outcomes) != len(deliveries):
            log.error("queue.outcomes_missing", trace=message.trace)
            result = bug
        self.gates.heard(session, result)
        now = self._clock.now()
        chance = random.random()  # noqa: S311 - jitter, not a secret
        settled = settle(message, deliveries, result, now, self._settings, chance)
        is_blocked = group.is_blocked(now)
        told_at = self._tidings.moment_of_delay(message, is_blocked=is_blocked)
        for delivery, _ in settled.waiting:
            if not delivery.delay_told and now < told_at < delivery.due:
                delivery.due = told_at
        await self._conclude(group, work, settled, is_blocked=is_blocked)

    async def _conclude(
        self, group: Group, work: Work, settled: Settled, *, is_blocked: bool
    ) -> None:
        message = work.message
        notices = await self.notices_for(message, settled, is_blocked=is_blocked)
        self._count(settled)
        if settled.delivered:
            arrived = (delivery for delivery, _ in settled.delivered)
            self._contacts.reached(message, arrived, self._clock.now())
        group.busy -= len(work.deliveries)
        for delivery in work.deliveries:
            delivery.busy = False
        self.record(message, work.deliveries, notices)

    def _count(self, settled: Settled) -> None:
        self.attempts["delivered"] += len(settled.delivered)
        self.attempts["deferred"] += len(settled.waiting)
        self.attempts["refused"] += len(settled.failed)

    def _unstick(self, group: Group, work: Work) -> None:
        """An error of our own where none was foreseen: what is not decided is tried again."""
        due = self._clock.now() + self._settings.first_retry_s
        stuck = [d for d in work.deliveries if d.busy]
        group.busy -= len(stuck)
        for delivery in stuck:
            delivery.busy = False
            if not delivery.has_arrived:
                delivery.state, delivery.end, delivery.due = DeliveryState.WAITING, "", due
        try:
            self.record(work.message, work.deliveries)
        except Exception:
            # Its row can't even be written: what is on disk holds, and the next start reads it.
            log.exception("queue.unrecorded", trace=work.message.trace)

    async def notices_for(
        self, message: Message, settled: Settled, *, is_blocked: bool = False
    ) -> list[Message]:
        """What the sender is owed; where it can't be written, failed deliveries wait instead."""
        retry_at = self._clock.now() + self._settings.first_retry_s
        return await owed(self._tidings, message, settled, retry_at, is_blocked=is_blocked)

    def record(
        self, message: Message, deliveries: Sequence[Delivery], notices: Sequence[Message] = ()
    ) -> None:
        """Write how deliveries stand now; notices are sent, and the message let go, once it holds.

        ``message`` must be the copy in memory, see ``take``.
        """
        self._write(message, deliveries, notices)
        self._claims.concluded(message, deliveries)
        self._note_waiting(d for d in deliveries if d.state is DeliveryState.WAITING)

    def _write(
        self, message: Message, deliveries: Sequence[Delivery], notices: Sequence[Message]
    ) -> None:
        loop = asyncio.get_running_loop()

        def durable(error: Exception | None) -> None:
            self._desk.written(message)
            if error is None:
                for notice in notices:
                    self.submit(notice)
            # One turn later: who was given an older copy from disk just before takes it up first,
            # and still finds this one in its place.
            loop.call_soon(self._desk.let_go, message)

        self._spool.record(message, deliveries, notices, durable)
        self._desk.writing(message)

    # --- a person's hand --------------------------------------------------------------------------

    @property
    def active(self) -> Mapping[int, Message]:
        """The messages in memory, by number: the only copies of them that may be changed."""
        return self._desk.messages

    def take(self, message: Message) -> Message:
        """The copy to work on of a message just read from disk, with no wait in between.

        It stays until ``let_go`` or ``record``, or while a delivery of it is ``busy``.
        """
        return self._desk.take(message)

    def let_go(self, message: Message) -> None:
        """A message is not worked on any more."""
        self._desk.let_go(message)

    # --- groups that may not go ------------------------------------------------------------------

    def put_back(self, group: Group, keep: int = 0) -> None:
        """What is ready for a group, but the first ``keep``, waits on disk instead."""
        works = list(group.ready)
        group.ready = deque(works[:keep])
        self._shelf.put(group, works[keep:], self._settings.first_retry_s)

    def group_changed(self, group: str, mood: GroupMood) -> None:
        """Probes, other workers or a route say that a group is well, or that nothing answers."""
        self.gates.group_changed(group, mood)

    def fetch(self, group: Group) -> None:
        """Claim what waits on disk for a group, as far as it may go."""
        if not self._stopping:
            self._claims.start(group)

    # --- the calendar ----------------------------------------------------------------------------

    def run_due(self) -> None:
        """Claim for every group whose time has come; the timer calls this, and so may a test."""
        for group in self.groups.pop_due(self._clock.now()):
            self.gates.is_over(group)
            self._claims.start(group)
        self._expiry.look()
        self._set_timer()

    def _note_waiting(self, deliveries: Iterable[Delivery]) -> None:
        is_earlier = False
        for delivery in deliveries:
            is_earlier |= self.groups.note_due(delivery.group, delivery.due)
        if is_earlier:
            self._set_timer()

    def _set_timer(self) -> None:
        if not self._stopping:
            self._alarm.set(self.groups.next_due())

    def _feed(self) -> None:
        self._claims.feed()

    def _claimed(
        self, group: Group, message: Message, deliveries: Sequence[Delivery], now: float
    ) -> None:
        """Sort, or make the next attempt; what waited past its time goes back at once."""
        if group.name == UNSORTED:
            self._spawn(self._sort(message, deliveries))
            return
        late, ready = self._expiry.sort_out(message, deliveries, now)
        if late:
            self._spawn(self._give_up(message, late))
        if ready:
            self._dispatch(message, ready)

    async def _give_up(self, message: Message, deliveries: Sequence[Delivery]) -> None:
        settled = give_up(deliveries)
        notices = await self.notices_for(message, settled)
        self._count(settled)
        for delivery in deliveries:
            delivery.busy = False
        self.record(message, deliveries, notices)

    async def _sort(self, message: Message, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries without a group theirs, on disk too, and let the group claim them."""
        groups = await self._ways.groups_of(message, deliveries)
        for delivery, group in zip(deliveries, groups, strict=True):
            delivery.group = group
            delivery.busy = False
        self.record(message, deliveries)

    # --- the end ---------------------------------------------------------------------------------

    async def stop(self, grace_s: float) -> None:
        """Let sessions finish for ``grace_s``, then cut them; what is unfinished stays spooled."""
        self._stopping = self._claims.stopped = True
        self.gates.stop()
        self._alarm.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("queue.bug", error=repr(error), exc_info=error)
