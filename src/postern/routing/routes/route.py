"""One pinned route, and what Postern may do by itself for a group."""

from dataclasses import dataclass
from enum import Enum

from postern.measures.temporary import Temporary
from postern.runtime.clock import Instant

BY_POSTERN = "postern"
"""Author of a route that nobody made by hand."""


class Policy(Enum):
    """What Postern does by itself when an MX group is blocked. The values are words of commands."""

    AUTOMATIC = "automatic"
    PROPOSE = "propose"
    NEVER = "never"


class RouteMatch(Enum):
    """What a route is for."""

    GROUP = "mx-group"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class PinnedRoute:
    """Mail that leaves through ``via`` first.

    Args:
        label: ``R1``.
        match: what ``value`` is.
        value: name of an MX group, or a recipient's domain in lower-case A-labels.
        via: name of an egress.
        is_automatic: Postern made it, and takes it back when the direct path is well.
        temporary: why, by whom, until when, and how it ended.
    """

    label: str
    match: RouteMatch
    value: str
    via: str
    is_automatic: bool
    temporary: Temporary

    @property
    def id(self) -> str:
        """The key of its row."""
        return self.temporary.id

    @property
    def until(self) -> Instant | None:
        """When it ends by itself."""
        return self.temporary.until

    def holds(self, now: Instant) -> bool:
        """Whether it does what it was made for."""
        return self.temporary.is_active(now)


@dataclass(frozen=True, slots=True)
class GroupPolicy:
    """What somebody decided for one MX group."""

    group: str
    policy: Policy
    author: str
    set_at: Instant
