"""Mistakes in the configuration, told so that they can be mended at once."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from postern.config.lines import Key, Position


class Severity(Enum):
    """Whether the server can run with it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where, what, and how to mend it. Never holds a secret's value.

    ``file`` and ``position`` are None where there is no place to point to, such as a missing file
    or a key that is not there at all.
    """

    text: str
    file: Path | None = None
    position: Position | None = None
    key: Key = ()
    fix: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = str(self.file) if self.file else "postern.toml"
        if self.position:
            place += f":{self.position.line}:{self.position.column}"
        key = f"{key_text(self.key)}: " if self.key else ""
        fix = f"\n    {self.fix}" if self.fix else ""
        return f"{place}: {self.severity.value}: {key}{self.text}{fix}"


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` are all the reasons, warnings among them."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def key_text(key: Key) -> str:
    """``listener[2].bind`` for ``("listener", 1, "bind")``: people count from one."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if text else part
    return text
