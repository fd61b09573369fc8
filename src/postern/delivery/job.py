"""What the queue asks of delivery, and what it gets back: values only."""

from dataclasses import dataclass

from postern.journal.record import AttemptRecord
from postern.mail.content import Content
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Job:
    """One message for recipients that share one route: one transaction."""

    trace: str
    sender: Sender
    recipients: tuple[Recipient, ...]
    content: Content


@dataclass(frozen=True, slots=True)
class JobResult:
    """One outcome per recipient of the job, in its order, and the attempts that led there.

    ``AttemptRecord.recipients`` holds indexes into the job's recipients.
    """

    outcomes: tuple[Outcome, ...]
    attempts: tuple[AttemptRecord, ...]
