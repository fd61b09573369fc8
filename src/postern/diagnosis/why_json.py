"""``--json`` of ``why`` and ``trace``: the documented keys, and more beside them."""

import json
from collections.abc import Sequence

import msgspec

from postern.diagnosis.ending import ending_of
from postern.diagnosis.fixes import fixes
from postern.diagnosis.why import Explanation
from postern.diagnosis.wording import because_of
from postern.journal.record import (
    AttemptRecord,
    Because,
    ChangeRecord,
    Conversation,
    FoldedRecord,
    Line,
    RecipientRecord,
    Step,
)
from postern.mail.tracecode import TraceCodes
from postern.runtime.clock import rfc3339

SCHEMA = 1


class BecauseJson(msgspec.Struct, frozen=True):
    """What decided."""

    check: str
    text: str
    whose: str


class RecipientJson(msgspec.Struct, frozen=True):
    """One recipient."""

    address: str
    state: str
    rule: str
    because: BecauseJson | None
    reply: str
    final: str
    next_at: str | None
    gives_up_at: str | None
    next: tuple[str, ...]


class StepJson(msgspec.Struct, frozen=True):
    """One step."""

    step: str
    result: str
    seconds: float
    place: str
    text: str
    whose: str


class AttemptJson(msgspec.Struct, frozen=True):
    """One try."""

    at: str
    egress: str
    mx: str
    address: str
    tls: str
    seconds: float
    reply: str
    outcome: str
    cause: str
    reason: str
    recipients: tuple[int, ...]
    unencrypted: str


class ConversationJson(msgspec.Struct, frozen=True):
    """One conversation."""

    trace: str
    at: str
    direction: str
    client_ip: str
    helo: str
    mail_from: str
    recipients: list[RecipientJson]
    message_id: str
    subject: str
    because: BecauseJson | None
    steps: list[StepJson]
    attempts: list[AttemptJson]
    verdict: str
    kind: str
    listener: str
    client_port: int
    tls: str
    account: str
    from_header: str
    size: int
    seconds: float
    accepted: bool
    ended_at: str | None
    related: list[str]


class FoldedJson(msgspec.Struct, frozen=True):
    """Conversations that were only counted."""

    client_ip: str
    check: str
    count: int
    first_at: str
    last_at: str


class SearchedJson(msgspec.Struct, frozen=True):
    """What was searched."""

    query: str
    tried: list[str]
    since: str | None
    until: str | None
    log_since: str | None
    files: int
    workers: int


class FixJson(msgspec.Struct, frozen=True):
    """What can be done; ``command`` is to be pasted, or empty."""

    text: str
    command: str


class WhyJson(msgspec.Struct, frozen=True):
    """The whole answer."""

    schema: int
    conversations: list[ConversationJson]
    decisive: str | None
    siblings: list[str]
    exit: int
    searched: SearchedJson
    warnings: tuple[str, ...]
    nearest: list[ConversationJson]
    nearest_to: str
    folded: list[FoldedJson]
    is_capped: bool
    fixes: list[FixJson]


class LineJson(msgspec.Struct, frozen=True):
    """One line of a transcript."""

    seconds: float
    side: str
    text: str


class ChangeJson(msgspec.Struct, frozen=True):
    """One change."""

    at: str
    author: str
    action: str
    subject: str
    detail: str


class TraceJson(msgspec.Struct, frozen=True):
    """Everything on file for one trace code."""

    schema: int
    conversation: ConversationJson | None
    siblings: list[ConversationJson]
    changes: list[ChangeJson]
    transcript: list[LineJson]
    exit: int
    warnings: tuple[str, ...]


def why_json(explanation: Explanation, codes: TraceCodes) -> str:
    """One JSON object on one line, ASCII: no stranger's word can reach the terminal raw."""
    e = explanation
    return _dumped(
        WhyJson(
            schema=SCHEMA,
            conversations=_conversations(e.conversations, codes),
            decisive=codes.encode(e.decisive.id) if e.decisive else None,
            siblings=[codes.encode(sibling.id) for sibling in e.siblings],
            exit=e.exit.value,
            searched=SearchedJson(
                query=e.query.text,
                tried=[query.text for query in e.tried],
                since=_moment(e.query.since),
                until=_moment(e.query.until),
                log_since=_moment(e.extent.since),
                files=e.extent.files,
                workers=e.extent.workers,
            ),
            warnings=e.warnings,
            nearest=_conversations(e.nearest, codes),
            nearest_to=e.nearest_to,
            folded=[_folded(record) for record in e.folded],
            is_capped=e.is_capped,
            fixes=_fixes(e, codes),
        )
    )


def trace_json(
    conversation: Conversation | None,
    siblings: Sequence[Conversation],
    changes: Sequence[ChangeRecord],
    transcript: Sequence[Line],
    codes: TraceCodes,
    exit_code: int,
    warnings: tuple[str, ...],
) -> str:
    """One JSON object on one line, ASCII."""
    return _dumped(
        TraceJson(
            schema=SCHEMA,
            conversation=conversation_json(conversation, codes) if conversation else None,
            siblings=_conversations(siblings, codes),
            changes=[
                ChangeJson(rfc3339(c.at), c.author, c.action, c.subject, c.detail) for c in changes
            ],
            transcript=[LineJson(line.seconds, line.side, line.text) for line in transcript],
            exit=exit_code,
            warnings=warnings,
        )
    )


def conversation_json(conversation: Conversation, codes: TraceCodes) -> ConversationJson:
    """One conversation with its stable keys."""
    c = conversation
    return ConversationJson(
        trace=codes.encode(c.id),
        at=rfc3339(c.at),
        direction=c.direction,
        client_ip=c.client_ip,
        helo=c.helo,
        mail_from=c.mail_from,
        recipients=[_recipient(recipient) for recipient in c.recipients],
        message_id=c.message_id,
        subject=c.subject,
        because=_because(because_of(c)),
        steps=[_step(step) for step in c.steps],
        attempts=[_attempt(attempt) for attempt in c.attempts],
        verdict=ending_of(c).value,
        kind=c.kind,
        listener=c.listener,
        client_port=c.client_port,
        tls=c.tls,
        account=c.account,
        from_header=c.from_header,
        size=c.size,
        seconds=round(c.seconds, 3),
        accepted=c.accepted,
        ended_at=_moment(c.ended_at or None),
        related=[codes.encode(number) for number in c.related],
    )


def _dumped(report: WhyJson | TraceJson) -> str:
    return json.dumps(msgspec.to_builtins(report))


def _conversations(found: Sequence[Conversation], codes: TraceCodes) -> list[ConversationJson]:
    return [conversation_json(conversation, codes) for conversation in found]


def _fixes(e: Explanation, codes: TraceCodes) -> list[FixJson]:
    if e.decisive is None:
        return []
    found = fixes(e.decisive, codes.encode(e.decisive.id), e.resolvers)
    return [FixJson(fix.text, fix.command) for fix in found]


def _recipient(r: RecipientRecord) -> RecipientJson:
    return RecipientJson(
        address=r.address,
        state=r.state,
        rule=r.rule,
        because=_because(r.because),
        reply=r.reply,
        final=r.final,
        next_at=_moment(r.next_at),
        gives_up_at=_moment(r.gives_up_at),
        next=r.next,
    )


def _because(because: Because | None) -> BecauseJson | None:
    return BecauseJson(because.check, because.text, because.whose) if because else None


def _step(s: Step) -> StepJson:
    return StepJson(s.step, s.result, round(s.seconds, 3), s.place, s.text, s.whose)


def _attempt(a: AttemptRecord) -> AttemptJson:
    return AttemptJson(
        at=rfc3339(a.at),
        egress=a.egress,
        mx=a.mx,
        address=a.address,
        tls=a.tls,
        seconds=round(a.seconds, 3),
        reply=a.reply,
        outcome=a.outcome,
        cause=a.cause,
        reason=a.reason,
        recipients=a.recipients,
        unencrypted=a.unencrypted,
    )


def _folded(f: FoldedRecord) -> FoldedJson:
    return FoldedJson(f.client_ip, f.check, f.count, rfc3339(f.first_at), rfc3339(f.last_at))


def _moment(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)
