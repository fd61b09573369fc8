"""Groups whose mail waits because somebody said so: a person, or their own servers."""

import math
from dataclasses import dataclass

from postern.mail.route import RELAY_GROUP


@dataclass(frozen=True, slots=True)
class Suspension:
    """No mail of ``group`` is tried until ``until`` (None: until it is resumed).

    ``label`` is that of the temporary a person made, ``Q1``; empty: Postern itself, for what the
    group's servers said, and only in the worker that heard it.
    """

    group: str
    reason: str
    since: float
    until: float | None = None
    label: str = ""

    def ends_at(self, now: float) -> float | None:
        """When it ends, infinite where only a person ends it; None: it is over."""
        if self.until is None:
            return math.inf
        return self.until if self.until > now else None


def group_named(text: str) -> str:
    """The name of a group as somebody wrote it: lower-case, but for a relay's, which is its own."""
    name = text.strip()
    return name if name.startswith(RELAY_GROUP) else name.lower()
