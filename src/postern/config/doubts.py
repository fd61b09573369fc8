"""A doubt about a setting, and what several tables have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postern.config.lines import Key, Position
from postern.config.places import parse_host_port
from postern.config.problems import Severity


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that does not fit, at ``key``; ``place``: where in a file of its own."""

    key: Key
    text: str
    fix: str = ""
    severity: Severity = Severity.ERROR
    place: tuple[Path, Position | None] | None = None


def warning(key: Key, text: str, fix: str = "") -> Doubt:
    """What works, and perhaps not as it was meant."""
    return Doubt(key, text, fix, Severity.WARNING)


def host_port_doubts(key: Key, text: str) -> Iterator[Doubt]:
    """Whether ``text`` names a place to connect to."""
    try:
        parse_host_port(text)
    except ValueError as error:
        yield Doubt(key, str(error))
