# ruff: noqa: RUF001 - Chinese is written with its own punctuation
"""Tells the owner of a mailbox that a message to him is held, where its sender may not be told."""

from postern.mail.address import Address
from postern.mail.dsn import compose_plain
from postern.mail.envelope import Sender
from postern.mail.message.text import clean_text
from postern.notices.failure import code_row, reason
from postern.notices.layout import columns, moment, paragraph, paragraph_zh, zone
from postern.notices.letter import letter
from postern.notices.notice import Kind, Notice, Original, RecipientEnd
from postern.notices.settings import NoticeSettings

_MAX_SUBJECT_CHARS = 100


def held_notice(
    original: Original,
    end: RecipientEnd,
    owner: Address,
    *,
    settings: NoticeSettings,
    now: float,
) -> Notice:
    """A letter to ``owner``, whose mailbox ``end`` is, that this message is held for him.

    Ask ``RateGuard.admit_letter`` first; the message stays held whether or not a letter goes.
    """
    subject = clean_text(original.subject, _MAX_SUBJECT_CHARS)
    sender = str(original.sender) or "<>"
    named = f'"{subject}" ' if subject else ""
    heading = f"Held for you: {named}from {sender}"
    words = reason(end, settings)
    at = moment(original.arrived_at, settings)
    rows = [
        ("From", f"{sender}   (not proven; anyone may have written this)"),
        ("Subject", subject or "none"),
        ("Arrived", f"{at} ({zone(original.arrived_at, settings)})"),
        ("Why", words.why),
        code_row(original, settings),
    ]
    text = "\n\n".join(
        [
            paragraph(
                f"A message to {end.address} could not be delivered. It is not lost: we keep it."
            ),
            columns(rows),
            paragraph_zh(
                f"有一封发给 {end.address} 的邮件未能投递，我们已为您保留。原因：{words.why_zh}"
                f"取回请联系 {settings.support_address}，代码 {original.trace}。"
            ),
        ]
    )
    content = compose_plain(
        letter(
            original,
            owner,
            kind=Kind.HELD,
            subject=heading,
            text=text + "\n",
            settings=settings,
            now=now,
        )
    )
    null = Sender(None, size_bytes=len(content), smtputf8=owner.needs_smtputf8)
    return Notice(owner, content, heading, Kind.HELD, (end,), null)
