"""A queue on a real spool, with a scripted courier, a scripted router and a clock that is told."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.spool.mail import MemoryJournal, spool_of, until

from postern.delivery.job import JobResult
from postern.journal.record import AttemptRecord
from postern.mail.address import Address
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.reply import reply
from postern.mail.route import Egress, MaildirRoute, NoRoute, Route, SmtpRoute, Target
from postern.queue.contacts import Contacts, Nobody
from postern.queue.group import Work
from postern.queue.settings import QueueSettings
from postern.queue.settle import Settled
from postern.queue.worker import QueueWorker
from postern.routing.dead_ends import no_egress
from postern.runtime.clock import FakeClock
from postern.spool.message import Message

DELIVERED = Delivered(reply(250, "2.0.0", "ok"), "mx.there.test")
GREYLISTED = Deferred(reply(450, "4.7.1", "come back later"), Cause.REPLY, "mx.there.test")
SILENT = Deferred(reply(451, "4.4.1", "no answer"), Cause.SILENT)
UNKNOWN = Refused(reply(550, "5.1.1", "no such user"), Cause.REPLY, "mx.there.test")


def smtp(group: str, *hosts: str, egress: str = "direct") -> SmtpRoute:
    names = hosts or (f"mx.{group}",)
    targets = tuple(Target(host, "192.0.2.1", 25) for host in names)
    return SmtpRoute(group, Egress(egress), targets)


@dataclass
class ScriptedRouter:
    """Domains lead to the group of their own name, unless told otherwise."""

    routes: dict[str, Route] = field(default_factory=dict)
    slow: dict[str, asyncio.Event] = field(default_factory=dict)
    cached: bool = False
    asked: list[str] = field(default_factory=list)
    dies: set[str] = field(default_factory=set)
    no_egresses: set[str] = field(default_factory=set)

    def cached_route(self, address: Address, via: str | None = None) -> Route | None:
        if via:
            return None
        return self._known(address) if self.cached and address.domain not in self.slow else None

    async def route(self, address: Address, via: str | None = None) -> Route:
        self.asked.append(address.domain)
        if address.domain in self.dies:
            raise asyncio.CancelledError
        if address.domain in self.slow:
            await self.slow[address.domain].wait()
        if via in self.no_egresses:
            return no_egress(via, address.domain)
        route = self._known(address)
        if via and isinstance(route, SmtpRoute):
            return replace(route, egress=Egress(via))
        return route

    def _known(self, address: Address) -> Route:
        if address.domain == "here.test":
            return MaildirRoute("local", f"{address.domain}/{address.local}")
        return self.routes.get(address.domain) or smtp(address.domain)


@dataclass
class ScriptedCourier:
    """Ends each try as scripted for its recipient: a list of outcomes, the last one repeated."""

    clock: FakeClock
    script: dict[str, list[Outcome | Exception]] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    tries: list[tuple[int, str]] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    turns: asyncio.Semaphore | None = None  # each try takes one
    egress: str = ""  # the one it says it took; empty: that of the route

    async def attempt(self, work: Work) -> JobResult:
        if isinstance(work.route, NoRoute):
            return JobResult((work.route.outcome,) * len(work.deliveries), ())
        group = work.route.group
        self.running[group] = self.running.get(group, 0) + 1
        self.most[group] = max(self.most.get(group, 0), self.running[group])
        self.works.append(work)
        try:
            for delivery in work.deliveries:
                self.tries.append((work.message.id, str(delivery.recipient.address)))
            if group in self.gates:
                await self.gates[group].wait()
            if self.turns is not None:
                await self.turns.acquire()
            outcomes = tuple(self._next(str(d.recipient.address)) for d in work.deliveries)
        finally:
            self.running[group] -= 1
        word = "delivered" if isinstance(outcomes[0], Delivered) else "deferred"
        usual = work.route.egress.name if isinstance(work.route, SmtpRoute) else "direct"
        record = AttemptRecord(
            self.clock.now(),
            self.egress or usual,
            f"mx.{group}",
            "192.0.2.1",
            "",
            0.1,
            "250 ok",
            word,
        )
        return JobResult(outcomes, (record,))

    def _next(self, address: str) -> Outcome:
        script = self.script.get(address, [DELIVERED])
        found = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(found, Exception):
            raise found
        return found

    def count(self, address: str) -> int:
        return sum(found == address for _, found in self.tries)


@dataclass
class ScriptedTidings:
    """Remembers what it was asked to tell; ``answer`` writes the notices."""

    told: list[tuple[int, Settled, bool]] = field(default_factory=list)
    answer: Callable[[Message, Settled], list[Message]] = lambda message, settled: []
    delay_s: float = 14_400.0
    blocked_s: float = 3_600.0

    async def compose(
        self, message: Message, settled: Settled, *, is_blocked: bool = False
    ) -> list[Message]:
        self.told.append((message.id, settled, is_blocked))
        return self.answer(message, settled)

    async def expand(self, message: Message) -> list[Message]:
        return []

    def moment_of_delay(self, message: Message, *, is_blocked: bool = False) -> float:
        return message.accepted_at + (self.blocked_s if is_blocked else self.delay_s)


class Stage:
    """One worker's spool and queue."""

    def __init__(self, folder: Path, clock: FakeClock | None = None, **fields: object) -> None:
        self.folder = folder
        self.clock = clock or FakeClock()
        self.journal = MemoryJournal()
        self.settings = replace(QueueSettings(), **fields)  # type: ignore[arg-type]  # a test's own words
        self.courier = ScriptedCourier(self.clock)
        self.router = ScriptedRouter()
        self.tidings = ScriptedTidings()
        self.contacts: Contacts = Nobody()
        self._build()

    def _build(self) -> None:
        self.spool = spool_of(self.folder, self.journal, clock=self.clock, ride_s=0.0)
        self.queue = QueueWorker(
            self.spool,
            self.router,
            self.courier,
            self.tidings,
            self.settings,
            self.clock,
            self.contacts,
        )

    async def open(self) -> "Stage":
        self.queue.start(await self.spool.open())
        return self

    async def restart(self) -> None:
        """Stop as a kill would: what is only in memory is gone."""
        await self.close()
        self._build()
        await self.open()

    async def accept(self, *messages: Message) -> None:
        for message in messages:
            self.queue.prepare(message)
        await asyncio.gather(*(self.spool.accept_wait(message) for message in messages))
        for message in messages:
            self.queue.submit(message)

    async def settle(self) -> None:
        """Until nothing is at work and everything decided is on disk."""
        await until(lambda: not self.queue._tasks, "the queue to rest")
        await self.spool._call(lambda _: None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self.queue._tasks:
            await self.settle()

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.queue.run_due()
        await self.settle()

    async def advance_only(self, seconds: float) -> None:
        """``advance`` without waiting for the end of what that begins."""
        self.clock.advance(seconds)
        self.queue.run_due()

    async def close(self) -> None:
        await self.queue.stop(0.0)
        await self.spool.close()
