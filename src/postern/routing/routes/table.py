"""The routes as a worker looks them up, for every attempt: two dictionaries in memory."""

from collections.abc import Iterable

from postern.routing.routes.route import GroupPolicy, PinnedRoute, Policy, RouteMatch
from postern.runtime.clock import Clock, Instant


class RouteTable:
    """Routes and policies that hold, as of the last ``load``. For one event loop."""

    def __init__(self, clock: Clock, default: Policy = Policy.AUTOMATIC) -> None:
        self.version = 0
        self.default = default
        self._clock = clock
        self._groups: dict[str, PinnedRoute] = {}
        self._domains: dict[str, PinnedRoute] = {}
        self._policies: dict[str, GroupPolicy] = {}
        self._uses: dict[str, tuple[int, Instant]] = {}
        self._loaded: tuple[tuple[PinnedRoute, ...], tuple[GroupPolicy, ...]] | None = None

    def load(self, routes: Iterable[PinnedRoute], policies: Iterable[GroupPolicy]) -> bool:
        """Take up what ``site.db`` holds now; False when nothing of it has changed."""
        fresh = tuple(routes), tuple(policies)
        if fresh == self._loaded:
            return False
        self._loaded = fresh
        self._groups = {one.value: one for one in fresh[0] if one.match is RouteMatch.GROUP}
        self._domains = {one.value: one for one in fresh[0] if one.match is RouteMatch.DOMAIN}
        self._policies = {one.group: one for one in fresh[1]}
        self.version += 1
        return True

    def of(self, group: str, domain: str) -> PinnedRoute | None:
        """The route for mail to ``domain`` in ``group``: the domain's own before the group's."""
        if not self._groups and not self._domains:
            return None
        found = self._domains.get(domain) or self._groups.get(group)
        if found is None or not found.holds(self._clock.now()):
            return None
        return found

    def has_domain(self, domain: str) -> bool:
        """Whether a route was made for this domain alone."""
        return domain in self._domains

    def used(self, route: PinnedRoute) -> None:
        """Mail went by it."""
        hits, _ = self._uses.get(route.id, (0, 0.0))
        self._uses[route.id] = (hits + 1, self._clock.now())

    def take_uses(self) -> dict[str, tuple[int, Instant]]:
        """How often each was of use since the last call, and when last."""
        uses, self._uses = self._uses, {}
        return uses

    def of_group(self, group: str) -> PinnedRoute | None:
        """The route for the whole group."""
        found = self._groups.get(group)
        return found if found is not None and found.holds(self._clock.now()) else None

    def automatic(self) -> tuple[PinnedRoute, ...]:
        """Those that Postern made and that hold."""
        now = self._clock.now()
        return tuple(one for one in self._groups.values() if one.is_automatic and one.holds(now))

    def policy_of(self, group: str) -> Policy:
        """What may be done without being asked."""
        found = self._policies.get(group)
        return self.default if found is None else found.policy

    def decided_for(self, group: str) -> GroupPolicy | None:
        """What somebody decided for this group; None: nobody did."""
        return self._policies.get(group)

    def routes(self) -> tuple[PinnedRoute, ...]:
        """All that hold."""
        now = self._clock.now()
        every = (*self._groups.values(), *self._domains.values())
        return tuple(one for one in every if one.holds(now))
