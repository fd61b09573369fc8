# ruff: noqa: RUF001 - Chinese is written with its own punctuation
"""The delay notice: tells our own users early that a message still waits, and until when.

Source: RFC 3461 §5.2.5 (at most when DELAY is wanted), RFC 3464 §2.3.3 and §2.3.9.
"""

from collections.abc import Sequence

from postern.mail.dsn import Action
from postern.notices.failure import code_row, reason, their_words, tries
from postern.notices.guard import sort_out
from postern.notices.layout import columns, moment, moment_zh, paragraph, paragraph_zh, zone
from postern.notices.letter import title, write
from postern.notices.notice import Answer, Kind, Original, RecipientEnd
from postern.notices.settings import NoticeSettings

_MAX_BLOCKS = 20


def delay_notice_due(
    first_queued_at: float,
    now: float,
    *,
    group_blocked: bool,
    already_sent: bool,
    settings: NoticeSettings,
) -> bool:
    """True when a waiting recipient is to be told of: once, after 4 h, or 1 h of a blocked group.

    Args:
        first_queued_at: when the message was accepted, seconds since 1970.
        now: seconds since 1970.
        group_blocked: nothing reaches the whole MX group, so others fare no better.
        already_sent: this recipient was told of before.
        settings: both times.

    Whether the sender may be told at all (our own user, NOTIFY) is ``delay_notice``'s to say.
    """
    after_s = settings.delay_blocked_after_s if group_blocked else settings.delay_after_s
    return not already_sent and now - first_queued_at >= after_s


def delay_notice(
    original: Original, ends: Sequence[RecipientEnd], *, settings: NoticeSettings, now: float
) -> tuple[Answer, ...]:
    """What is owed for recipients of one message that still wait; their outcomes are Deferred.

    At most one notice; each end is in exactly one answer. Every end it is told of counts as told,
    whatever the answer: none becomes owed later.
    """
    told, answers = sort_out(original, ends, Kind.DELAY, settings)
    if not told:
        return answers
    notice = write(
        original,
        told,
        [Action.DELAYED] * len(told),
        kind=Kind.DELAY,
        subject=title("Delayed", original, told),
        text=_text(original, told, settings),
        settings=settings,
        now=now,
    )
    return (notice, *answers)


def _text(original: Original, ends: Sequence[RecipientEnd], settings: NoticeSettings) -> str:
    whom = str(ends[0].address) if len(ends) == 1 else f"{len(ends)} recipients"
    blocks = [
        paragraph(f"Your message to {whom} is delayed. We keep trying; do not send it again.")
    ]
    for end in ends[:_MAX_BLOCKS]:
        name = [] if len(ends) == 1 else [str(end.address)]
        blocks.append("\n".join([*name, columns(_rows(end, settings))]))
    if len(ends) > _MAX_BLOCKS:
        blocks.append(f"{len(ends) - _MAX_BLOCKS} more are named in the attached report.")
    blocks.append(columns([code_row(original, settings)]))
    blocks.append(_text_zh(original, ends, whom, settings))
    if len(ends) == 1:
        blocks.append(their_words(ends[0]))
    return "\n\n".join(blocks) + "\n"


def _rows(end: RecipientEnd, settings: NoticeSettings) -> list[tuple[str, str]]:
    words = reason(end, settings)
    rows = [("Why", words.why), ("What to do", words.todo), ("We tried", tries(end, settings))]
    if end.next_attempt_at is not None:
        at = moment(end.next_attempt_at, settings)
        rows.append(("Next try", f"{at} ({zone(end.next_attempt_at, settings)})"))
    if end.will_retry_until is not None:
        at = moment(end.will_retry_until, settings)
        rows.append(
            ("Last try", f"{at} ({zone(end.will_retry_until, settings)}); then it comes back.")
        )
    return rows


def _text_zh(
    original: Original, ends: Sequence[RecipientEnd], whom: str, settings: NoticeSettings
) -> str:
    if len(ends) > 1:
        whom = f"{len(ends)} 个收件人"
    end = ends[0]
    why = f"原因：{reason(end, settings).why_zh}" if len(ends) == 1 else "原因见上。"
    next_try = (
        f"下次尝试：{moment_zh(end.next_attempt_at, settings)}。" if end.next_attempt_at else ""
    )
    until = (
        f"最晚尝试到：{moment_zh(end.will_retry_until, settings)}。" if end.will_retry_until else ""
    )
    return paragraph_zh(
        f"您发给 {whom} 的邮件被延误，我们会继续尝试，请勿重发。{why}{next_try}{until}"
        f"咨询时请告知代码 {original.trace}。"
    )
