# ruff: noqa: RUF001 - Chinese is written with its own punctuation
"""The letter that tells the owner of a mailbox what is held for him: in words, and as a page.

Nothing in it can be clicked, and nothing is fetched: what looks like this letter and has links is
not ours. A subject or a sender's name comes from strangers; it is shown as text, never as more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from html import escape

from postern.mail.address import Address
from postern.mail.dsn import Letter, compose_alternative
from postern.mail.envelope import BodyType, Sender
from postern.mail.message.text import clean_text
from postern.notices.guard import DAEMON
from postern.notices.held_words import InBoth, why_held
from postern.notices.layout import columns, moment, moment_zh, paragraph, paragraph_zh, zone
from postern.notices.settings import NoticeSettings

MAX_ENTRIES = 200
"""Messages one letter names; the others have theirs in the next."""
_MAX_TEXT_CHARS = 120


_SUBJECT = InBoth("Subject", "主题")
_FROM = InBoth("From", "发件人")
_SENT_AS = InBoth("Sent as", "实际发自")
_WHY = InBoth("Why", "原因")
_HELD = InBoth("Held", "隔离于")
_SAFE = InBoth("Kept until", "至少保留到")
_UNTIL = InBoth("Leaves by", "最晚删除于")
_ID = InBoth("Id", "编号")


class Language(Enum):
    """What a letter is written in; the values are those of the setting."""

    EN = "en"
    ZH = "zh"
    BOTH = "both"

    @property
    def tags(self) -> tuple[str, ...]:
        """For Content-Language."""
        return {"en": ("en",), "zh": ("zh-Hans",)}.get(self.value, ("en", "zh-Hans"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One message that is held: its name in commands, and what is known of it.

    ``shown_from`` is the address its header shows, ``mail_from`` the one its envelope has; ``rule``
    the label of the rule that decided, or empty. From ``safe_until`` on it may leave to make room,
    ``until`` is its end. Moments are seconds since 1970.
    """

    id: str
    shown_from: str
    mail_from: str
    subject: str
    check: str
    rule: str
    held_at: float
    safe_until: float
    until: float

    @property
    def senders(self) -> tuple[str, str]:
        """Whom it says it is from, and whom it was sent as where that is somebody else."""
        shown = clean_text(self.shown_from, _MAX_TEXT_CHARS)
        envelope = clean_text(self.mail_from, _MAX_TEXT_CHARS)
        if not shown:
            return envelope or "<>", ""
        return shown, "" if shown.lower() == envelope.lower() else envelope or "<>"


@dataclass(frozen=True, slots=True)
class Digest:
    """The letter ready to queue: who gets it is its maker's business."""

    subject: str
    content: bytes
    sender: Sender


def compose_digest(
    owner: Address,
    entries: Sequence[Entry],
    more: int,
    *,
    language: Language,
    trace: str,
    settings: NoticeSettings,
    now: float,
) -> Digest:
    """A letter to ``owner`` about what is newly held; ``more`` follow in the next one.

    Its envelope's sender is null: whatever becomes of it, nobody is written to.
    """
    page = _Page(owner, entries, more, language, settings, now)
    hashed = blake2b(f"{owner} {now}".encode("utf-8", "replace"), digest_size=6).hexdigest()
    letter = Letter(
        sender_name=f"Held mail at {settings.site_name}",
        sender=Address(DAEMON, settings.hostname),
        to=owner,
        subject=page.subject,
        text=page.text,
        message_id=f"<digest.{trace}.{hashed}@{settings.hostname}>",
        at=now,
        languages=language.tags,
        auto_submitted="auto-generated",
        reply_to=page.postmaster,
    )
    content = compose_alternative(letter, page.html)
    kind = BodyType.SEVEN_BIT if content.isascii() else BodyType.EIGHT_BIT
    sender = Sender(None, len(content), kind, smtputf8=owner.needs_smtputf8)
    return Digest(page.subject, content, sender)


class _Page:
    """The words of one letter, in its language, as text and as a page."""

    def __init__(
        self,
        owner: Address,
        entries: Sequence[Entry],
        more: int,
        language: Language,
        settings: NoticeSettings,
        now: float,
    ) -> None:
        self._owner = owner
        self._entries = entries
        self._more = more
        self._language = language
        self._settings = settings
        self._now = now
        self.postmaster = Address("postmaster", owner.domain or settings.hostname)

    # --- words ---------------------------------------------------------------------------------

    @property
    def subject(self) -> str:
        """``3 messages are held for you``."""
        count = len(self._entries) + self._more
        verb = "message is" if count == 1 else "messages are"
        return self._both(f"{count} {verb} held for you", f"{count} 封邮件已隔离", " / ")

    def _both(self, en: str, zh: str, between: str) -> str:
        if self._language is Language.BOTH:
            return en + between + zh
        return en if self._language is Language.EN else zh

    def _says(self, en: str, zh: str) -> list[tuple[str, str]]:
        """(text, language tag) of what is to be said, in each language of the letter."""
        pairs = [(en, "en"), (zh, "zh-Hans")]
        return [pair for pair in pairs if pair[1] in self._language.tags]

    def _opening(self) -> list[tuple[str, str]]:
        owner = self._owner
        is_zh = self._language is Language.ZH
        safe, until = (_SAFE.zh, _UNTIL.zh) if is_zh else (_SAFE.en, _UNTIL.en)
        return self._says(
            f"These messages to {owner} were not put into the mailbox: something speaks against"
            f' each of them, or could not be checked. Each is kept until the day beside "{safe}".'
            " From then on it may be thrown away if more arrives and room is scarce; at the latest"
            f' it is thrown away on the day beside "{until}".',
            f"以下发给 {owner} 的邮件未放入邮箱，因为每一封都有疑点或无法判定。"
            f"每封邮件保留到“{safe}”所示日期；此后若新邮件较多、空间不足，可能提前删除；"
            f"最晚在“{until}”所示日期删除。",
        )

    def _closing(self) -> list[tuple[str, str]]:
        first = self._entries[0].id
        closing = self._says(
            f"Is one of them wanted? Ask {self.postmaster} to release it, with its id. For the"
            f" operator: postern quarantine release {first}",
            f"如需放行某封邮件，请将其编号告知 {self.postmaster}。"
            f"管理员命令：postern quarantine release {first}",
        )
        if self._more:
            more = self._more
            closing += self._says(
                f"{more} more are held; the next letter names them.",
                f"另有 {more} 封已隔离，将在下一封信中列出。",
            )
        return closing + self._says(
            "This letter has no links. One that looks like it and has some is not ours.",
            "本信不含任何链接；含有链接的类似邮件并非我们所发。",
        )

    def _facts(self, entry: Entry) -> list[tuple[InBoth, str]]:
        """Label and text of what is known of one message, its subject aside."""
        shown, envelope = entry.senders
        facts = [(_FROM, shown)]
        if envelope:
            facts.append((_SENT_AS, envelope))
        words = why_held(entry.check)
        rule = f" ({entry.rule})" if entry.rule else ""
        facts += [
            (_WHY, f"{self._both(words.en, words.zh, ' · ')}{rule}"),
            (_HELD, self._moment(entry.held_at)),
            (_SAFE, self._moment(entry.safe_until)),
            (_UNTIL, self._moment(entry.until)),
            (_ID, entry.id),
        ]
        return facts

    def _subject_of(self, entry: Entry) -> str:
        return clean_text(entry.subject, _MAX_TEXT_CHARS) or self._both("none", "无", " · ")

    def _moment(self, at: float) -> str:
        settings = self._settings
        if self._language is Language.ZH:
            return f"{moment_zh(at, settings)}（{zone(at, settings)}）"
        return f"{moment(at, settings)} ({zone(at, settings)})"

    # --- as text -------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The letter as plain text."""
        opening = [self._wrapped(text, tag) for text, tag in self._opening()]
        entries = [columns(self._lines(entry)) for entry in self._entries]
        closing = [self._wrapped(text, tag) for text, tag in self._closing()]
        return "\n\n".join([*opening, *entries, *closing]) + "\n"

    def _lines(self, entry: Entry) -> list[tuple[str, str]]:
        """One message with its labels: in one language, for the columns stand close."""
        facts = [(_SUBJECT, self._subject_of(entry)), *self._facts(entry)]
        is_zh = self._language is Language.ZH
        return [(label.zh if is_zh else label.en, text) for label, text in facts]

    def _wrapped(self, text: str, tag: str) -> str:
        return paragraph(text) if tag == "en" else paragraph_zh(text)

    # --- as a page -----------------------------------------------------------------------------

    @property
    def html(self) -> str:
        """The letter as HTML: no outside host, no link, colours of the reader's own scheme."""
        parts = [
            "<!DOCTYPE html>",
            f'<html lang="{self._language.tags[0]}" style="color-scheme: light dark">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="supported-color-schemes" content="light dark">',
            '<meta name="format-detection"'
            ' content="telephone=no, date=no, address=no, email=no, url=no">',
            f"<title>{escape(self.subject)}</title>",
            "</head>",
            f'<body style="{_BODY}">',
            f'<h1 style="{_HEADING}">{escape(self.subject)}</h1>',
            *(_paragraph(text, tag) for text, tag in self._opening()),
            *(self._card(entry) for entry in self._entries),
            *(_paragraph(text, tag) for text, tag in self._closing()),
            "</body>",
            "</html>",
        ]
        return "\n".join(parts) + "\n"

    def _card(self, entry: Entry) -> str:
        subject = self._subject_of(entry)
        facts = [(self._both(label.en, label.zh, " "), text) for label, text in self._facts(entry)]
        cells = "\n".join(
            f'<tr><th scope="row" style="{_LABEL}">{escape(label)}</th>'
            f'<td dir="auto" style="{_CELL}">{escape(text)}</td></tr>'
            for label, text in facts
        )
        return (
            f'<table style="{_CARD}">\n'
            f'<caption dir="auto" style="{_TITLE}">{escape(subject)}</caption>\n{cells}\n</table>'
        )


_BODY = (
    "margin: 0 auto; padding: 16px; max-width: 640px; line-height: 1.5; font-size: 16px;"
    " font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'PingFang SC',"
    " 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
)
_HEADING = "margin: 0 0 12px; font-size: 20px; line-height: 1.3"
_CARD = (
    "width: 100%; margin: 0 0 16px; padding: 8px 12px; border: 1px solid #888888;"
    " border-radius: 8px; border-spacing: 0"
)
_TITLE = "padding: 4px 0; text-align: start; font-weight: bold; overflow-wrap: anywhere"
_LABEL = (
    "width: 9em; padding: 3px 12px 3px 0; text-align: start; vertical-align: top;"
    " font-weight: normal; font-size: 14px; white-space: nowrap"
)
_CELL = "padding: 3px 0; vertical-align: top; overflow-wrap: anywhere"


def _paragraph(text: str, tag: str) -> str:
    return f'<p lang="{tag}" style="margin: 0 0 12px">{escape(text)}</p>'
