"""Moments and spans of time as people read them."""

from datetime import datetime

from postern.runtime.clock import Instant

DAY_S = 86_400.0


def moment(instant: Instant, now: Instant) -> str:
    """``14:20`` when it is less than a day away, else ``25 May``; in this machine's own time."""
    local = datetime.fromtimestamp(instant).astimezone()
    return f"{local:%H:%M}" if abs(instant - now) < DAY_S else f"{local.day} {local:%b}"


def span(seconds: float) -> str:
    """``5 h 12 min``, ``3 days 4 h``, ``40 s``."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{int(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"
