"""Writes down a conversation while it goes on."""

import structlog

from postern.journal.record import Because, Conversation, Line, RecipientRecord, Step
from postern.mail.finding import Finding, Result, Whose
from postern.mail.message.summary import Summary
from postern.mail.smtp import replies
from postern.policy.docket import Docket
from postern.reception.client import Client
from postern.reception.tally import Tally

log = structlog.get_logger("postern.reception")

_LIMIT_TEXTS = frozenset(
    said.text
    for said in (
        replies.BACKLOG,
        replies.TOO_MANY_COMMANDS,
        replies.TOO_MANY_ERRORS,
        replies.TOO_MANY_MAILS,
    )
)
_FAMILY_STEPS = frozenset({"rcpt", "quota", "size"})
MAX_STEPS = 64
MAX_RELATED = 64


class Record:
    """Steps of one connection, and the conversations made of them.

    Steps before MAIL (connect, helo, starttls, auth) belong to every transaction that follows.
    """

    __slots__ = (
        "_client",
        "_common",
        "_noted",
        "_place",
        "_steps",
        "_tally",
        "because",
        "docket",
        "helo",
        "related",
    )

    def __init__(self, client: Client, place: str, tally: Tally) -> None:
        self._client = client
        self._place = place
        self._tally = tally
        self._common: list[Step] = []
        self.because: Because | None = None
        self.docket: Docket | None = None
        self._steps: list[Step] = []
        self._noted: set[Finding] = set()
        self.helo = ""
        self.related: list[int] = []

    def opening(self, step: str, result: Result, seconds: float, text: str = "") -> None:
        """Note a step that belongs to the whole connection."""
        if len(self._common) < MAX_STEPS:
            self._common.append(Step(step, result.value, round(seconds, 4), self._place, text))

    def step(
        self, step: str, result: Result, seconds: float, text: str = "", whose: str = ""
    ) -> None:
        """Note a step of the transaction that is open."""
        if len(self._steps) < MAX_STEPS:
            self._steps.append(
                Step(step, result.value, round(seconds, 4), self._place, text, whose)
            )

    def found(self, finding: Finding) -> None:
        """Note what a check found, whatever comes of it."""
        if finding in self._noted:
            return
        self._noted.add(finding)
        step = finding.family if finding.family in _FAMILY_STEPS else finding.check
        if len(self._steps) < MAX_STEPS:
            place, seconds = finding.place or self._place, round(finding.seconds, 4)
            self._steps.append(
                Step(step, finding.result.value, seconds, place, finding.text, finding.whose.value)
            )

    def refused(self, finding: Finding, trace: str) -> None:
        """Note what a check found that ended in a refusal: step, cause, count and log line."""
        self.found(finding)
        self.decided(finding.check, finding.text, finding.whose)
        self.count(finding.check, finding.result)
        client = self._client
        log.info(
            finding.check, trace=trace, rip=client.ip, user=client.account_name, text=finding.text
        )

    def count(self, check: str, result: Result) -> None:
        """One more refusal for the metrics; what we couldn't tell is counted apart."""
        counter = self._tally.unknown if result is Result.COULDNT_TELL else self._tally.refusals
        counter[check] += 1

    def decided(self, check: str, text: str, whose: Whose) -> None:
        """The first thing that speaks against the message is what decides."""
        if self.because is None:
            self.because = Because(check, text, whose.value)

    def violated(self, check: str, text: str, *, is_last: bool) -> None:
        """Note a breach of protocol that was answered; ``is_last``: it ends the connection."""
        self.step("command", Result.FAIL, 0.0, text, Whose.SENDER.value)
        if check or is_last:
            check = check or _check_of_last(text)
            self.decided(check, text, Whose.SENDER)
            self._tally.refusals[check] += 1

    def begin_transaction(self) -> None:
        """What was refused before MAIL (a wrong password) stays a step, and decides nothing now."""
        self.because = None

    def end_transaction(self) -> None:
        """What follows begins with the connection's own steps."""
        self._steps = []
        self._noted = set()
        self.because = None
        self.docket = None

    def conversation(
        self,
        number: int,
        *,
        at: float,
        seconds: float,
        worker: int,
        mail_from: str = "",
        recipients: list[RecipientRecord] | None = None,
        because: Because | None = None,
        summary: Summary | None = None,
        size: int = 0,
        accepted: bool = False,
        transcript: list[Line] | None = None,
    ) -> Conversation:
        """Everything so far as one conversation; ``number`` becomes a sibling of what follows."""
        client = self._client
        listener = client.listener
        conversation = Conversation(
            number,
            at,
            "out" if client.is_trusted else "in",
            "sendmail" if listener.is_unix else "smtp",
            listener.kind.value,
            client.ip,
            client.port,
            self.helo,
            client.tls,
            client.account_name,
            mail_from,
            "" if summary is None else summary.from_header,
            "" if summary is None else summary.message_id,
            "" if summary is None else summary.subject,
            size,
            round(seconds, 4),
            accepted,
            recipients if recipients is not None else [],
            because,
            [*self._common, *self._steps],
            related=list(self.related),
            transcript=transcript if transcript is not None else [],
            ended_at=at,
            worker=worker,
        )
        if self.docket is not None:
            subject = conversation.subject
            conversation.heard = self.docket.heard(number, at, client.ip, subject)
        self.related.append(number)
        del self.related[:-MAX_RELATED]
        return conversation


def _check_of_last(text: str) -> str:
    """The check behind the machine's last words on a connection."""
    return "rate.exceeded" if text in _LIMIT_TEXTS else "standards.syntax"
