"""What all notices have in common: names, the report's fields, the original that is returned."""

import re
from collections.abc import Sequence
from hashlib import blake2b

from postern.mail.address import Address
from postern.mail.dsn import (
    Action,
    Letter,
    RecipientReport,
    Report,
    Returned,
    compose,
    status_of,
)
from postern.mail.envelope import BodyType, Ret, Sender
from postern.mail.message.header import HeaderScan
from postern.mail.message.text import clean_text, without_controls
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.notices.guard import DAEMON
from postern.notices.notice import Kind, Notice, Origin, Original, RecipientEnd
from postern.notices.settings import NoticeSettings

_MAX_QUOTED_SUBJECT_CHARS = 100
_MESSAGE_ID = re.compile(rb"\s*(<[!-;=?-~]{1,200}>)\s*")
_OUR_WORDS = frozenset({Cause.EXPIRED, Cause.CANCELLED})
_STATUS = {
    Action.FAILED: "5.0.0",
    Action.DELAYED: "4.0.0",
    Action.DELIVERED: "2.0.0",
    Action.RELAYED: "2.0.0",
    Action.EXPANDED: "2.0.0",
}


def title(what: str, original: Original, ends: Sequence[RecipientEnd]) -> str:
    """A notice's subject: ``Not delivered: "Offer 2026-118" to chen@tea.example``."""
    whom = str(ends[0].address) if len(ends) == 1 else f"{len(ends)} recipients"
    subject = clean_text(original.subject, _MAX_QUOTED_SUBJECT_CHARS)
    message = f'"{subject}"' if subject else "your message"
    return f"{what}: {message} to {whom}"


def write(
    original: Original,
    ends: Sequence[RecipientEnd],
    actions: Sequence[Action],
    *,
    kind: Kind,
    subject: str,
    text: str,
    settings: NoticeSettings,
    now: float,
) -> Notice:
    """The notice, ready to queue; ``actions`` has one for each of ``ends``.

    The original's sender must not be null; the guards have seen to that.
    """
    to = original.sender.address
    if to is None:
        raise ValueError("a notice to the null sender")
    international = original.sender.smtputf8
    report = Report(
        reporting_mta=settings.hostname,
        arrived_at=original.arrived_at,
        recipients=tuple(
            _reported(original, end, action) for end, action in zip(ends, actions, strict=True)
        ),
        envid=original.sender.envid,
    )
    body = original.body if _returns_all(original, kind, settings) else None
    content = compose(
        letter(original, to, kind=kind, subject=subject, text=text, settings=settings, now=now),
        report,
        Returned(original.head, body),
        smtputf8=international,
    )
    sender = Sender(
        None,
        size_bytes=len(content),
        body=BodyType.SEVEN_BIT if content.isascii() else BodyType.EIGHT_BIT,
        smtputf8=international and (to.needs_smtputf8 or b"\nContent-Type: message/glo" in content),
        requiretls=original.sender.requiretls,
    )
    return Notice(to, content, subject, kind, tuple(ends), sender)


def letter(
    original: Original,
    to: Address,
    *,
    kind: Kind,
    subject: str,
    text: str,
    settings: NoticeSettings,
    now: float,
) -> Letter:
    """Header and words of a notice. Its Message-ID is the same when it is made again."""
    hashed = blake2b(f"{to} {now} {subject} {text}".encode("utf-8", "replace"), digest_size=6)
    reference = _MESSAGE_ID.fullmatch(HeaderScan(original.head).first(b"message-id") or b"")
    return Letter(
        sender_name=f"Mail delivery at {settings.site_name}",
        sender=Address(DAEMON, settings.hostname),
        to=to,
        subject=subject,
        text="\n".join(without_controls(line) for line in text.split("\n")),
        message_id=f"<{kind.value}.{original.trace}.{hashed.hexdigest()}@{settings.hostname}>",
        at=now,
        in_reply_to=reference[1].decode("ascii") if reference else "",
        auto_submitted="auto-generated" if kind is Kind.HELD else "auto-replied",
    )


def said(end: RecipientEnd) -> tuple[str, str]:
    """Who said something last, and what; two empty texts where no peer said anything.

    The address behind an alias is not the sender's to know (RFC 3464 §4.2): where a reply names
    it, the one he wrote to stands instead.
    """
    for outcome in (end.outcome, end.last):
        if outcome is not None and is_theirs(outcome):
            return clean_text(outcome.remote), veiled(str(outcome.reply), end)
    return "", ""


def is_theirs(outcome: Outcome) -> bool:
    """True when the reply is a peer's own words."""
    ours = isinstance(outcome, Deferred | Refused) and outcome.cause in _OUR_WORDS
    return bool(outcome.remote) and not ours


def veiled(text: str, end: RecipientEnd) -> str:
    """``text`` as one line, with the address the sender wrote to in place of the one behind it."""
    hidden, shown = str(end.recipient.address), str(end.address)
    if hidden.lower() != shown.lower():
        text = re.sub(re.escape(hidden), lambda _: shown, text, flags=re.IGNORECASE)
    return clean_text(text)


def _reported(original: Original, end: RecipientEnd, action: Action) -> RecipientReport:
    """One recipient's fields for programs."""
    outcome = end.outcome
    speaks = is_theirs(outcome)
    diagnostic = veiled(str(outcome.reply), end)
    if isinstance(outcome, Delivered) and not speaks:
        diagnostic = ""
    return RecipientReport(
        final=end.address,
        action=action,
        status=_status(outcome, action),
        orcpt=end.recipient.orcpt,
        remote=outcome.remote,
        diagnostic=diagnostic,
        diagnostic_type="smtp" if speaks else "x-postern",
        last_attempt_at=end.last_attempt_at,
        will_retry_until=end.will_retry_until if action is Action.DELAYED else None,
        log_id=original.trace,
    )


def _status(outcome: Outcome, action: Action) -> str:
    """The peer's or our own status code where it fits the action (RFC 3464 §2.3.4)."""
    fallback = _STATUS[action]
    status = status_of(outcome.reply.enhanced, fallback)
    # A failure may bear a 4: what stayed temporary until the time was up (RFC 3464 §2.3.3).
    fits = status[0] == fallback[0] or (action is Action.FAILED and status[0] == "4")
    return status if fits else fallback


def _returns_all(original: Original, kind: Kind, settings: NoticeSettings) -> bool:
    """Whether the whole original comes back, or its header (RFC 3461 §4.3: RET is for failures).

    To senders outside whom nothing proves only the header goes unless they asked for all: a whole
    message is what an abuser would have us carry. With REQUIRETLS it is always the header alone
    (RFC 8689 §5).
    """
    if kind is not Kind.FAILURE or original.body is None or original.sender.requiretls:
        return False
    size_bytes = len(original.head) + len(original.body)
    match original.sender.ret:
        case Ret.HEADERS:
            return False
        case Ret.FULL:
            return size_bytes <= settings.full_on_request_bytes
        case None:
            proven = original.origin is not Origin.OUTSIDE
            return proven and size_bytes <= settings.full_original_bytes
