"""The ways of one attempt, racing: which is begun when, and which one carries the mail.

The first way is begun at once. The next is begun when one has failed, or beside the last begun when
that one has not greeted for ``hedge_s``. The first greeting wins: whoever has not greeted then is
given up, and may be begun again if the winner comes to nothing. One that has greeted and is still
not ready for mail ``2 * hedge_s`` later (a STARTTLS that stalls) is no winner any more; the others
go on beside it, and whoever is ready first carries the mail. No loser ever says MAIL.

Another egress is another reputation, and nobody's refusal is dodged: ways through another egress
than the first one's are begun only while nothing but the network has failed. A relay that is a
fallback waits for more: until every direct way has failed so, or until ``relay_after_s`` have gone
by and no direct way has greeted.

The first way runs in the task that waits for the winner, and the pool's timer tells the time: where
the first way answers, a race costs no task and no timer. See ``docs/delivery.md``.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from postern.delivery.opener import NotOpened
from postern.delivery.pool import Pool
from postern.delivery.settings import DeliverySettings
from postern.delivery.sightings import Sightings
from postern.delivery.signs import LATE, sign_of_delay, sign_of_opening
from postern.delivery.smtp_connection import SmtpConnection
from postern.delivery.tries import Tries
from postern.delivery.way_opener import Key, WayOpener
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.paths import Sign
from postern.mail.route import Way
from postern.mail.smtp.client_outcomes import own_words
from postern.mail.tlsrpt import TlsResult
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.delivery")


@dataclass(slots=True, eq=False)
class Runner:
    """A way under way.

    Args:
        way: which.
        connection: its connection.
        at: when it began, by the wall clock.
        began: the same monotonic second.
        late_at: the monotonic second in which it is late, unless it gets on.
        late: what its being late says of the path.
        is_out: another goes on in its place.
    """

    way: Way
    connection: SmtpConnection
    at: float
    began: float
    late_at: float
    late: Sign | None = None
    is_out: bool = False

    @property
    def leads(self) -> bool:
        """Whether it has greeted and gets on: nobody else need be asked."""
        return self.connection.machine.is_greeted and self.late is None and not self.is_out


class Race:
    """Gives connections that are ready for mail, one after the other, until no way is left.

    Args:
        tries: the attempt; failures are noted in it.
        ways: to race over, best first.
        opener: opens ways.
        pool: watches over what is open.
        sightings: who is told what shows.
        settings: how patient it is.
        clock: for that.
    """

    def __init__(
        self,
        tries: Tries,
        ways: Sequence[Way],
        opener: WayOpener,
        pool: Pool[Key],
        sightings: Sightings,
        settings: DeliverySettings,
        clock: Clock,
    ) -> None:
        self._tries = tries
        self._opener = opener
        self._pool = pool
        self._sightings = sightings
        self._settings = settings
        self._clock = clock
        most = settings.max_targets
        direct = [way for way in ways if not way.is_fallback]
        others = [way for way in direct if not self._is_usual(way)][:most]
        self._left = [way for way in direct if self._is_usual(way)][:most] + others
        self._fallbacks = [way for way in ways if way.is_fallback][:most]
        self._most = most + len(others) + len(self._fallbacks)
        self._fallback_at = tries.began + settings.relay_after_s if self._fallbacks else math.inf
        self._running: list[Runner] = []
        self._lanes: set[asyncio.Task[None]] = set()
        self._begun = 0
        self._began_at = clock.now()
        self._winner: Runner | None = None
        self._changed: asyncio.Future[None] | None = None
        self._bug: BaseException | None = None
        self._direct_greeted = False
        self._has_fallen_back = False
        self._network_failed = False
        self._was_answered = tries.was_answered
        self._is_over = False

    # What an attempt calls

    async def winner(self) -> Runner | None:
        """The next connection that is ready for mail; None: no way is left to try."""
        self._start_over()
        while not self._is_won():
            way = self._next()
            if way is not None:
                await self._run(self._begin(way))
            elif self._running:
                await self._wait()
            else:
                break
        return self._winner

    def failed(self, way: Way, outcome: Deferred | Refused, sign: Sign | None) -> None:
        """This way came to nothing, in the race or later on; decides what may still be tried."""
        self._tries.failed(way, outcome, sign)
        if way.is_relay or sign is None:
            return
        if sign.is_network:
            self._network_failed = True
            return
        self._was_answered = True
        for runner in list(self._running):
            if not self._is_usual(runner.way) and not runner.connection.machine.is_greeted:
                self._put_out(runner)

    @property
    def is_exhausted(self) -> bool:
        """Whether every way has failed that may be tried: nothing is left for want of time."""
        if any(self._is_usual(way) or not self._was_answered for way in self._left):
            return False
        return not self._fallbacks or not self._may_fall_back(self._clock.monotonic())

    def end(self) -> None:
        """No more of it: whoever still runs is given up."""
        self._is_over = True
        for runner in list(self._running):
            runner.is_out = True
            runner.connection.give_way()

    def look(self, now: float) -> None:
        """Begin what is due at the monotonic second ``now``."""
        for runner in list(self._running):
            if now >= runner.late_at and runner.late is None and not runner.is_out:
                self._is_late(runner, now)
        is_due = now >= self._fallback_at and not self._has_fallen_back
        if is_due and self._fallbacks and self._may_fall_back(now) and self._has_room(0):
            self._begin_beside(self._fallbacks.pop(0))

    # Which way is next

    def _next(self) -> Way | None:
        """The way to begin now, taken from those that are left; None: none, for now."""
        keeps = 0 if self._has_fallen_back or not self._fallbacks else 1
        if self._has_room(keeps):
            may = [way for way in self._left if self._is_usual(way) or not self._was_answered]
            if may:
                # While the first was silent the others were tested: one that answers comes first.
                way = next(filter(self._answers, may), may[0])
                self._left.remove(way)
                return way
        if self._fallbacks and self._may_fall_back(self._clock.monotonic()) and self._has_room(0):
            return self._fallbacks.pop(0)
        return None

    def _has_room(self, keeps: int) -> bool:
        """Whether anything may be begun at all, if so many openings are kept free."""
        settings, tries = self._settings, self._tries
        if self._is_over or self._winner is not None or self._pool.is_over:
            return False
        if self._begun >= self._most or len(self._running) >= settings.most_openings - keeps:
            return False
        if any(runner.leads for runner in self._running):
            return False
        return self._clock.monotonic() - tries.began < settings.attempt_budget_s

    def _is_usual(self, way: Way) -> bool:
        """Whether it goes through the egress that the mail is to leave through."""
        usual = self._tries.ways[0].egress
        return not way.is_fallback and (way.egress is usual or way.egress.name == usual.name)

    def _may_fall_back(self, now: float) -> bool:
        """Whether the network alone has failed on every direct way, or nothing greeted in time.

        One whose STARTTLS stalls has failed so far. Whoever is merely silent may still greet: that
        is what ``relay_after_s`` is for.
        """
        if self._was_answered:
            return False
        if now >= self._fallback_at and not self._direct_greeted:
            return not (self._is_answer_near() or self._is_greeting_near())
        if not self._network_failed or self._left:
            return False
        return all(r.way.is_fallback or r.late is Sign.TLS_STALLED for r in self._running)

    def _is_answer_near(self) -> bool:
        """Whether a direct address that answers others is left, or was begun a moment ago."""
        begun = (r.way for r in self._running if r.late is None and not r.is_out)
        return any(
            self._answers(way)
            for ways in (self._left, begun)
            for way in ways
            if not way.is_fallback
        )

    def _is_greeting_near(self) -> bool:
        """Whether a direct address has begun to greet, and takes its time to end (postscreen)."""
        return any(
            r.connection.has_heard and not (r.way.is_relay or r.is_out) for r in self._running
        )

    def _answers(self, way: Way) -> bool:
        """Whether its address has answered others since this began, where another did not."""
        return self._network_failed and self._sightings.answers(way, self._began_at)

    # One way

    def _begin(self, way: Way) -> Runner:
        clock = self._clock
        connection = self._opener.begin(way)
        now = clock.monotonic()
        runner = Runner(way, connection, clock.now(), now, now + self._settings.hedge_s)
        self._begun += 1
        self._has_fallen_back = self._has_fallen_back or way.is_fallback
        self._running.append(runner)
        self._pool.watch(connection)
        connection.on_greeting = lambda: self._greeted(runner)
        return runner

    async def _run(self, runner: Runner) -> None:
        connection = runner.connection
        if runner.is_out:  # before its task came to run
            self._running.remove(runner)
            connection.abandon()
            return
        ended = await self._opener.open(runner.way, connection)
        connection.on_greeting = None
        self._running.remove(runner)
        if not self._is_in(runner):
            connection.close()
        elif ended is None:
            self._has_won(runner)
        else:
            self._has_failed(runner, ended)
        self._wake()

    def _start_over(self) -> None:
        """Nobody has won yet, or any more (a method: mypyc takes what it last saw set for good)."""
        self._winner = None

    def _is_won(self) -> bool:
        """Whether somebody has won. What went wrong in a task beside the first is raised here."""
        if self._winner is None and self._bug is not None:
            raise self._bug
        return self._winner is not None

    def _is_in(self, runner: Runner) -> bool:
        """Whether it may still win."""
        return not (runner.is_out or self._is_over or self._winner is not None)

    def _greeted(self, runner: Runner) -> None:
        """The first greeting wins, for as long as its connection gets on."""
        if not self._is_in(runner):
            return
        runner.late = None
        runner.late_at = self._clock.monotonic() + 2 * self._settings.hedge_s
        if not runner.way.is_relay:
            self._direct_greeted = True
        for other in list(self._running):
            if not other.connection.machine.is_greeted:
                self._put_out(other)

    def _has_won(self, runner: Runner) -> None:
        self._winner = runner
        self._sightings.tell(runner.way, runner.connection, Sign.ANSWERED, runner.began)
        self._count(runner, runner.connection.tls_result)
        for other in list(self._running):
            self._put_out(other)

    def _has_failed(self, runner: Runner, ended: NotOpened) -> None:
        way, connection, outcome = runner.way, runner.connection, ended.failure
        sign = sign_of_opening(connection, outcome)
        if sign is not None:
            text = str(outcome.reply) if outcome.remote else outcome.reply.text
            self._sightings.tell(way, connection, sign, runner.began, text)
        if ended.tls_result is not None:
            self._count(runner, ended.tls_result)
        seconds = self._clock.monotonic() - runner.began
        self._tries.note(way, runner.at, seconds, ended.tls, outcome)
        self.failed(way, outcome, sign)

    def _count(self, runner: Runner, result: TlsResult | None) -> None:
        """For reports, which are about sessions that carry mail or were to."""
        if not self._tries.only_asks:
            self._sightings.count(runner.way, self._tries.job, result)

    def _put_out(self, runner: Runner) -> None:
        """Another goes on in its place. It keeps its turn, or has the last one if it was late."""
        if runner.is_out:
            return
        way, connection = runner.way, runner.connection
        runner.is_out = True
        left = self._fallbacks if way.is_fallback else self._left
        if runner.late is None:
            left.insert(0, way)
        else:
            left.append(way)
            seconds = self._clock.monotonic() - runner.began
            words = f"{connection.remote} {LATE[runner.late]} {seconds:.1f} s; went another way"
            cause = Cause.TLS if runner.late is Sign.TLS_STALLED else Cause.SILENT
            self._tries.note(way, runner.at, seconds, "", own_words(cause, words))
            self._sightings.lost(way, connection)
        connection.give_way()

    def _is_late(self, runner: Runner, now: float) -> None:
        """Tell it while it still goes on, and begin the next way beside it."""
        connection, settings = runner.connection, self._settings
        sign = runner.late = sign_of_delay(connection)
        text = f"{LATE[sign]} {now - runner.began:.0f} s"
        self._sightings.tell(runner.way, connection, sign, runner.began, text, is_final=False)
        if sign is Sign.TLS_STALLED:
            connection.hurry(now + max(settings.tls_timeout_s - 2 * settings.hedge_s, 0.0))
        if sign.is_network and not runner.way.is_relay:
            self._network_failed = True
        way = self._next()
        if way is not None:
            self._begin_beside(way)

    # Tasks beside the first

    def _begin_beside(self, way: Way) -> None:
        lane = asyncio.get_running_loop().create_task(self._lane(self._begin(way)))
        self._lanes.add(lane)
        lane.add_done_callback(self._lane_is_over)

    async def _lane(self, runner: Runner) -> None:
        """One way, and whatever is next when it has failed."""
        await self._run(runner)
        while (way := self._next()) is not None:
            await self._run(self._begin(way))

    def _lane_is_over(self, lane: "asyncio.Task[None]") -> None:
        self._lanes.discard(lane)
        bug = None if lane.cancelled() else lane.exception()
        if bug is not None and (self._is_over or self._winner is not None):
            log.error("delivery.race_bug", exc_info=bug)  # it stops nobody any more
        elif bug is not None:
            self._bug = bug
        self._wake()

    async def _wait(self) -> None:
        """Until somebody has won or failed."""
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
