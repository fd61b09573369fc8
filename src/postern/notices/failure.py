# ruff: noqa: RUF001 - Chinese is written with its own punctuation
"""The failure notice: what was not delivered, why, and what can be done about it.

Source: RFC 3461 §5.2 and §6, RFC 5321 §6.1.
"""

from collections.abc import Sequence

from postern.mail.dsn import Action
from postern.mail.outcome import Cause, Delivered
from postern.notices.guard import RateGuard, sort_out
from postern.notices.layout import (
    columns,
    moment,
    moment_zh,
    month_of,
    month_of_zh,
    paragraph,
    paragraph_zh,
    quote,
    zone,
)
from postern.notices.letter import said, title, veiled, write
from postern.notices.notice import Answer, HoldInstead, Kind, Original, Others, RecipientEnd
from postern.notices.settings import NoticeSettings
from postern.notices.words import Words, with_meant, words_for

_MAX_BLOCKS = 20
_MAX_LISTED = 200


def failure_notice(
    original: Original,
    ends: Sequence[RecipientEnd],
    *,
    others: Others,
    settings: NoticeSettings,
    rate: RateGuard,
    now: float,
) -> tuple[Answer, ...]:
    """What is owed for recipients of one message that failed at the same time.

    At most one notice, telling of all who may be told of; each end is in exactly one answer.

    Args:
        original: the message.
        ends: recipients whose outcome is Refused.
        others: what became of its other recipients so far.
        settings: names and limits.
        rate: counts notices to senders outside; over its bound the message is held.
        now: seconds since 1970.
    """
    told, answers = sort_out(original, ends, Kind.FAILURE, settings)
    if not told:
        return answers
    if not rate.admit(original, now):
        return (HoldInstead("too many notices to such senders within an hour", told), *answers)
    notice = write(
        original,
        told,
        [Action.FAILED] * len(told),
        kind=Kind.FAILURE,
        subject=title("Not delivered", original, told),
        text=_text(original, told, others, settings),
        settings=settings,
        now=now,
    )
    return (notice, *answers)


def reason(end: RecipientEnd, settings: NoticeSettings) -> Words:
    """Why one recipient has not got the message, and what to do, with all names filled in."""
    outcome = end.outcome
    if isinstance(outcome, Delivered):
        raise TypeError("a delivered recipient has no reason")
    names = {
        "domain": end.address.domain or settings.site_name,
        "address": str(end.address),
        "support": settings.support_address,
    }
    words = words_for(outcome).filled(**names)
    if end.meant is not None:
        at, now = end.meant.wrote_at, end.last_attempt_at
        month, month_zh = month_of(at, now, settings), month_of_zh(at, now, settings)
        return with_meant(words, str(end.meant.address), month, month_zh)
    if outcome.cause is Cause.EXPIRED and end.last is not None:
        last = words_for(end.last).filled(**names)
        return Words(
            f"{words.why} At the last try: {last.why}",
            words.todo,
            words.why_zh + last.why_zh,
            words.todo_zh,
        )
    return words


def tries(end: RecipientEnd, settings: NoticeSettings) -> str:
    """``3 times, Mon 24 Nov 14:00 to Sat 29 Nov 14:00 (UTC+8).``."""
    if end.attempts == 0:
        return "Not at all."
    first, last = moment(end.first_at, settings), moment(end.last_attempt_at, settings)
    count = "1 time" if end.attempts == 1 else f"{end.attempts} times"
    span = last if end.attempts == 1 or first == last else f"{first} to {last}"
    return f"{count}, {span} ({zone(end.last_attempt_at, settings)})."


def their_words(end: RecipientEnd) -> str:
    """What the peer said, or where none said anything what we noted; quoted."""
    who, what = said(end)
    if what:
        return f"What their server said ({who}):\n{quote(what)}"
    return f"What our server noted:\n{quote(veiled(end.outcome.reply.text, end))}"


def code_row(original: Original, settings: NoticeSettings) -> tuple[str, str]:
    """The line with the trace code."""
    return ("Code", f"{original.trace}   (give this to {settings.support_address})")


def _text(
    original: Original, ends: Sequence[RecipientEnd], others: Others, settings: NoticeSettings
) -> str:
    if len(ends) == 1:
        return _text_for_one(original, ends[0], others, settings)
    blocks = [f"Your message was not delivered to {len(ends)} recipients."]
    for end in ends[:_MAX_BLOCKS]:
        words = reason(end, settings)
        rows = [
            ("Why", words.why),
            ("What to do", words.todo),
            ("We tried", f"{tries(end, settings)} We will not try again."),
        ]
        blocks.append("\n".join((str(end.address), columns(rows), their_words(end))))
    if rest := ends[_MAX_BLOCKS:]:
        listed = "\n".join(f"  {end.address}" for end in rest[:_MAX_LISTED])
        more = len(rest) - _MAX_LISTED
        tail = f"\n  and {more} more, named in the attached report" if more > 0 else ""
        blocks.append(f"Nor to these, each for a reason in the attached report:\n{listed}{tail}")
    blocks.append(columns([*_other_rows(others), code_row(original, settings)]))
    blocks.append(_text_zh(original, ends, settings))
    return "\n\n".join(blocks) + "\n"


def _text_for_one(
    original: Original, end: RecipientEnd, others: Others, settings: NoticeSettings
) -> str:
    words = reason(end, settings)
    rows = [
        ("Why", words.why),
        ("What to do", words.todo),
        ("We tried", f"{tries(end, settings)} We will not try again."),
        *_other_rows(others),
        code_row(original, settings),
    ]
    blocks = [
        paragraph(f"Your message was not delivered to {end.address}."),
        columns(rows),
        _text_zh(original, (end,), settings),
        their_words(end),
    ]
    return "\n\n".join(blocks) + "\n"


def _text_zh(original: Original, ends: Sequence[RecipientEnd], settings: NoticeSettings) -> str:
    if len(ends) == 1:
        end = ends[0]
        words = reason(end, settings)
        at = moment_zh(end.last_attempt_at, settings)
        zh = (
            f"您的邮件未能送达 {end.address}。原因：{words.why_zh}{words.todo_zh}"
            f"最后一次尝试：{at}，我们不会再试。"
        )
    else:
        reasons = "".join(
            f"{end.address}：{reason(end, settings).why_zh}" for end in ends[:_MAX_BLOCKS]
        )
        rest = f"其余 {len(ends) - _MAX_BLOCKS} 个收件人见附件。" if len(ends) > _MAX_BLOCKS else ""
        zh = f"您的邮件未能送达 {len(ends)} 个收件人。{reasons}{rest}"
    return paragraph_zh(f"{zh}咨询时请告知代码 {original.trace}（{settings.support_address}）。")


def _other_rows(others: Others) -> list[tuple[str, str]]:
    """What became of the message's other recipients."""
    told = []
    if others.delivered:
        told.append(f"{_recipients(others.delivered)}: accepted by their servers.")
    if others.waiting:
        told.append(f"{_recipients(others.waiting)}: still being tried.")
    return [("Others", " ".join(told))] if told else []


def _recipients(count: int) -> str:
    return "1 other recipient" if count == 1 else f"{count} other recipients"
