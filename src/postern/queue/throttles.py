"""Which words of which servers mean "stay away for a while", and for how long: a table.

The shipped table is ``throttles.toml`` beside this file. A file of the site's own, named by
``[queue] throttles``, comes before it, entry by entry.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).with_name("throttles.toml")
MAX_ENTRIES = 1_000
MAX_FILE_BYTES = 1_000_000
LONGEST_S = 86_400.0
MAX_REPLY_CHARS = 1_000
"""So much of a reply is looked at: a site's own pattern may take long for what is long."""
_KEYS = frozenset({"groups", "reply", "for_s", "means"})
_QUOTED = re.compile(r'"[^"]*"@')


class BadTableError(ValueError):
    """The file cannot be used; the text says what is wrong with which entry."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """A reply that fits ``reply`` from one of ``groups`` suspends the group for ``for_s``.

    No groups: any. ``means`` says in words what the server wants.
    """

    groups: frozenset[str]
    reply: re.Pattern[str]
    for_s: float
    means: str

    def fits(self, group: str, said: str) -> bool:
        """Whether this is what ``group`` said."""
        return (not self.groups or group in self.groups) and self.reply.search(said) is not None


class Throttles:
    """The table."""

    def __init__(self, entries: tuple[Throttle, ...]) -> None:
        self._entries = entries

    def find(self, group: str, said: str) -> Throttle | None:
        """The first entry for a 4xx reply of ``group``, or None.

        Addresses in it are passed over: servers repeat those they were given, and else whoever
        writes to ``rate-limit@provider.example`` could suspend the provider.
        """
        beginning = _without_addresses(said[:MAX_REPLY_CHARS])
        for entry in self._entries:
            if entry.fits(group, beginning):
                return entry
        return None


def _without_addresses(said: str) -> str:
    return " ".join(word for word in _QUOTED.sub("@", said).split(" ") if "@" not in word)


def load_throttles(own: Path | None = None) -> Throttles:
    """The site's own entries, then the shipped ones.

    Raises:
        BadTableError: the site's file is not a table of throttles.
        OSError: it can't be read.
    """
    entries = () if own is None else read_table(own)
    return Throttles((*entries, *_shipped()))


@cache
def _shipped() -> tuple[Throttle, ...]:
    return read_table(SHIPPED)


def read_table(path: Path) -> tuple[Throttle, ...]:
    """The entries of one file, checked.

    Raises:
        BadTableError: it is not a table of throttles.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise BadTableError(f"{path}: more than {MAX_FILE_BYTES} octets")
    try:
        found = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        raise BadTableError(f"{path}: {error}") from error
    tables = found.get("throttle", [])
    if set(found) - {"throttle"} or not isinstance(tables, list) or len(tables) > MAX_ENTRIES:
        raise BadTableError(f"{path}: expected [[throttle]] tables, at most {MAX_ENTRIES}")
    return tuple(_entry(path, place, table) for place, table in enumerate(tables, 1))


def _entry(path: Path, place: int, table: object) -> Throttle:
    where = f"{path}: [[throttle]] number {place}"
    if not isinstance(table, dict) or set(table) - _KEYS:
        raise BadTableError(f"{where}: its keys are {', '.join(sorted(_KEYS))}")
    groups, reply, for_s = table.get("groups", []), table.get("reply"), table.get("for_s")
    if not isinstance(groups, list) or not all(isinstance(name, str) for name in groups):
        raise BadTableError(f"{where}: groups must be a list of MX groups' names")
    if not isinstance(reply, str) or not reply:
        raise BadTableError(f"{where}: reply must be a regular expression")
    if isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0 < for_s <= LONGEST_S:
        raise BadTableError(f"{where}: for_s must be seconds, at most {LONGEST_S:.0f}")
    try:
        pattern = re.compile(reply, re.IGNORECASE)
    except re.error as error:
        raise BadTableError(f"{where}: reply: {error}") from error
    return Throttle(frozenset(groups), pattern, float(for_s), str(table.get("means", "")))
