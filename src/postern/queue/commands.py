"""Commands that reach a running worker through ``site.db``: taken up, carried out, answered."""

import asyncio

import structlog

from postern.queue.request import Answer, Request, Tally
from postern.queue.store.requests import RequestStore
from postern.queue.store.suspensions import SuspensionStore
from postern.queue.surgery import Surgery
from postern.queue.suspending import WORDS, Suspending
from postern.queue.worker import QueueWorker
from postern.runtime.clock import Clock
from postern.runtime.database.engine import Database
from postern.runtime.database.watch import ChangeWatch
from postern.spool.spool import Spool

log = structlog.get_logger("postern.queue")

POLL_S = 0.2
TROUBLE_S = 2.0
"""A database that does not answer is left alone for so long."""

MAX_AGE_S = 60.0
"""An older request is not begun any more: whoever gave it was told so, and has gone on."""

TELL_S = 1.0
"""How often a long request tells how far it has come; its author waits while it does."""


class Commands:
    """One worker's ear for commands. ``watch`` is its own, for it is asked whether *it* knows."""

    def __init__(
        self,
        database: Database,
        watch: ChangeWatch,
        worker: int,
        queue: QueueWorker,
        spool: Spool,
        clock: Clock,
    ) -> None:
        self._store = RequestStore(database)
        self._watch = watch
        self._worker = worker
        self._surgery = Surgery(queue, spool, clock)
        self._clock = clock
        suspensions = SuspensionStore(database, clock, f"worker-{worker}")
        self.suspending = Suspending(suspensions, queue.gates)
        self.suspending.refresh()
        self._told_at = 0.0
        self._is_behind = False

    async def keep_polling(self) -> None:
        """Look every 200 ms until cancelled; a database that does not answer is asked again."""
        try:
            while True:
                await asyncio.sleep(POLL_S)
                try:
                    await self.poll()
                except Exception:
                    self._is_behind = True
                    log.exception("queue.commands")
                    await asyncio.sleep(TROUBLE_S)
        finally:
            self._watch.close()

    async def poll(self) -> None:
        """Carry out what was asked since; the database is only read when it has changed.

        Raises:
            DatabaseTroubleError: it could not be read, or an answer not written.
        """
        if not self._watch.changed() and not self._is_behind:
            return
        since = self._clock.now() - MAX_AGE_S
        asked = await asyncio.to_thread(self._store.unanswered, self._worker, since)
        self._is_behind = False
        for request in asked:
            await self._carry_out(request)

    async def _carry_out(self, request: Request) -> None:
        self._told_at = self._clock.monotonic()

        async def progress(tally: Tally) -> None:
            if self._clock.monotonic() - self._told_at >= TELL_S:
                self._told_at = self._clock.monotonic()
                await self._answer(request, tally)

        try:
            if request.action in WORDS:
                tally = self.suspending.carry_out(request)
            else:
                tally = await self._surgery.carry_out(request, progress)
        except Exception as error:
            log.exception("queue.command_failed", action=request.action.value)
            tally = Tally(error=f"{type(error).__name__}: {error}"[:500], is_done=True)
        log.info(
            "queue.command",
            action=request.action.value,
            author=request.author,
            mail=str(request.filter),
            dry_run=request.dry_run,
            changed=tally.count,
            busy=tally.busy,
        )
        await self._answer(request, tally)

    async def _answer(self, request: Request, tally: Tally) -> None:
        answer = Answer(request.id, self._worker, self._clock.now(), tally)
        await asyncio.to_thread(self._store.answer, answer)
