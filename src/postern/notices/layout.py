# ruff: noqa: RUF001 - Chinese is written with its own punctuation
"""How words stand on a page of plain text: columns, times, and lines that any reader can show."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from textwrap import wrap
from unicodedata import east_asian_width

from postern.mail.message.text import clean_text
from postern.notices.settings import NoticeSettings

LINE_CHARS = 76
_LABEL_CHARS = 12
_MAX_QUOTE_CHARS = 1_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_LONG_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def moment(instant: float, settings: NoticeSettings) -> str:
    """``Mon 24 Nov 14:00``, in the site's time; the zone is told by ``zone``."""
    at = datetime.fromtimestamp(instant, settings.timezone)
    return f"{_DAYS[at.weekday()]} {at.day} {_MONTHS[at.month - 1]} {at.hour:02}:{at.minute:02}"


def moment_zh(instant: float, settings: NoticeSettings) -> str:
    """``11月24日 14:00``, in the site's time."""
    at = datetime.fromtimestamp(instant, settings.timezone)
    return f"{at.month}月{at.day}日 {at.hour:02}:{at.minute:02}"


def month_of(instant: float, now: float, settings: NoticeSettings) -> str:
    """``in March``; of another year ``in March 2025``."""
    at, today = (datetime.fromtimestamp(one, settings.timezone) for one in (instant, now))
    year = "" if at.year == today.year else f" {at.year}"
    return f"in {_LONG_MONTHS[at.month - 1]}{year}"


def month_of_zh(instant: float, now: float, settings: NoticeSettings) -> str:
    """``3月``; of another year ``2025年3月``."""
    at, today = (datetime.fromtimestamp(one, settings.timezone) for one in (instant, now))
    year = "" if at.year == today.year else f"{at.year}年"
    return f"{year}{at.month}月"


def zone(instant: float, settings: NoticeSettings) -> str:
    """``UTC+8``, ``UTC-3:30`` or ``UTC``: how the site's time stands to the world's."""
    offset = datetime.fromtimestamp(instant, settings.timezone).utcoffset() or timedelta()
    minutes = round(offset.total_seconds() / 60)
    if not minutes:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02}" if rest else "")


def columns(rows: Sequence[tuple[str, str]]) -> str:
    """Labels at the left, their text wrapped beside them."""
    lines = []
    for label, text in rows:
        first, *more = _wrapped(text, LINE_CHARS - _LABEL_CHARS) or [""]
        blanks = " " * max(1, _LABEL_CHARS - _cells(label))
        lines.append(f"{label}{blanks}{first}")
        lines += [" " * _LABEL_CHARS + line for line in more]
    return "\n".join(lines)


def paragraph(text: str) -> str:
    """``text`` wrapped to the page."""
    return "\n".join(_wrapped(text, LINE_CHARS))


def paragraph_zh(text: str) -> str:
    """Chinese text wrapped to the page; it breaks anywhere but within a run of ASCII."""
    lines: list[str] = []
    line, width = "", 0
    for run in _runs(text):
        run_width = _cells(run)
        fits = width + run_width <= LINE_CHARS
        if line and not fits and run not in "，。：；、）”":
            lines.append(line.rstrip())
            line, width = run.lstrip(), run_width
        else:
            line += run
            width += run_width
    return "\n".join([*lines, line.rstrip()])


def quote(text: str) -> str:
    """What others said, as one indented block that cannot look like our own words."""
    safe = clean_text(text, _MAX_QUOTE_CHARS)
    return "\n".join(f"  {line}" for line in _wrapped(safe, LINE_CHARS - 2))


def _wrapped(text: str, width: int) -> list[str]:
    if len(text) <= width and text.isprintable() and text == text.strip():
        return [text] if text else []  # most of a page: a tenth of what wrapping costs
    return wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _cells(text: str) -> int:
    """How wide a text is where every letter is as wide as the other; Chinese takes two each."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def _runs(text: str) -> list[str]:
    """Single wide characters, and words of others with the blank behind them."""
    runs: list[str] = []
    for char in text:
        is_word = runs and char.isascii() and runs[-1].isascii() and not runs[-1].endswith(" ")
        if is_word or runs[-1:] == ["（"]:
            runs[-1] += char
        else:
            runs.append(char)
    return runs
