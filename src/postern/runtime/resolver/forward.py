"""Zones whose names are looked up through a resolver of their own first.

The field calls them forward zones. Somebody made each of them for a reason and a time; here is only
what the resolver needs to know of them.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from postern.runtime.clock import Instant


@dataclass(frozen=True, slots=True)
class ForwardZone:
    """One zone (lower-case A-labels, no final dot) and the named resolver that is asked first.

    ``until``: when it ends by itself; None: somebody has to end it. ``id`` names it for whoever
    counts how often it was of use.
    """

    zone: str
    via: str
    until: Instant | None = None
    id: str = ""


class ForwardZones:
    """All that hold, found by any name in them; the nearest zone counts."""

    __slots__ = ("_by_zone", "all")

    def __init__(self, zones: Iterable[ForwardZone] = ()) -> None:
        self._by_zone = {one.zone: one for one in zones}
        self.all = frozenset(self._by_zone.values())

    def of(self, name: str, now: Instant) -> ForwardZone | None:
        """The one for ``name``; None where nobody made any, or its time has passed."""
        if not self._by_zone:
            return None
        for zone in _above(name):
            found = self._by_zone.get(zone)
            if found is not None and (found.until is None or found.until > now):
                return found
        return None

    def differing(self, others: "ForwardZones") -> set[str]:
        """The zones that are not the same in both."""
        return {one.zone for one in self.all ^ others.all}


def is_below(name: str, zones: Collection[str]) -> bool:
    """True for a name that is one of ``zones``, or in one of them."""
    return any(zone in zones for zone in _above(name))


def _above(name: str) -> Iterator[str]:
    """``a.tea.example``, ``tea.example``, ``example``."""
    while name:
        yield name
        name = name.partition(".")[2]
