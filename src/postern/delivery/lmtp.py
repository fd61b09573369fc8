"""One attempt by LMTP (RFC 2033): the same machine, an answer for each recipient, no TLS."""

from dataclasses import replace

from postern.delivery.attempt import WayName, mail_of, records
from postern.delivery.job import Job, JobResult
from postern.delivery.opener import Opener, Place
from postern.delivery.pool import Pool
from postern.delivery.settings import DeliverySettings
from postern.delivery.smtp_connection import SmtpConnection
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Outcome, Refused
from postern.mail.route import IN_CLEAR, LmtpRoute, TlsPolicy
from postern.mail.smtp.client_opening import ClientConfig
from postern.mail.smtp.client_outcomes import own_words
from postern.runtime.clock import Clock

EGRESS = "lmtp"
"""What attempts by LMTP are called on record."""
_FOR_ROOM = {"5.2.2": "4.2.2", "5.3.1": "4.3.1", "": "4.2.2"}
"""Refusals that are about room (RFC 3463 §3.3, §3.4), and what they are for mail that is ours."""


class LmtpDelivery:
    """Hands messages to a store such as Dovecot; keeps connections. Lives on one event loop."""

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._opener = Opener(settings, clock)
        self._pool: Pool[str] = Pool(settings, clock)

    async def deliver(self, route: LmtpRoute, job: Job) -> JobResult:
        """Make one attempt; an outcome for each recipient of ``job``, in its order.

        Never raises for what a peer or the network does.
        """
        if not job.recipients:
            return JobResult((), ())
        at, began = self._clock.now(), self._clock.monotonic()
        place = parse_endpoint(route.endpoint)
        if place is None:
            words = f"{route.endpoint!r} is neither unix:/path nor host:port"
            return self._result(job, route, at, began, (_at_home(words),) * len(job.recipients))
        connection = self._pool.take(route.endpoint)
        if connection is not None:
            outcomes = await self._send(route, job, connection)
            if connection.machine.answered:
                return self._result(job, route, at, began, outcomes)
        outcomes = await self._send_fresh(route, job, place)
        return self._result(job, route, at, began, outcomes)

    async def close(self, grace_s: float) -> None:
        """Close what rests, let what works finish within ``grace_s``, drop the rest."""
        await self._pool.close(grace_s)

    async def _send_fresh(self, route: LmtpRoute, job: Job, place: Place) -> tuple[Outcome, ...]:
        config = ClientConfig(
            helo=self._settings.helo, remote=route.endpoint, tls=TlsPolicy.NEVER, lmtp=True
        )
        connection = self._opener.begin(config)
        self._pool.watch(connection)
        not_opened = await self._opener.open(connection, place, IN_CLEAR)
        if not_opened is not None:
            return (not_opened.failure,) * len(job.recipients)
        return await self._send(route, job, connection)

    async def _send(
        self, route: LmtpRoute, job: Job, connection: SmtpConnection
    ) -> tuple[Outcome, ...]:
        await connection.send(mail_of(job, job.content), job.content)
        self._pool.give_back(route.endpoint, connection)
        return connection.machine.outcomes

    def _result(
        self, job: Job, route: LmtpRoute, at: float, began: float, outcomes: tuple[Outcome, ...]
    ) -> JobResult:
        assert len(outcomes) == len(job.recipients)
        outcomes = tuple(map(_not_for_room, outcomes))
        way = WayName(EGRESS, route.group, route.endpoint)
        seconds = self._clock.monotonic() - began
        return JobResult(outcomes, records(way, at, seconds, "", outcomes))


def parse_endpoint(endpoint: str) -> Place | None:
    """``unix:/path``, ``host:port`` or ``[::1]:port``; None for anything else."""
    if endpoint.startswith("unix:"):
        path = endpoint.removeprefix("unix:")
        return Place(path=path) if path else None
    host, _, port = endpoint.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        return None
    return Place(host, host, int(port))


def _not_for_room(outcome: Outcome) -> Outcome:
    """Accepted mail does not bounce because mailbox or store are full: it waits for room.

    Dovecot refuses for good (552 5.2.2, ``lmtp_over_quota_tempfail`` would make it 452), but the
    message is ours already and its sender may be forged. A 552 without a code of its own is that
    too ("exceeded storage allocation", RFC 5321 §4.2.3). What is too large for the mailbox or the
    store (5.2.3, 5.3.4) will not fit tomorrow either.
    """
    if not isinstance(outcome, Refused):
        return outcome
    said = outcome.reply
    enhanced = _FOR_ROOM.get(said.enhanced)
    if enhanced is None or (not said.enhanced and said.code != 552):
        return outcome
    said = replace(said, code=452, enhanced=enhanced)
    return Deferred(said, outcome.cause, outcome.remote, outcome.whose)


def _at_home(words: str) -> Outcome:
    return own_words(Cause.LOCAL, words, Whose.US)
