"""What the journal's words mean, in sentences for people."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from postern.diagnosis.ending import Ending, ending_of, state_ending
from postern.diagnosis.terminal import Glyph
from postern.journal.record import AttemptRecord, Because, Conversation, RecipientRecord, Step
from postern.mail.finding import Result
from postern.mail.outcome import Cause

SLOW_S = 5.0
"""A step that took longer is marked: time is often the best clue (DNS, a tarpit)."""

_WHOSE = {
    "sender": "the sender's side: whoever runs their server or their domain can mend it",
    "us": "ours: whoever runs this server can mend it",
    "between": "the network between this server and theirs",
    "recipient": "the recipient's side: their server, their mailbox or their rules",
}

_RESULTS = {
    Result.PASS.value: (Glyph.GOOD, "ok"),
    Result.FAIL.value: (Glyph.BAD, "FAILED"),
    Result.NOTE.value: (Glyph.NOTE, "noted"),
    Result.COULDNT_TELL.value: (Glyph.UNKNOWN, "COULDN'T TELL"),
    Result.NOT_RUN.value: (Glyph.NONE, "not run"),
}

_NOBODY_TOLD = "nobody was told: the message names no return address"

_OUTCOMES = {"delivered": Glyph.GOOD, "deferred": Glyph.WAIT, "refused": Glyph.BAD}

_CAUSES = {
    Cause.REFUSED: "nothing listens there: the connection was refused",
    Cause.SILENT: "their server did not answer in time",
    Cause.RESET: "the connection was cut off from the other side, or on the way",
    Cause.CLOSED: "their server hung up without an answer",
    Cause.LOST_AFTER_DOT: "the line broke after the whole message was sent: it may have arrived,"
    " so it is not sent again at once",
    Cause.TLS: "no safe encryption could be agreed on",
    Cause.UNENCRYPTED: "it must be encrypted, and their server offers nothing that is safe enough",
    Cause.DNS: "the DNS could not tell where to deliver; asked again at the next try",
    Cause.NO_DOMAIN: "that domain does not exist",
    Cause.NO_MAIL_HOST: "that domain takes no mail",
    Cause.LOOP: "the DNS says we are the server for this domain, but we do not know it",
    Cause.NEEDS: "their server lacks something that this message needs",
    Cause.PROTOCOL: "what answered there does not speak SMTP",
    Cause.LOCKED_OUT: "our relay does not take our login, or mail from us",
    Cause.NO_EGRESS: "the egress it was to leave through is not in postern.toml (any more)",
    Cause.LIMIT: "its account sends more than it may; it waits its turn",
    Cause.LOCAL: "our own disk or mail store had trouble; the mail is safe in the queue",
    Cause.EXPIRED: "the time for trying was up",
    Cause.CANCELLED: "a person cancelled it here",
    Cause.BUG: "an error of this program; the mail is safe in the queue",
}

# What servers say so often that people ask about it, and what it means.
_SAYINGS = (
    (
        re.compile(r"^4\d\d .*gr[ae]y.?list", re.IGNORECASE),
        "their server asks every new sender to wait; normal",
    ),
    (re.compile(r"^452|^[45]\d\d [45]\.2\.2|quota|mailbox (?:is )?full", re.IGNORECASE),
     "that mailbox is full"),
    (re.compile(r"^5\d\d 5\.1\.[126]|user unknown|no such user", re.IGNORECASE),
     "that address does not exist there"),
    (re.compile(r"block ?list|blacklist|\bdnsbl\b|spamhaus", re.IGNORECASE),
     "their server has us on a blocklist"),
)  # fmt: skip


def whose_side(whose: str) -> str:
    """On whose side the cause lies, in words."""
    return _WHOSE.get(whose, "not known")


def step_name(step: Step) -> str:
    """``ptr`` where a check has nothing against the mail; the id of what it has, where it has."""
    is_mild = step.result in {"pass", "note"}
    return step.step.partition(".")[0] if is_mild else step.step


def step_result(step: Step) -> tuple[Glyph, str]:
    """Mark and word of a step's result."""
    return _RESULTS.get(step.result, (Glyph.UNKNOWN, step.result))


def attempt_glyph(attempt: AttemptRecord) -> Glyph:
    """Mark of an attempt's outcome."""
    return _OUTCOMES.get(attempt.outcome, Glyph.UNKNOWN)


def attempt_meaning(attempt: AttemptRecord) -> str:
    """What an attempt's reply or cause means, where people would ask; else empty."""
    if attempt.outcome == "delivered":
        return ""
    for pattern, meaning in _SAYINGS:
        if pattern.search(attempt.reply):
            return meaning
    return next((text for cause, text in _CAUSES.items() if cause.value == attempt.cause), "")


def because_of(conversation: Conversation) -> Because | None:
    """What decided: of the conversation, or of the recipient that fared worst."""
    if conversation.because is not None:
        return conversation.because
    return next((r.because for r in conversation.recipients if r.because is not None), None)


def told(conversation: Conversation, clock: Callable[[float], str]) -> str:
    """What the sender was told, and what happens next; ``clock`` writes a moment."""
    recipient = _worst_recipient(conversation)
    reply = recipient.reply if recipient is not None else ""
    match ending_of(conversation):
        case Ending.REFUSED:
            return f"{_got(reply)}their server tells the sender that it was not delivered"
        case Ending.REFUSED_FOR_NOW:
            return f"{_got(reply)}their server tries again, usually for up to 5 days; no bounce yet"
        case Ending.WAITING:
            return _waits(recipient, clock)
        case Ending.BOUNCED:
            has_sender = bool(conversation.mail_from)
            return "gets a notice that it was not delivered" if has_sender else _NOBODY_TOLD
        case Ending.HELD:
            return "was told that it is accepted; it is held here until someone decides"
        case Ending.NOTHING_SENT:
            return "no message was offered: the connection ended before that"
        case Ending.DISCARDED if not conversation.accepted:
            return "no message was sent: the connection ended after the recipients were named"
        case Ending.UNKNOWN:
            return reply
        case Ending.DELIVERED | Ending.JUNKED | Ending.DISCARDED:
            return "was told that it is accepted"


def moment(at: float, zone: tzinfo | None, *, with_zone: bool = False) -> str:
    """``Wed 16 May 13:20:47``, with `` (UTC+8)`` where asked; ``zone`` None is this machine's."""
    local = datetime.fromtimestamp(at, UTC).astimezone(zone)
    text = f"{local:%a} {local.day} {local:%b %H:%M:%S}"
    return f"{text} ({zone_name(local)})" if with_zone else text


def zone_name(local: datetime) -> str:
    """``UTC+8``, ``UTC-3:30``, ``UTC``."""
    offset = local.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset else 0
    if not minutes:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}{f':{rest:02}' if rest else ''}"


def took(seconds: float) -> str:
    """``18.8 s``, or ``-`` for what took no time because it did not happen."""
    return f"{seconds:.1f} s" if seconds >= 0.05 else ("0.0 s" if seconds else "-")


def _worst_recipient(conversation: Conversation) -> RecipientRecord | None:
    ending = ending_of(conversation)
    fitting = (r for r in conversation.recipients if state_ending(r.state) is ending)
    return next(fitting, None)


def _waits(recipient: RecipientRecord | None, clock: Callable[[float], str]) -> str:
    text = "was told that it is accepted; we keep trying"
    if recipient is not None and recipient.next_at:
        text += f", next at {clock(recipient.next_at)}"
    if recipient is not None and recipient.gives_up_at:
        text += f", at the latest until {clock(recipient.gives_up_at)}"
    return text


def _got(reply: str) -> str:
    return f"got {reply}; " if reply else ""
