"""One attempt by SMTP: an open connection if there is one, else the route's targets in order.

A target that cannot be reached, greets with 4xx or 5xx, or breaks off before it answered MAIL is
passed over for the next (RFC 5321 §5.1); the first that answers MAIL decides. Where TLS is only
opportunistic and a handshake was all that failed, one last try goes out in clear (RFC 7435): never
with a password, and on record as a try of its own.

Asking whether a server has a mailbox goes the same way, with an envelope and no message.
"""

import asyncio
from dataclasses import dataclass, field, replace

from postern.delivery.attempt import Way, address_of, mail_of, records
from postern.delivery.job import Job, JobResult
from postern.delivery.opener import NotOpened, Opener, Place
from postern.delivery.pool import Pool
from postern.delivery.settings import DeliverySettings
from postern.delivery.smtp_connection import SmtpConnection
from postern.delivery.tls import is_loopback
from postern.journal.record import AttemptRecord
from postern.mail.content import BytesContent
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Cause, Deferred, Outcome
from postern.mail.route import Egress, SmtpRoute, Target, TlsPolicy
from postern.mail.smtp.client_auth import Login
from postern.mail.smtp.client_opening import ClientConfig
from postern.mail.smtp.client_outcomes import own_words
from postern.runtime.clock import Clock

Key = tuple[Target, Egress, TlsPolicy]
"""What two messages must share to use one connection."""


@dataclass(slots=True)
class _Tries:
    """What has been tried so far for one job, since the monotonic second ``began``."""

    route: SmtpRoute
    job: Job
    began: float
    only_asks: bool = False
    records: list[AttemptRecord] = field(default_factory=list)
    failures: list[tuple[Target, Deferred]] = field(default_factory=list)


class SmtpDelivery:
    """Makes attempts; keeps connections between them. Lives on one event loop."""

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._opener = Opener(settings, clock)
        # A silent target must leave time to ask the others.
        connect_s = min(settings.connect_timeout_s, settings.verify_timeout_s / 4)
        self._asking_opener = Opener(replace(settings, connect_timeout_s=connect_s), clock)
        self._pool: Pool[Key] = Pool(settings, clock)

    @property
    def open_connections(self) -> int:
        """Connections that are open now, at work or at rest."""
        return self._pool.open_count

    async def deliver(self, route: SmtpRoute, job: Job) -> JobResult:
        """Make one attempt; an outcome for each recipient of ``job``, in its order.

        Never raises for what a peer or the network does.
        """
        if not job.recipients:
            return JobResult((), ())
        return await self._attempt(_Tries(route, job, self._clock.monotonic()))

    async def verify(self, route: SmtpRoute, recipient: Recipient) -> Outcome:
        """Ask whether mail for ``recipient`` would be taken: MAIL FROM:<>, RCPT, RSET, no message.

        ``Delivered`` holds the reply to RCPT, and so does ``Refused``. ``Deferred``: it could not
        be told; a refused MAIL is that too. Takes at most ``verify_timeout_s`` and never raises
        for what a peer or the network does.
        """
        limit_s = self._settings.verify_timeout_s
        job = Job("", Sender(None), (recipient,), BytesContent(b""))
        tries = _Tries(route, job, self._clock.monotonic(), only_asks=True)
        try:
            async with asyncio.timeout(limit_s):
                result = await self._attempt(tries)
        except TimeoutError:
            asked = route.targets[0].host or route.targets[0].ip
            return own_words(Cause.SILENT, f"{asked} could not be asked within {limit_s:.0f} s")
        return result.outcomes[0]

    async def _attempt(self, tries: _Tries) -> JobResult:
        """An open connection if there is one, else the targets in order."""
        route = tries.route
        for target in route.targets:
            key = (target, route.egress, route.tls)
            connection = self._pool.take(key)
            if connection is not None:
                # One that turns out dead before it answered MAIL was closed while it rested; that
                # is no failure of the peer's, so it leaves no record and a fresh one is opened.
                result = await self._send(tries, key, connection, is_reused=True)
                if result is not None:
                    return result
                break
        return await self._try_targets(tries)

    async def close(self, grace_s: float) -> None:
        """Close what rests, let what works finish within ``grace_s``, drop the rest."""
        await self._pool.close(grace_s)

    async def _try_targets(self, tries: _Tries) -> JobResult:
        settings, route = self._settings, tries.route
        for target in route.targets[: settings.max_targets]:
            if self._clock.monotonic() - tries.began >= settings.attempt_budget_s:
                break
            result = await self._try(tries, target, route.tls)
            if result is not None:
                return result
        tls_broken = [target for target, why in tries.failures if why.cause is Cause.TLS]
        if tls_broken and route.tls is TlsPolicy.OPPORTUNISTIC and route.egress.username is None:
            result = await self._try(tries, tls_broken[0], TlsPolicy.NEVER)
            if result is not None:
                return result
        outcome = _most_telling([why for _, why in tries.failures])
        return JobResult((outcome,) * len(tries.job.recipients), tuple(tries.records))

    async def _try(self, tries: _Tries, target: Target, tls: TlsPolicy) -> JobResult | None:
        """One target; None when it never answered MAIL."""
        egress = tries.route.egress
        place = Place(target.host, target.ip, target.port, source_ip=egress.source_ip)
        at, began = self._clock.now(), self._clock.monotonic()
        opener = self._asking_opener if tries.only_asks else self._opener
        connection = opener.begin(self._config(target, egress, tls))
        self._pool.watch(connection)
        not_opened = await opener.open(connection, place, tls)
        if not_opened is not None:
            self._note(tries, target, at, began, not_opened)
            return None
        key = (target, egress, tls)
        return await self._send(tries, key, connection, is_reused=False, at=at, began=began)

    async def _send(
        self,
        tries: _Tries,
        key: Key,
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
        self._pool.give_back(key, connection)
        target = key[0]
        if answered:
            way = Way(tries.route.egress.name, target.host, address_of(target))
            made = records(way, at, clock.monotonic() - began, connection.tls, outcomes)
            return JobResult(outcomes, (*tries.records, *made))
        why = _why(outcomes)
        if not is_reused or why.cause is Cause.SILENT:
            self._note(tries, target, at, began, NotOpened(why, connection.tls))
        return None

    def _note(
        self, tries: _Tries, target: Target, at: float, began: float, ended: NotOpened
    ) -> None:
        """Record a target that came to nothing."""
        seconds = self._clock.monotonic() - began
        way = Way(tries.route.egress.name, target.host, address_of(target))
        everyone = (ended.failure,) * len(tries.job.recipients)
        tries.records.extend(records(way, at, seconds, ended.tls, everyone))
        tries.failures.append((target, ended.failure))

    def _config(self, target: Target, egress: Egress, tls: TlsPolicy) -> ClientConfig:
        settings = self._settings
        login = None
        if egress.username is not None:
            login = Login(egress.username, egress.password or "")
        return ClientConfig(
            helo=egress.helo or settings.helo,
            remote=f"{target.host} [{target.ip}]" if target.host else f"[{target.ip}]",
            tls=tls,
            login=login,
            clear_auth=settings.clear_auth_on_loopback and is_loopback(target.ip),
            chunk_limit_bytes=settings.chunk_limit_bytes,
        )


def _why(outcomes: tuple[Outcome, ...]) -> Deferred:
    """The deferral that ended a transaction before MAIL was answered."""
    for outcome in outcomes:
        if isinstance(outcome, Deferred):
            return outcome
    return own_words(Cause.CLOSED, "The session ended before MAIL was answered")


def _most_telling(failures: list[Deferred]) -> Deferred:
    """What the sender is told when every target failed: a server's own words before ours."""
    for failure in failures:
        if failure.remote:
            return failure
    return failures[0] if failures else own_words(Cause.NO_MAIL_HOST, "There is no address to try")
