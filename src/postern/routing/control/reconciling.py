"""Keeps standings and routes in step: after a kill, a person's hand, another worker's deed.

Looked at twice a second: what others changed in either database holds here within that time, and
mail that waits goes even where no new mail comes in.
"""

import asyncio
from collections.abc import Callable

import structlog

from postern.routing.control.controller import Controller
from postern.routing.control.deeds import Deeds
from postern.routing.control.standings import Standings
from postern.routing.paths import groups
from postern.routing.paths.groups import GroupState, Knobs, Standing
from postern.routing.routes.route import GroupPolicy, PinnedRoute, Policy, RouteMatch
from postern.routing.routes.table import RouteTable
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.routing")

POLL_S = 0.5
SWEEP_S = 3600.0
ORPHAN_S = 5.0
"""A younger route without a standing is being noted by the worker that made it."""


class Reconciling:
    """One worker's. For its event loop.

    Args:
        controller: decides again where that is due.
        deeds: does it.
        standings: how groups stand.
        table: the routes that hold.
        refresh: reads what people changed.
        group_of: the MX group of a domain, if it is known without asking.
        test: has a group's direct addresses tested soon, in the background.
        knobs: how often.
        clock: for what is old.
    """

    def __init__(
        self,
        controller: Controller,
        deeds: Deeds,
        standings: Standings,
        table: RouteTable,
        refresh: Callable[[], object],
        group_of: Callable[[str], str | None],
        test: Callable[[str], None],
        knobs: Knobs,
        clock: Clock,
    ) -> None:
        self._controller = controller
        self._deeds = deeds
        self._standings = standings
        self._table = table
        self._refresh = refresh
        self._group_of = group_of
        self._test = test
        self._knobs = knobs
        self._asked_at: dict[str, float] = {}
        self._clock = clock
        self._known_routes: set[str] = set()
        self._swept_at = clock.monotonic()

    def serve(self, group_of: Callable[[str], str | None], knobs: Knobs) -> None:
        """After a reload: another router, other care."""
        self._group_of, self._knobs = group_of, knobs

    def open_through(self, relay: str) -> None:
        """It is known now that a relay may have more mail: what waits for that goes."""
        for route in self._table.routes():
            if route.via == relay:
                self._open(route)

    async def keep_going(self) -> None:
        """Look twice a second until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("control.bug")
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Bring everything in step once."""
        self._refresh()
        for standing in await self._standings.refresh():
            if standing.state is GroupState.DIRECT:
                self._deeds.open(standing.group)
            else:
                self._deeds.tell_mood(standing)
        self._open_new_ways()
        self._controller.look_again()
        for standing in self._standings:
            await self._check(standing)
        for route in self._table.automatic():
            await self._check_route(route)
        relayed = {one.group for one in self._standings if one.state.is_relayed}
        self._asked_at = {k: v for k, v in self._asked_at.items() if k in relayed}
        if self._clock.monotonic() - self._swept_at >= SWEEP_S:
            self._swept_at = self._clock.monotonic()
            for group in await self._standings.sweep():
                self._deeds.open(group)  # this worker's queue need not hold it back any more

    async def _check(self, standing: Standing) -> None:
        policy = self._table.decided_for(standing.group)
        if standing.state.is_relayed:
            route = self._table.of_group(standing.group)
            if route is None or route.id != standing.route:
                await self._deeds.let_go(standing)
            elif why := self._may_not_stay(standing, policy):
                await self._deeds.withdraw(standing, why)
            elif standing.state is GroupState.RELAYED:
                self._test_again(standing)
            return
        if policy is not None and _asks_again(policy, standing, self._knobs):
            await self._standings.change(standing.group, groups.asked_again)
            standing = self._standings.of(standing.group) or standing
        if standing.state is GroupState.DEGRADED and self._controller.can_help(standing):
            self._controller.suspect(standing.group)

    def _may_not_stay(self, standing: Standing, policy: GroupPolicy | None) -> str:
        """Why the relay is taken back, well or not, in words; empty: it stays."""
        if self._table.policy_of(standing.group) is Policy.NEVER:
            who = "[paths] relay says" if policy is None else f"{policy.author} set the policy to"
            return f"{who} never"
        if not self._controller.has(standing.via):
            return f"the configuration has no relay {standing.via} any more"
        return ""

    def _test_again(self, standing: Standing) -> None:
        """Test the direct path of a relayed group at its interval, well as it may seem."""
        last = max((one.at for one in standing.tests), default=standing.since)
        last = max(last, self._asked_at.get(standing.group, 0.0))
        now = self._clock.now()
        if now - last >= standing.interval_s(self._knobs):
            self._asked_at[standing.group] = now
            self._test(standing.group)

    async def _check_route(self, route: PinnedRoute) -> None:
        standing = self._standings.of(route.value)
        if standing is not None and standing.state.is_relayed:
            return
        if self._clock.now() - route.temporary.created_at >= ORPHAN_S:
            await self._deeds.adopt(route)

    def _open_new_ways(self) -> None:
        """Mail that waits goes as soon as a route for it stands, and after a restart."""
        routes = self._table.routes()
        known, self._known_routes = self._known_routes, {route.id for route in routes}
        for route in routes:
            if route.id not in known:
                self._open(route)

    def _open(self, route: PinnedRoute) -> None:
        is_group = route.match is RouteMatch.GROUP
        group = route.value if is_group else self._group_of(route.value)
        if group is not None:
            self._deeds.open(group)


def _asks_again(policy: GroupPolicy, standing: Standing, knobs: Knobs) -> bool:
    """Whether somebody said "automatic" after he, or another, had withdrawn the relay."""
    is_automatic = policy.policy is Policy.AUTOMATIC
    withdrawn_at = standing.quiet_until - knobs.quiet_s
    return is_automatic and standing.quiet_until > 0 and policy.set_at >= withdrawn_at
