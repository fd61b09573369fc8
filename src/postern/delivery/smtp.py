"""One attempt by SMTP: an open connection if there is one, else its ways, racing.

An address that cannot be reached, greets with 4xx or 5xx, or breaks off before it answered MAIL is
passed over for the next (RFC 5321 §5.1), as ``delivery.race`` has it; the first that answers MAIL
decides. Where TLS was all that failed, one last try may go out in clear (``delivery.in_clear``), on
record as a try of its own. A message that was sent whole to a host that never answered for it goes
to no other host (RFC 1047).

Asking whether a server has a mailbox goes the same way, with an envelope and no message.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from postern.delivery.attempt import content_through, mail_of, name_of, records
from postern.delivery.in_clear import LastTries
from postern.delivery.job import Job, JobResult
from postern.delivery.pool import Pool
from postern.delivery.race import Race, Runner
from postern.delivery.settings import DeliverySettings
from postern.delivery.sightings import Sightings
from postern.delivery.signs import is_stale, sign_of_transaction
from postern.delivery.smtp_connection import SmtpConnection
from postern.delivery.tries import Tries
from postern.delivery.way_opener import Key, WayOpener, key_of
from postern.mail.content import BytesContent
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Cause, Deferred, Outcome, Refused
from postern.mail.paths import UNWATCHED, PathWatch, Sign
from postern.mail.route import Way
from postern.mail.smtp.client import Want
from postern.mail.smtp.client_outcomes import own_words
from postern.mail.tlsrpt import UNCOUNTED, TlsSessions
from postern.runtime.clock import Clock


class _Attempt:
    """An attempt as the pool's timer looks at it: begins what is due, tells when it is a slow one.

    ``slow`` is called once, when the attempt is older than ``slow_after_s``. A peer that owes one
    and the same reply at two looks so far apart is told of as slow; the last reply is left out,
    because a scanner behind it takes its time.
    """

    def __init__(
        self,
        tries: Tries,
        sightings: Sightings,
        slow_after_s: float,
        slow: Callable[[], None] | None = None,
    ) -> None:
        self.tries = tries
        self.race: Race | None = None
        self.is_exhausted = True
        self._sightings = sightings
        self._slow_after_s = slow_after_s
        self._slow = slow
        self._look_at = tries.began + slow_after_s
        self._sending: tuple[Way, SmtpConnection, float] | None = None
        self._owed = ""

    def sends(self, way: Way, connection: SmtpConnection, began: float) -> None:
        """A transaction begins."""
        self._sending = way, connection, began

    def look(self, now: float) -> None:
        """What the time makes due."""
        if self.race is not None:
            self.race.look(now)
        if now < self._look_at:
            return
        self._look_at = now + self._slow_after_s
        self._look_at_peer()
        slow, self._slow = self._slow, None
        if slow is not None:
            slow()

    def _look_at_peer(self) -> None:
        if self._sending is None:
            return
        way, connection, began = self._sending
        machine = connection.machine
        owed = machine.stage if machine.want is Want.REPLY and not machine.content_sent else ""
        if owed and owed == self._owed:
            text = f"takes its time to answer {owed}"
            self._sightings.tell(way, connection, Sign.SLOW, began, text, is_final=False)
            self._sending = None  # once is enough
        self._owed = owed


class SmtpDelivery:
    """Makes attempts; keeps connections between them. Lives on one event loop.

    Args:
        settings: how patient it is.
        clock: for its limits and records.
        watch: who is told what attempts show of the paths they took.
        sessions: who counts how their TLS went.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        clock: Clock,
        watch: PathWatch = UNWATCHED,
        sessions: TlsSessions = UNCOUNTED,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._opener = WayOpener(settings, clock)
        # A silent target must leave time to ask the others.
        connect_s = min(settings.connect_timeout_s, settings.verify_timeout_s / 4)
        self._asking_opener = WayOpener(replace(settings, connect_timeout_s=connect_s), clock)
        self._sightings = Sightings(watch, clock, sessions)
        self._pool: Pool[Key] = Pool(settings, clock)
        self._last_tries = LastTries()

    @property
    def open_connections(self) -> int:
        """Connections that are open now, at work or at rest."""
        return self._pool.open_count

    async def deliver(
        self, ways: Sequence[Way], job: Job, slow: Callable[[], None] | None = None
    ) -> JobResult:
        """Make one attempt; an outcome for each recipient of ``job``, in its order.

        Never raises for what a peer or the network does.

        Args:
            ways: best first.
            job: what for whom.
            slow: called once if the attempt gets older than ``slow_after_s``.
        """
        if not job.recipients:
            return JobResult((), ())
        return await self._attempt(Tries(ways, job, self._clock.monotonic()), slow)

    async def verify(self, ways: Sequence[Way], recipient: Recipient) -> Outcome:
        """Ask whether mail for ``recipient`` would be taken: MAIL FROM:<>, RCPT, RSET, no message.

        ``Delivered`` holds the reply to RCPT, and so does ``Refused``. ``Deferred``: it could not
        be told; a refused MAIL is that too. Takes at most ``verify_timeout_s`` and never raises
        for what a peer or the network does.
        """
        limit_s = self._settings.verify_timeout_s
        job = Job("", Sender(None), (recipient,), BytesContent(b""))
        tries = Tries(ways, job, self._clock.monotonic(), only_asks=True)
        try:
            async with asyncio.timeout(limit_s):
                result = await self._attempt(tries, None)
        except TimeoutError:
            asked = ways[0].target.host or ways[0].target.ip
            return own_words(Cause.SILENT, f"{asked} could not be asked within {limit_s:.0f} s")
        return result.outcomes[0]

    async def close(self, grace_s: float) -> None:
        """Close what rests, let what works finish within ``grace_s``, drop the rest."""
        await self._pool.close(grace_s)

    async def _attempt(self, tries: Tries, slow: Callable[[], None] | None) -> JobResult:
        attempt = _Attempt(tries, self._sightings, self._settings.slow_after_s, slow)
        self._pool.attend(attempt)
        try:
            result = await self._send_on_open(attempt)
            if result is None:
                result = await self._race(attempt, tries.not_answered)
            if result is None:
                now, is_all = self._clock.monotonic(), attempt.is_exhausted
                in_clear = self._last_tries.way(tries, now, is_all=is_all)
                if in_clear is not None:
                    result = await self._race(attempt, (in_clear,))
        finally:
            self._pool.leave(attempt)
        if result is not None:
            return result
        outcome = tries.most_telling
        return JobResult((outcome,) * len(tries.job.recipients), tuple(tries.records))

    async def _send_on_open(self, attempt: _Attempt) -> JobResult | None:
        """Over a connection that rests, if there is one; None when nobody answered MAIL there.

        Not over another egress than the first way's: what that one is asked for is the network's
        failure, and nothing has failed yet.
        """
        ways = attempt.tries.ways
        for way in ways:
            if way.is_fallback or way.egress.name != ways[0].egress.name:
                break
            connection = self._pool.take(key_of(way))
            if connection is not None:
                clock = self._clock
                runner = Runner(way, connection, clock.now(), clock.monotonic(), 0.0)
                return await self._send(attempt, runner, is_reused=True)
        return None

    async def _race(self, attempt: _Attempt, ways: Sequence[Way]) -> JobResult | None:
        """Over ``ways``; None when nobody answered MAIL on any of them."""
        settings, clock = self._settings, self._clock
        tries = attempt.tries
        opener = self._asking_opener if tries.only_asks else self._opener
        race = Race(tries, ways, opener, self._pool, self._sightings, settings, clock)
        attempt.race = race
        try:
            while (runner := await race.winner()) is not None:
                result = await self._send(attempt, runner, is_reused=False)
                if result is not None:
                    return result
        finally:
            attempt.is_exhausted = race.is_exhausted
            race.end()
            attempt.race = None
        return None

    async def _send(
        self, attempt: _Attempt, runner: Runner, *, is_reused: bool
    ) -> JobResult | None:
        """One transaction; None when the peer never answered MAIL."""
        tries, way, connection = attempt.tries, runner.way, runner.connection
        machine = connection.machine
        attempt.sends(way, connection, runner.began)
        content = content_through(way, tries.job)
        await connection.send(mail_of(tries.job, content, only_asks=tries.only_asks), content)
        seconds = self._clock.monotonic() - runner.began
        outcomes = machine.outcomes
        was_stale = is_reused and is_stale(connection)
        sign = None if was_stale else sign_of_transaction(connection, outcomes)
        if sign is not None:
            self._sightings.tell(way, connection, sign, runner.began, _text(outcomes))
        is_decided = machine.answered or _may_have_it(outcomes)
        self._pool.give_back(key_of(way), connection)
        if is_decided:
            made = records(name_of(way), runner.at, seconds, connection.tls, outcomes)
            return JobResult(outcomes, (*tries.records, *made))
        if not was_stale:  # else no record: a fresh connection is opened without a word
            why = _why(outcomes)
            tries.note(way, runner.at, seconds, connection.tls, why)
            (attempt.race or tries).failed(way, why, sign)
        return None


def _why(outcomes: tuple[Outcome, ...]) -> Deferred | Refused:
    """What ended a transaction before MAIL was answered: a refusal of ours where it wasn't said."""
    for outcome in outcomes:
        if isinstance(outcome, Deferred):
            return outcome
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            return outcome
    return own_words(Cause.CLOSED, "The session ended before MAIL was answered")


def _may_have_it(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether the whole message went to a host that did not say a word."""
    first = outcomes[0]
    return isinstance(first, Deferred) and first.cause is Cause.LOST_AFTER_DOT


def _text(outcomes: tuple[Outcome, ...]) -> str:
    """What was said, by whoever did not take it."""
    for outcome in outcomes:
        if isinstance(outcome, Deferred):
            return str(outcome.reply) if outcome.remote else outcome.reply.text
    return ""
