"""Which domains and addresses each MX group has, as routes were found.

The router tells it once for each answer of DNS, not for each message. What is new is handed on to
be written down; a worker remembers the last addresses of a group, so that they can be probed.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from postern.mail.route import SmtpRoute, Target
from postern.runtime.clock import Clock, Instant

MAX_KEPT = 20_000
"""Groups, and domains, that a worker remembers."""
MAX_ADDRESSES = 20
"""Of one group: those of a provider's customers may each have names and addresses of their own."""
AGAIN_S = 86_400.0
"""How often it is written down that a domain is still there."""

_K = TypeVar("_K")
_V = TypeVar("_V")

Addresses = tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Met:
    """A domain's mail hosts, as they were found: through ``egress``, in the order to be tried.

    ``domain`` is empty where a group has none: a relay, a customer's server.
    """

    group: str
    egress: str
    domain: str
    targets: tuple[Target, ...]
    at: Instant


class Census:
    """For one worker; it outlives reloads.

    Args:
        clock: when something was met.
        meet: takes what is new, to be written down; must not block.
    """

    def __init__(self, clock: Clock, meet: Callable[[Met], None] | None = None) -> None:
        self._clock = clock
        self._meet = meet
        self._targets: OrderedDict[tuple[str, str], dict[tuple[str, int], Target]] = OrderedDict()
        self._domains: OrderedDict[tuple[str, str, str], tuple[Addresses, Instant]] = OrderedDict()

    def met(self, route: SmtpRoute) -> None:
        """A route was found just now."""
        place = (route.group, route.egress.name)
        known = self._targets.setdefault(place, {})
        for target in reversed(route.targets):
            known.pop((target.ip, target.port), None)
            known[target.ip, target.port] = target
        while len(known) > MAX_ADDRESSES:
            del known[next(iter(known))]
        _bound(self._targets, place)
        self._note(route)

    def targets(self, group: str, egress: str) -> Sequence[Target]:
        """The addresses last met of a group through an egress; those met last come first."""
        return list(reversed(self._targets.get((group, egress), {}).values()))

    def _note(self, route: SmtpRoute) -> None:
        who = (route.group, route.egress.name, route.domain)
        # Equal hosts are shuffled, which is no news.
        addresses = tuple(sorted((one.host, one.ip, one.port) for one in route.targets))
        now = self._clock.now()
        before, at = self._domains.get(who, ((), 0.0))
        if before == addresses and now - at < AGAIN_S:
            return
        self._domains[who] = (addresses, now)
        _bound(self._domains, who)
        if self._meet is not None:
            self._meet(Met(route.group, route.egress.name, route.domain, route.targets, now))


def _bound(kept: OrderedDict[_K, _V], latest: _K) -> None:
    kept.move_to_end(latest)
    if len(kept) > MAX_KEPT:
        kept.popitem(last=False)
