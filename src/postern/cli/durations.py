"""Spans of time as people type them: ``30m``, ``24h``, ``14d``, ``2w``."""

import re

from postern.cli.output import ExitCode, fail

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_SPAN = re.compile(r"(\d{1,6})([mhdw])")


def seconds_of(text: str, option: str) -> float:
    """Seconds of ``text``, or the end of the command."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None or not int(found[1]):
        fail(ExitCode.USAGE, f"{option} {text}: write how long, such as 30m, 24h, 14d or 2w")
    return int(found[1]) * _UNITS[found[2]]
