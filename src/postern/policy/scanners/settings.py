"""How one scanner is asked, and which of them a message needs."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from postern.policy.scanners.place import Place

FILE_MARK = "{file}"
"""In a command's words: the path of a file that holds the message."""


class Kind(Enum):
    """What is at the other end; the values are the words of the configuration."""

    CLAMD = "clamd"
    RSPAMD = "rspamd"
    SPAMD = "spamd"
    COMMAND = "command"


FAMILIES = {
    Kind.CLAMD: "virus",
    Kind.RSPAMD: "spam",
    Kind.SPAMD: "spam",
    Kind.COMMAND: "command",
}
"""The family of checks that each answers for."""
CHECKS = {"virus": "virus.found", "spam": "spam.score", "command": "command.found"}
"""The check that fails when a scanner of that family finds something."""
FOR_EVERYBODY = frozenset({"virus", "command"})
"""Families that our own users' mail is shown to as well."""


@dataclass(frozen=True, slots=True)
class ScannerSettings:
    """One scanner, and this worker's part of its limits.

    Attributes:
        name: what people call it.
        kind: how it is spoken to.
        place: where it listens; None for a command.
        argv: the command's words, the program first.
        timeout_s: longest time for one message, the wait for its turn included.
        max_bytes: larger messages are not given to it; 0: all are.
        slots: messages at a time.
        queue: messages that may wait for their turn.
        failures: so many in a row, and it is left alone.
        retry_s: for so long; then it is tried again.
        score: of spam; None: as the scanner itself says.
        clean: exit codes of a command that found nothing.
        found: exit codes of a command that found something.
        folder: where a command's ``{file}`` is put for the time of the scan.
    """

    name: str
    kind: Kind
    place: Place | None = None
    argv: tuple[str, ...] = ()
    timeout_s: float = 60.0
    max_bytes: int = 0
    slots: int = 20
    queue: int = 200
    failures: int = 5
    retry_s: float = 10.0
    score: float | None = None
    clean: frozenset[int] = frozenset({0})
    found: frozenset[int] = frozenset({1})
    folder: Path = Path()

    @property
    def family(self) -> str:
        """``virus``, ``spam`` or ``command``."""
        return FAMILIES[self.kind]


@dataclass(frozen=True, slots=True)
class Need:
    """The families of scanners that a message is shown to; ``hurried``: not for long."""

    families: frozenset[str]
    hurried: frozenset[str] = frozenset()
