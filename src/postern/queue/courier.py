"""Hands one piece of work to the delivery its route asks for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from postern.delivery.job import Job, JobResult
from postern.delivery.maildir_store import Folder
from postern.directory.return_addresses import ReturnAddresses
from postern.journal.record import AttemptRecord
from postern.mail.content import PrefixedContent
from postern.mail.envelope import Sender
from postern.mail.route import LmtpRoute, MaildirRoute, NoRoute, SmtpRoute, Way
from postern.queue.facts import facts_of
from postern.queue.group import Work
from postern.routing.chooser import MessageFacts
from postern.routing.tls.demands import nothing_fits
from postern.spool.message import Origin


class SmtpCourier(Protocol):
    """Makes one attempt by SMTP."""

    async def deliver(self, ways: Sequence[Way], job: Job, /) -> JobResult:
        """One outcome per recipient of ``job``."""
        ...


class LmtpCourier(Protocol):
    """Makes one attempt by LMTP."""

    async def deliver(self, route: LmtpRoute, job: Job, /) -> JobResult:
        """One outcome per recipient of ``job``."""
        ...


class MaildirCourier(Protocol):
    """Puts a message into a Maildir."""

    async def deliver(self, route: MaildirRoute, job: Job, folder: Folder, /) -> JobResult:
        """One outcome per recipient of ``job``."""
        ...


class Choice(Protocol):
    """Chooses the ways of one attempt."""

    def ways(self, route: SmtpRoute, facts: MessageFacts) -> Sequence[Way]:
        """The ways to try, best first."""
        ...

    def is_unsure(self, route: SmtpRoute, facts: MessageFacts) -> bool:
        """Whether something that decides about them is not known yet."""
        ...

    async def make_sure(self, route: SmtpRoute, facts: MessageFacts) -> None:
        """Wait for it, a moment at most."""
        ...

    def ended(self, route: SmtpRoute, attempts: Sequence[AttemptRecord]) -> None:
        """How the attempt went."""
        ...


class Attempts(Protocol):
    """Makes one attempt, whatever the way."""

    async def attempt(self, work: Work) -> JobResult:
        """An outcome for each delivery of ``work``, in its order."""
        ...


JUNK_FIELD = b"X-Postern-Junk: yes\r\n"
"""How a server that files mail itself is told that its owner's rules want it in Junk."""
FORWARDED_FIELD = b"Delivered-To: %s\r\n"
"""By which we know mail that an alias sends round in a circle."""
RELEASED_FIELD = b"X-Postern-Released: %s\r\n"
"""How whoever reads a message learns that it was held, what for, and who let it go."""


class Courier:
    """Knows the three ways a message leaves."""

    def __init__(
        self,
        smtp: SmtpCourier,
        lmtp: LmtpCourier,
        maildir: MaildirCourier,
        chooser: Choice,
        returns: ReturnAddresses | None = None,
    ) -> None:
        self._chooser = chooser
        self._returns = returns
        self._smtp = smtp
        self._lmtp = lmtp
        self._maildir = maildir

    async def attempt(self, work: Work) -> JobResult:
        """Make one attempt; an outcome for each delivery of ``work``, in its order."""
        message, first = work.message, work.deliveries[0]
        is_junk = first.is_junk
        content = message.content
        if first.released and not _is_for_strangers(work):
            content = PrefixedContent(RELEASED_FIELD % first.released.encode(), content)
        recipients = tuple(d.recipient for d in work.deliveries)
        sender = message.sender
        if first.forwarder:
            mark = first.forwarded_for
            if mark.isascii() or sender.smtputf8:
                content = PrefixedContent(FORWARDED_FIELD % mark.encode(), content)
            sender = self._forwarded(sender, first.forwarder)
        job = Job(message.trace, sender, recipients, content)
        match work.route:
            case SmtpRoute() as route:
                return await self._send(route, work, _marked(job) if is_junk else job)
            case MaildirRoute() as route:
                folder = Folder.JUNK if is_junk else Folder.INBOX
                return await self._maildir.deliver(route, job, folder)
            case LmtpRoute() as route:
                return await self._lmtp.deliver(route, _marked(job) if is_junk else job)
            case NoRoute(outcome=outcome):
                return JobResult((outcome,) * len(job.recipients), ())

    async def _send(self, route: SmtpRoute, work: Work, job: Job) -> JobResult:
        facts = facts_of(work.message, work.deliveries[0])
        if self._chooser.is_unsure(route, facts):
            await self._chooser.make_sure(route, facts)
        ways = self._chooser.ways(route, facts)
        if not ways:
            return JobResult((nothing_fits(facts, route.group),) * len(job.recipients), ())
        result = await self._smtp.deliver(ways, job)
        self._chooser.ended(route, result.attempts)
        return result

    def _forwarded(self, sender: Sender, forwarder: str) -> Sender:
        """Who bounces go to: back through us, so that our own SPF speaks for the message."""
        if sender.address is None or self._returns is None:
            return sender
        return replace(sender, address=self._returns.rewrite(sender.address, forwarder))


def _is_for_strangers(work: Work) -> bool:
    """Whether it leaves us for good: who let it go here, and what for, is nobody's business there.

    A customer's own server is none of those: mail from outside goes there as it does to a mailbox.
    """
    leaves = work.message.origin is Origin.OURS or work.deliveries[0].forwarder != ""
    return leaves and isinstance(work.route, SmtpRoute)


def _marked(job: Job) -> Job:
    return replace(job, content=PrefixedContent(JUNK_FIELD, job.content))
