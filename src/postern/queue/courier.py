"""Hands one piece of work to the delivery its route asks for."""

from typing import Protocol

from postern.delivery.job import Job, JobResult
from postern.mail.route import LmtpRoute, MaildirRoute, NoRoute, SmtpRoute
from postern.queue.groups import Work


class SmtpCourier(Protocol):
    """Makes one attempt by SMTP."""

    async def deliver(self, route: SmtpRoute, job: Job) -> JobResult:
        """One outcome per recipient of ``job``."""
        ...


class LmtpCourier(Protocol):
    """Makes one attempt by LMTP."""

    async def deliver(self, route: LmtpRoute, job: Job) -> JobResult:
        """One outcome per recipient of ``job``."""
        ...


class MaildirCourier(Protocol):
    """Puts a message into a Maildir."""

    async def deliver(self, route: MaildirRoute, job: Job) -> JobResult:
        """One outcome per recipient of ``job``."""
        ...


class Attempts(Protocol):
    """Makes one attempt, whatever the way."""

    async def attempt(self, work: Work) -> JobResult:
        """An outcome for each delivery of ``work``, in its order."""
        ...


class Courier:
    """Knows the three ways a message leaves."""

    def __init__(self, smtp: SmtpCourier, lmtp: LmtpCourier, maildir: MaildirCourier) -> None:
        self._smtp = smtp
        self._lmtp = lmtp
        self._maildir = maildir

    async def attempt(self, work: Work) -> JobResult:
        """Make one attempt; an outcome for each delivery of ``work``, in its order."""
        message = work.message
        job = Job(
            message.trace,
            message.sender,
            tuple(d.recipient for d in work.deliveries),
            message.content,
        )
        match work.route:
            case SmtpRoute() as route:
                return await self._smtp.deliver(route, job)
            case MaildirRoute() as route:
                return await self._maildir.deliver(route, job)
            case LmtpRoute() as route:
                return await self._lmtp.deliver(route, job)
            case NoRoute(outcome=outcome):
                return JobResult((outcome,) * len(job.recipients), ())
