"""The queue of one worker: it routes, lets groups go within their slots, and concludes.

Fresh mail goes straight from memory to its first attempt. What has to wait is on disk; its group
wakes at the earliest due time and claims only as much as it has lanes for.
"""

import asyncio
import random
from collections.abc import Coroutine, Iterable, Sequence
from typing import Protocol

import structlog

from postern.delivery.job import JobResult
from postern.mail.address import Address
from postern.mail.envelope import Notify
from postern.mail.route import LmtpRoute, NoRoute, Route, SmtpRoute
from postern.queue.courier import Courier
from postern.queue.groups import UNSORTED, Group, Groups, Work
from postern.queue.settings import QueueSettings
from postern.queue.settle import Settled, bug_outcome, settle
from postern.routing.group import LOCAL
from postern.runtime.clock import Clock
from postern.spool.message import Claim, Delivery, DeliveryState, GroupLine, Message
from postern.spool.spool import Spool
from postern.spool.writer import Done

log = structlog.get_logger("postern.queue")

CLAIM_PER_LANE = 4
SORT_AT_ONCE = 200
PATIENCE_S = 5.0


class Router(Protocol):
    """Says where a recipient's mail goes."""

    def cached_route(self, address: Address) -> Route | None:
        """The route when it is known without asking anyone."""
        ...

    async def route(self, address: Address, via: str | None = None) -> Route:
        """The route, after asking."""
        ...


class Tidings(Protocol):
    """Writes what the sender is owed of an attempt's end."""

    async def compose(self, message: Message, settled: Settled) -> list[Message]:
        """Notices, ready for the spool; may hold a delivery instead of telling a stranger."""
        ...

    def moment_of_delay(self, message: Message) -> float:
        """When the sender would be told of a delay: worth a try of its own."""
        ...


class QueueWorker:
    """Conducts the deliveries of one worker. All methods are for the loop's thread."""

    def __init__(
        self,
        spool: Spool,
        router: Router,
        courier: Courier,
        tidings: Tidings,
        settings: QueueSettings,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._router = router
        self._courier = courier
        self._tidings = tidings
        self._settings = settings
        self._clock = clock
        self.groups = Groups(
            settings.worker_slots, settings.group_slots, {LOCAL: settings.local_lanes}
        )
        self._active: dict[int, Message] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._memory_bytes = 0
        self.attempts: dict[str, int] = {"delivered": 0, "deferred": 0, "refused": 0}

    # --- mail comes in -------------------------------------------------------------------------

    def start(self, waiting: Iterable[GroupLine]) -> None:
        """Begin with what the spool said is waiting."""
        for line in waiting:
            self.groups.note_due(line.group, line.next_due)
        self._set_timer()

    def prepare(self, message: Message) -> None:
        """Before a message is made durable: too much in memory already, and it waits on disk."""
        if self._memory_bytes > self._settings.fresh_bytes:
            now = self._clock.now()
            for delivery in message.deliveries:
                if delivery.state is DeliveryState.FRESH:
                    delivery.state = DeliveryState.WAITING
                    delivery.due = now

    def submit(self, message: Message) -> None:
        """A message has become durable: make its first attempt, or let it wait its turn."""
        fresh = [d for d in message.deliveries if d.state is DeliveryState.FRESH]
        if not fresh:
            self._note_waiting(d for d in message.deliveries if d.state is DeliveryState.WAITING)
        elif not self._stopping:
            self._adopt(message)
            self._dispatch(message, fresh)

    def _adopt(self, message: Message) -> None:
        if message.id not in self._active:
            self._active[message.id] = message
            self._memory_bytes += len(message.content.in_memory or b"")

    def _release(self, message: Message) -> None:
        if message.id in self._active and not any(d.busy for d in message.deliveries):
            del self._active[message.id]
            self._memory_bytes -= len(message.content.in_memory or b"")

    @property
    def fresh(self) -> int:
        """Messages at their first attempt, in memory."""
        return sum(
            d.state is DeliveryState.FRESH for m in self._active.values() for d in m.deliveries
        )

    # --- the way ---------------------------------------------------------------------------------

    def _dispatch(self, message: Message, deliveries: Sequence[Delivery]) -> None:
        """Send deliveries to their groups, at once where every route is known."""
        for delivery in deliveries:
            delivery.busy = True
        if len(deliveries) == 1 and not deliveries[0].via:
            route = self._router.cached_route(deliveries[0].recipient.address)
            if route is not None:
                self._make_ready(Work(message, list(deliveries), route))
                return
        self._spawn(self._route_all(message, deliveries))

    async def _route_all(self, message: Message, deliveries: Sequence[Delivery]) -> None:
        together: dict[object, Work] = {}
        for delivery in deliveries:
            route = await self._route(message, delivery)
            self._gather(together, Work(message, [delivery], route))
        for work in together.values():
            self._make_ready(work)

    async def _route(self, message: Message, delivery: Delivery) -> Route:
        address = delivery.recipient.address
        try:
            route = None if delivery.via else self._router.cached_route(address)
            return route or await self._router.route(address, delivery.via or None)
        except Exception:
            log.exception("queue.route_bug", trace=message.trace)
            return NoRoute(delivery.group, bug_outcome())

    def _gather(self, together: dict[object, Work], work: Work) -> None:
        """Recipients that share a group and a kind of transaction share one."""
        route = work.route
        key: object = id(work)
        if isinstance(route, SmtpRoute):
            key = (route.group, route.egress.name)
        elif isinstance(route, LmtpRoute):
            key = (route.group, route.endpoint)
        found = together.get(key)
        if found is None:
            together[key] = work
        elif len(found.deliveries) >= self._settings.recipients_per_transaction:
            self._make_ready(found)
            together[key] = work
        else:
            found.deliveries += work.deliveries

    def _make_ready(self, work: Work) -> None:
        group = self.groups[work.route.group]
        for delivery in work.deliveries:
            delivery.group = group.name
        group.ready.append(work)
        group.busy += len(work.deliveries)
        self._pump(group)

    def _pump(self, group: Group) -> None:
        while not self._stopping and self.groups.take_lane(group):
            self._spawn(self._lane(group))

    async def _lane(self, group: Group) -> None:
        """One session's worth of work for a group, until nothing is ready or others wait."""
        try:
            while group.ready and not self._stopping:
                await self._attempt(group, group.ready.popleft())
                if self.groups.is_line:
                    break
        finally:
            self.groups.give_lane(group)
        following = self.groups.next_in_line()
        if following is not None:
            self._pump(following)
        self._pump(group)
        if group.has_more and not group.ready:
            self._start_claim(group)
        self.groups.drop_idle(group)

    async def _attempt(self, group: Group, work: Work) -> None:
        try:
            result = await self._courier.attempt(work)
        except Exception:
            log.exception("queue.attempt_bug", trace=work.message.trace)
            result = JobResult((bug_outcome(),) * len(work.deliveries), ())
        chance = random.random()  # noqa: S311 - jitter, not a secret
        now = self._clock.now()
        message, settings = work.message, self._settings
        settled = settle(message, work.deliveries, result, now, settings, chance)
        told_at = self._tidings.moment_of_delay(message)
        for delivery, _ in settled.waiting:
            if not delivery.delay_told and now < told_at < delivery.due:
                delivery.due = told_at
        await self._conclude(group, work, settled)

    async def _conclude(self, group: Group, work: Work, settled: Settled) -> None:
        message = work.message
        notices: list[Message] = []
        if settled.failed or settled.waiting or _wants_success(settled):
            try:
                notices = await self._tidings.compose(message, settled)
            except Exception:
                log.exception("queue.notice_bug", trace=message.trace)
                _keep_untold(settled, self._clock.now() + self._settings.first_retry_s)
        self.attempts["delivered"] += len(settled.delivered)
        self.attempts["deferred"] += len(settled.waiting)
        self.attempts["refused"] += len(settled.failed)
        group.busy -= len(work.deliveries)
        for delivery in work.deliveries:
            delivery.busy = False
        self._spool.record(
            message, work.deliveries, notices, self._submitter(notices) if notices else None
        )
        self._note_waiting(d for d in work.deliveries if d.state is DeliveryState.WAITING)
        self._release(message)

    def _submitter(self, notices: Sequence[Message]) -> Done:
        def durable(error: Exception | None) -> None:
            if error is None:
                for notice in notices:
                    self.submit(notice)

        return durable

    # --- the calendar ----------------------------------------------------------------------------

    def run_due(self) -> None:
        """Claim for every group whose time has come; the timer calls this, and so may a test."""
        for group in self.groups.pop_due(self._clock.now()):
            self._start_claim(group)
        self._set_timer()

    def _note_waiting(self, deliveries: Iterable[Delivery]) -> None:
        is_earlier = False
        for delivery in deliveries:
            is_earlier |= self.groups.note_due(delivery.group, delivery.due)
        if is_earlier:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.groups.next_due()
        if due is not None and not self._stopping:
            delay_s = max(0.0, due - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.run_due)

    def _start_claim(self, group: Group) -> None:
        if group.name != UNSORTED and group.lanes >= group.most_lanes:
            group.has_more = True
        elif not group.is_claiming and not self._stopping:
            group.is_claiming = True
            self._spawn(self._claim(group))

    async def _claim(self, group: Group) -> None:
        """Bring what is due from disk: as much as the group's lanes can take."""
        most = group.most_lanes * CLAIM_PER_LANE if group.name != UNSORTED else SORT_AT_ONCE
        limit = most + group.busy
        try:
            claim = await self._spool.claim(group.name, limit, self._active.keys())
        except Exception:
            log.exception("queue.claim_failed", group=group.name)
            self.groups.note_due(group.name, self._clock.now() + 10.0)
            self._set_timer()
            return
        finally:
            group.is_claiming = False
        for message in claim.loaded:
            self._adopt(message)
        due = self._claimable(claim)
        group.has_more = len(claim.due) >= limit
        if group.name == UNSORTED:
            await self._sort(due)
        else:
            for message, deliveries in due:
                self._dispatch(message, deliveries)
        for message in claim.loaded:
            self._release(message)
        if claim.next_due is not None:
            self.groups.note_due(group.name, claim.next_due)
        if group.has_more and not (group.ready or group.lanes):
            # Nobody's end will ask for the rest: more to sort, or all of it is at work elsewhere.
            pause_s = 0.0 if group.name == UNSORTED else PATIENCE_S
            self.groups.note_due(group.name, self._clock.now() + pause_s)
        self._set_timer()

    def _claimable(self, claim: Claim) -> list[tuple[Message, list[Delivery]]]:
        """The deliveries of a claim that nobody is at work on, by message."""
        due: dict[int, list[Delivery]] = {}
        for number, n in claim.due:
            message = self._active.get(number)
            if message is None:
                continue
            delivery = message.deliveries[n]
            if delivery.state is DeliveryState.WAITING and not delivery.busy:
                due.setdefault(number, []).append(delivery)
        return [(self._active[number], deliveries) for number, deliveries in due.items()]

    async def _sort(self, due: Iterable[tuple[Message, list[Delivery]]]) -> None:
        """Give deliveries without a group theirs, on disk too, and let the group claim them."""
        for message, deliveries in due:
            for delivery in deliveries:
                delivery.group = (await self._route(message, delivery)).group or "?"
            self._spool.record(message, deliveries)
            self._note_waiting(deliveries)

    # --- the end ---------------------------------------------------------------------------------

    async def stop(self, grace_s: float) -> None:
        """Let sessions finish for ``grace_s``, then cut them; what is unfinished stays spooled."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _wants_success(settled: Settled) -> bool:
    return any(
        d.recipient.notify is not None and Notify.SUCCESS in d.recipient.notify
        for d, _ in settled.delivered
    )


def _keep_untold(settled: Settled, due: float) -> None:
    """A notice could not be written: the failed deliveries wait, for a failure must be told."""
    for delivery, _ in settled.failed:
        delivery.state = DeliveryState.WAITING
        delivery.end = ""
        delivery.due = due
