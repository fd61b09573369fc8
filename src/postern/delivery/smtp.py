"""One attempt by SMTP: an open connection if there is one, else its ways in order.

An address that cannot be reached, greets with 4xx or 5xx, or breaks off before it answered MAIL is
passed over for the next (RFC 5321 §5.1); the first that answers MAIL decides. Where TLS is only
opportunistic and a handshake was all that failed, one last try goes out in clear (RFC 7435): never
with a password, and on record as a try of its own.

Asking whether a server has a mailbox goes the same way, with an envelope and no message.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from postern.delivery.attempt import mail_of, name_of, records
from postern.delivery.job import Job, JobResult
from postern.delivery.opener import NotOpened, Opener, Place
from postern.delivery.pool import Pool
from postern.delivery.settings import DeliverySettings
from postern.delivery.smtp_connection import SmtpConnection
from postern.delivery.tls import is_loopback
from postern.journal.record import AttemptRecord
from postern.mail.content import BytesContent
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Cause, Deferred, Outcome, Refused
from postern.mail.paths import UNWATCHED, PathWatch
from postern.mail.route import TlsDemand, TlsPolicy, Way
from postern.mail.smtp.client_auth import Login
from postern.mail.smtp.client_opening import ClientConfig
from postern.mail.smtp.client_outcomes import own_words
from postern.runtime.clock import Clock

IN_CLEAR = TlsDemand(TlsPolicy.NEVER)


@dataclass(slots=True)
class _Tries:
    """What has been tried so far for one job, since the monotonic second ``began``."""

    ways: Sequence[Way]
    job: Job
    began: float
    only_asks: bool = False
    records: list[AttemptRecord] = field(default_factory=list)
    failures: list[tuple[Way, Deferred | Refused]] = field(default_factory=list)


class SmtpDelivery:
    """Makes attempts; keeps connections between them. Lives on one event loop.

    Args:
        settings: how patient it is.
        clock: for its limits and records.
        watch: who is told what attempts show of the paths they took.
    """

    def __init__(
        self, settings: DeliverySettings, clock: Clock, watch: PathWatch = UNWATCHED
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._opener = Opener(settings, clock)
        # A silent target must leave time to ask the others.
        connect_s = min(settings.connect_timeout_s, settings.verify_timeout_s / 4)
        self._asking_opener = Opener(replace(settings, connect_timeout_s=connect_s), clock)
        self._watch = watch
        self._pool: Pool[Way] = Pool(settings, clock)

    @property
    def open_connections(self) -> int:
        """Connections that are open now, at work or at rest."""
        return self._pool.open_count

    async def deliver(self, ways: Sequence[Way], job: Job) -> JobResult:
        """Make one attempt; an outcome for each recipient of ``job``, in its order.

        Never raises for what a peer or the network does.
        """
        if not job.recipients:
            return JobResult((), ())
        return await self._attempt(_Tries(ways, job, self._clock.monotonic()))

    async def verify(self, ways: Sequence[Way], recipient: Recipient) -> Outcome:
        """Ask whether mail for ``recipient`` would be taken: MAIL FROM:<>, RCPT, RSET, no message.

        ``Delivered`` holds the reply to RCPT, and so does ``Refused``. ``Deferred``: it could not
        be told; a refused MAIL is that too. Takes at most ``verify_timeout_s`` and never raises
        for what a peer or the network does.
        """
        limit_s = self._settings.verify_timeout_s
        job = Job("", Sender(None), (recipient,), BytesContent(b""))
        tries = _Tries(ways, job, self._clock.monotonic(), only_asks=True)
        try:
            async with asyncio.timeout(limit_s):
                result = await self._attempt(tries)
        except TimeoutError:
            asked = ways[0].target.host or ways[0].target.ip
            return own_words(Cause.SILENT, f"{asked} could not be asked within {limit_s:.0f} s")
        return result.outcomes[0]

    async def _attempt(self, tries: _Tries) -> JobResult:
        """An open connection if there is one, else the ways in order."""
        for way in tries.ways:
            connection = self._pool.take(way)
            if connection is not None:
                # One that turns out dead before it answered MAIL was closed while it rested; that
                # is no failure of the peer's, so it leaves no record and a fresh one is opened.
                result = await self._send(tries, way, connection, is_reused=True)
                if result is not None:
                    return result
                break
        return await self._try_ways(tries)

    async def close(self, grace_s: float) -> None:
        """Close what rests, let what works finish within ``grace_s``, drop the rest."""
        await self._pool.close(grace_s)

    async def _try_ways(self, tries: _Tries) -> JobResult:
        settings = self._settings
        for way in tries.ways[: settings.max_targets]:
            if self._clock.monotonic() - tries.began >= settings.attempt_budget_s:
                break
            result = await self._try(tries, way)
            if result is not None:
                return result
        tls_broken = [way for way, why in tries.failures if _may_go_in_clear(way, why)]
        if tls_broken:
            target = replace(tls_broken[0].target, tls=IN_CLEAR)
            result = await self._try(tries, replace(tls_broken[0], target=target))
            if result is not None:
                return result
        outcome = _most_telling([why for _, why in tries.failures])
        return JobResult((outcome,) * len(tries.job.recipients), tuple(tries.records))

    async def _try(self, tries: _Tries, way: Way) -> JobResult | None:
        """One way; None when nobody answered MAIL there."""
        egress, target = way.egress, way.target
        place = Place(target.host, target.ip, target.port, source_ip=egress.source_ip)
        at, began = self._clock.now(), self._clock.monotonic()
        opener = self._asking_opener if tries.only_asks else self._opener
        connection = opener.begin(self._config(way))
        self._pool.watch(connection)
        not_opened = await opener.open(connection, place, target.tls.policy)
        if not_opened is not None:
            self._note(tries, way, at, began, not_opened)
            return None
        return await self._send(tries, way, connection, is_reused=False, at=at, began=began)

    async def _send(
        self,
        tries: _Tries,
        way: Way,
        connection: SmtpConnection,
        *,
        is_reused: bool,
        at: float | None = None,
        began: float | None = None,
    ) -> JobResult | None:
        """One transaction; None when the peer never answered MAIL."""
        clock, job = self._clock, tries.job
        at = clock.now() if at is None else at
        began = clock.monotonic() if began is None else began
        await connection.send(mail_of(job, only_asks=tries.only_asks), job.content)
        outcomes = connection.machine.outcomes
        answered = connection.machine.answered
        self._pool.give_back(way, connection)
        if answered:
            made = records(name_of(way), at, clock.monotonic() - began, connection.tls, outcomes)
            return JobResult(outcomes, (*tries.records, *made))
        why = _why(outcomes)
        if not is_reused or why.cause is Cause.SILENT:
            self._note(tries, way, at, began, NotOpened(why, connection.tls))
        return None

    def _note(self, tries: _Tries, way: Way, at: float, began: float, ended: NotOpened) -> None:
        """Record a way that came to nothing."""
        seconds = self._clock.monotonic() - began
        everyone = (ended.failure,) * len(tries.job.recipients)
        tries.records.extend(records(name_of(way), at, seconds, ended.tls, everyone))
        tries.failures.append((way, ended.failure))

    def _config(self, way: Way) -> ClientConfig:
        settings, egress, target = self._settings, way.egress, way.target
        login = None
        if egress.username is not None:
            login = Login(egress.username, egress.password or "")
        return ClientConfig(
            helo=egress.helo or settings.helo,
            remote=f"{target.host} [{target.ip}]" if target.host else f"[{target.ip}]",
            tls=target.tls.policy,
            login=login,
            clear_auth=settings.clear_auth_on_loopback and is_loopback(target.ip),
            chunk_limit_bytes=settings.chunk_limit_bytes,
        )


def _may_go_in_clear(way: Way, why: Deferred | Refused) -> bool:
    is_opportunistic = way.target.tls.policy is TlsPolicy.OPPORTUNISTIC
    return why.cause is Cause.TLS and is_opportunistic and way.egress.username is None


def _why(outcomes: tuple[Outcome, ...]) -> Deferred | Refused:
    """What ended a transaction before MAIL was answered: a refusal of ours where it wasn't said."""
    for outcome in outcomes:
        if isinstance(outcome, Deferred):
            return outcome
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            return outcome
    return own_words(Cause.CLOSED, "The session ended before MAIL was answered")


def _most_telling(failures: list[Deferred | Refused]) -> Deferred | Refused:
    """What the sender is told when every target failed: a server's own words before ours.

    Refused only where every one of them may not have the message: another may be back tomorrow.
    """
    waiting = [failure for failure in failures if isinstance(failure, Deferred)]
    for failure in waiting:
        if failure.remote:
            return failure
    if waiting:
        return waiting[0]
    return failures[0] if failures else own_words(Cause.NO_MAIL_HOST, "There is no address to try")
