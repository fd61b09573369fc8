"""Log lines on stderr: one line an event, ``trace=``, ``rip=`` and ``user=`` at fixed places.

``2026-11-22T20:51:35.123+00:00 warning worker-0 trace=PT-7Q2M-K4XD rip=192.0.2.7 user=- auth.failed
reason="wrong password"``. Under journald the time is left out and the level goes in front, as
``<4>`` (sd-daemon(3)). A value can never break out of its line, and what is called a password,
secret or authorization is masked whatever it holds.
"""

import json
import logging
import os
import re
import select
from collections.abc import Mapping
from enum import Enum

import structlog
from structlog.typing import EventDict, WrappedLogger

from postern.runtime.clock import Clock, rfc3339

MAX_LINE_BYTES = 4000
"""Below PIPE_BUF, so that lines of several processes on one pipe never mix (pipe(7))."""

MAX_VALUE_CHARACTERS = 1200
"""A longer value loses its beginning."""

FIXED = ("trace", "rip", "user")
MASK = "***"
_SECRET = re.compile(r"passw|secret|authorization|credential|token|private_?key", re.IGNORECASE)
_PLAIN = re.compile(r"[!#-<>-~]+")
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class LogFormat(Enum):
    """How a line is written."""

    PLAIN = "plain"
    JOURNALD = "journald"
    JSON = "json"


class LogLines:
    """Writes lines to a descriptor, and rather loses a line than stops the server.

    A log reader that hangs must not hang the mail, so a line is dropped when the pipe is full; the
    next one that fits says how many were.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0

    def write(self, line: str) -> None:
        """Write one line, cut to ``MAX_LINE_BYTES``; an end of line is added."""
        if self._dropped:
            line = f"{line} lines_dropped={self._dropped}"
        raw = line.encode("utf-8", "replace")[: MAX_LINE_BYTES - 1] + b"\n"
        try:
            events = self._poll.poll(0)
            if not events or not events[0][1] & select.POLLOUT:
                self._dropped += 1
                return
            os.write(self._descriptor, raw)
        except OSError:
            self._dropped += 1
            return
        self._dropped = 0


def choose_format(wanted: str, environment: Mapping[str, str] = os.environ) -> LogFormat:
    """The format for ``[log] format``; ``auto`` is journald's when stderr is connected to it."""
    if wanted == "auto":
        return LogFormat.JOURNALD if _is_journal(environment) else LogFormat.PLAIN
    return LogFormat(wanted)


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr is the stream that ``$JOURNAL_STREAM`` names (systemd.exec(5))."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class LineRenderer:
    """The last processor: turns an event into its line and writes it."""

    def __init__(self, lines: LogLines, style: LogFormat, process: str, clock: Clock) -> None:
        self._lines = lines
        self._style = style
        self._process = process
        self._clock = clock

    def __call__(self, _logger: WrappedLogger, level: str, event: EventDict) -> str:
        """Write the event; nothing is left for the logger to do."""
        fields = mask_secrets(event)
        if self._style is LogFormat.JSON:
            self._lines.write(self._json(level, fields))
        else:
            self._lines.write(self._plain(level, fields))
        raise structlog.DropEvent

    def _plain(self, level: str, fields: dict[str, object]) -> str:
        name = fields.pop("event", "")
        parts = [f"{key}={quoted(fields.pop(key, None) or '-')}" for key in FIXED]
        parts.append(escaped(str(name)))
        parts += [f"{key}={quoted(value)}" for key, value in fields.items()]
        text = f"{self._process} {' '.join(parts)}"
        if self._style is LogFormat.JOURNALD:
            return f"<{_PRIORITIES.get(level, 6)}>{text}"
        return f"{rfc3339(self._clock.now())} {level} {text}"

    def _json(self, level: str, fields: dict[str, object]) -> str:
        head = {"at": rfc3339(self._clock.now()), "level": level, "process": self._process}
        return json.dumps(head | fields, default=str, ensure_ascii=False)


def mask_secrets(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields, with the value of every secret replaced; looks into nested tables too."""
    masked: dict[str, object] = {}
    for key, value in fields.items():
        if _SECRET.search(key):
            masked[key] = MASK
        elif isinstance(value, str) and len(value) > MAX_VALUE_CHARACTERS:
            # The end of a traceback tells more than its beginning.
            masked[key] = f"…{value[-MAX_VALUE_CHARACTERS:]}"
        elif isinstance(value, Mapping):
            masked[key] = mask_secrets({str(k): v for k, v in value.items()})
        else:
            masked[key] = value
    return masked


def quoted(value: object) -> str:
    """The value as it stands behind ``key=``: bare when it is one plain word, else in quotes."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else f'"{escaped(text, quote=True)}"'


def escaped(text: str, *, quote: bool = False) -> str:
    """The text with everything that is not printable written as an escape."""
    if text.isprintable() and not (quote and ('"' in text or "\\" in text)):
        return text
    special = {"\\", '"'} if quote else set()
    return "".join(f"\\{c}" if c in special else c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return named.get(character, f"\\u{ord(character):04x}")


class _FromLibraries(logging.Handler):
    """Brings what libraries tell the standard ``logging`` onto our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            logger = structlog.get_logger()
            fields = {"library": record.name}
            if record.exc_info and record.exc_info[1]:
                fields["error"] = repr(record.exc_info[1])
            level = record.levelname.lower()
            tell = getattr(logger, level if level in _PRIORITIES else "info")
            tell(record.getMessage(), **fields)
        except Exception:  # noqa: BLE001 - a log line that cannot be made must not stop the mail
            self.handleError(record)


def configure_logs(
    *, level: str, style: LogFormat, process: str, clock: Clock, descriptor: int = 2
) -> None:
    """Set up ``structlog`` and the standard ``logging`` for this process; again after a reload.

    Args:
        level: debug, info, warning or error: the least that is written.
        style: how lines look.
        process: who writes: ``supervisor``, ``worker-0``, ``console``.
        clock: for the time in front.
        descriptor: where lines go.
    """
    threshold = _LEVELS[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            LineRenderer(LogLines(descriptor), style, process, clock),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        cache_logger_on_first_use=False,  # a reload may change the level
    )
    root = logging.getLogger()
    root.handlers[:] = [_FromLibraries()]
    root.setLevel(max(threshold, logging.INFO))
    for noisy in ("uvicorn.access", "uvicorn.error", "asyncio", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
